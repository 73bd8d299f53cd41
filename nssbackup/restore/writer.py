"""Writer: databases made where there are none, and objects added to both in one transaction.

SQLite's transaction over two attached databases is what keeps the pair together: a process that
is killed in the middle leaves journals from which the next one to open them (NSS, Firefox or we)
gets the old pair back (sqlite.org/atomiccommit, "Multi-file Commit").
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from nssbackup.errors import (
    DamagedStoreError,
    OutputExistsError,
    StoreChangedError,
    StoreUnwritableError,
    reason,
)
from nssbackup.restore.objects import NSS_TRUST, TRUST, Additions, Change, NewObject
from nssbackup.restore.rows import CERTIFICATES, KEYS, TABLES
from nssbackup.stores.native import pbe
from nssbackup.system.files import remove_leftovers, rename_to_new, write_private
from nssbackup.system.snapshot import database_uri
from nssbackup.system.sqlite_schema import limit_time

_INDEXES = {"issuer": "a81", "subject": "a101", "label": "a3", "ckaid": "a102"}
# The attributes that every NSS has a column for (lib/softoken/sdb.c, known_attributes, as of 3.87);
# newer ones add theirs when they open a database for writing.
_COLUMNS = (
    "a0 a1 a2 a3 a10 a11 a12 a80 a81 a82 a83 a84 a85 a86 a87 a88 a89 a8a a8b a90 a100 a101 a102"
    " a103 a104 a105 a106 a107 a108 a109 a10a a10b a10c a110 a111 a120 a121 a122 a123 a124 a125"
    " a126 a127 a128 a129 a130 a131 a132 a133 a134 a160 a161 a162 a163 a164 a165 a166 a170 a180"
    " a181 a200 a201 a202 a210 a300 a301 a302 a400 a401 a402 a403 a404 a405 a406 a480 a481 a482"
    " a500 a501 a502 a503 a40000211 a40000212 a80000001 ace534351 ace534352 ace534353 ace534354"
    " ace534355 ace534356 ace534357 ace534358 ace534364 ace534365 ace534366 ace534367 ace534368"
    " ace534369 ace534373 ace534374 ace536351 ace536352 ace536353 ace536354 ace536355 ace536356"
    " ace536357 ace536358 ace536359 ace53635a ace53635b ace53635c ace53635d ace53635e ace53635f"
    " ace536360 ace5363b4 ace5363b5 ad5a0db00"
)
_META_DATA = "CREATE TABLE metaData (id PRIMARY KEY UNIQUE ON CONFLICT REPLACE, item1, item2)"

_PASSWORD_CHECK = b"password-check"
_SALT_BYTES = 20
_ROUNDS_WITHOUT_PASSWORD = 1

_HEADER_BYTES = 100
# What SQLite calls a super-journal (vdbeaux.c, vdbeCommit).
_SUPER_JOURNAL = re.compile(r"key4\.db-mj[0-9A-F]{9}")


class _Unique(NamedTuple):
    """Columns that no two objects of some classes have alike."""

    keys: frozenset[str]
    classes: frozenset[bytes]


_CERTIFICATE, _PUBLIC_KEY, _PRIVATE_KEY = (number.to_bytes(4, "big") for number in (1, 2, 3))
# NSS keeps issuer and serial number unique, and the CKA_ID of keys, and relies on it.
_UNIQUE = (
    _Unique(frozenset({"a0", "a81", "a82"}), frozenset({_CERTIFICATE, NSS_TRUST, TRUST})),
    _Unique(frozenset({"a0", "a102"}), frozenset({_PUBLIC_KEY, _PRIVATE_KEY})),
)

# NSS waits about as long for another process.
_BUSY_SECONDS = 5.0
# Of the processor, for all that is done with a connection.
_SECONDS = 2.0


def create_missing(folder: Path) -> dict[str, bytes]:
    """Make those of the two databases that a folder lacks, empty and without primary password.

    They are the ones that Firefox makes in a fresh profile.

    Returns:
        The bytes of what was made, by the name of the file.

    Raises:
        StoreUnwritableError: the folder can't be written to.
    """
    made = {}
    for name in (KEYS, CERTIFICATES):
        path = folder / name
        try:
            if not path.exists():
                _create(path, name)
                made[name] = path.read_bytes()
        except (OSError, sqlite3.Error) as error:
            raise _unwritable(path, error) from error
    return made


def place(folder: Path, databases: Mapping[str, bytes]) -> None:
    """Put databases into a folder that lacks them, each under its name only when it is whole.

    Raises:
        StoreChangedError: one is there by now.
        StoreUnwritableError: the folder can't be written to.
    """
    remove_leftovers(folder)
    for name, data in databases.items():
        path = folder / name
        temporary = folder / f".nssbackup-{os.urandom(8).hex()}.tmp"
        try:
            write_private(temporary, data)
            adopt(temporary, folder)
            rename_to_new(temporary, path)
        except OutputExistsError as error:
            raise _changed() from error
        except OSError as error:
            raise _unwritable(path, error) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def take_back(folder: Path, databases: Mapping[str, bytes]) -> None:
    """Remove databases that were placed, unless somebody has written to them since."""
    for name, data in databases.items():
        path = folder / name
        with suppress(OSError):
            if path.read_bytes() == data and not path.with_name(f"{name}-journal").exists():
                path.unlink()


def adopt(path: Path, folder: Path) -> None:
    """Give a file that an administrator makes to the owner of the folder that it lies in."""
    if sys.platform != "win32" and os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def add(folder: Path, additions: Additions, global_salt: bytes | None) -> None:
    """Add objects and signatures to a folder's databases, all of them or none.

    Args:
        folder: where both databases are.
        additions: what is added.
        global_salt: of the password record that the additions were made for.

    Raises:
        StoreChangedError: what is added is there by now, something else has its id, what is to be
            changed is not what it was, or the primary password was changed.
        StoreUnwritableError: another program has the databases locked, or they can't be written.
        DamagedStoreError: SQLite finds them damaged.
    """
    path = folder / KEYS
    try:
        for name in TABLES:
            _check_journal_mode(folder / name)
        with closing(_connect(path)) as database:
            database.execute("ATTACH ? AS certificates", (_uri(folder / CERTIFICATES),))
            for schema in ("main", "certificates"):
                database.execute(f"PRAGMA {schema}.synchronous=EXTRA")
            database.execute("BEGIN IMMEDIATE")
            try:
                _add(database, additions, global_salt)
                database.execute("COMMIT")
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                _clear_super_journals(path.resolve())
    except sqlite3.IntegrityError as error:
        raise _changed() from error
    except (OSError, sqlite3.OperationalError) as error:
        # The disk may have failed behind the point from which on it was done.
        if not _was_added(folder, additions):
            raise _unwritable(path, error) from error
    except sqlite3.DatabaseError as error:
        message = f"`{path}` or the database beside it is damaged: {error}"
        raise DamagedStoreError(message) from error


def _clear_super_journals(path: Path) -> None:
    """Remove what a transaction over both databases left behind, if it failed or was killed.

    SQLite does not. Such a file counts only as long as there is a journal that names it.
    """
    journals = (path.with_name(f"{name}-journal") for name in TABLES)
    if not any(journal.exists() for journal in journals):
        for left in path.parent.iterdir():
            if _SUPER_JOURNAL.fullmatch(left.name):
                with suppress(OSError):
                    left.unlink()


def _check_journal_mode(path: Path) -> None:
    """Refuse write-ahead logging: there a transaction over two databases is not one.

    The mode is in the header (sqlite.org/fileformat, offset 18); opening such a database to ask
    for it would make files beside it. NSS never sets it.
    """
    with path.open("rb") as file:
        if file.read(_HEADER_BYTES)[18:20] == b"\2\2":
            message = f"`{path}` is in a mode that Firefox does not use (WAL)"
            raise StoreUnwritableError(message)


def _add(database: sqlite3.Connection, additions: Additions, global_salt: bytes | None) -> None:
    salt = database.execute("SELECT item1 FROM main.metaData WHERE id = 'password'").fetchone()
    if salt != (global_salt,):
        raise _changed()
    for each in additions.objects:
        _insert(database, each)
    for change in additions.changes:
        _update(database, change)
    database.executemany(
        "INSERT INTO main.metaData (id, item1) VALUES (?, ?)", additions.signatures.items()
    )


def _was_added(folder: Path, additions: Additions) -> bool:
    """Whether all of it is in the databases, each of which is opened anew and recovered."""
    wanted = [(each.private, each.id, each.columns) for each in additions.objects]
    wanted += [(change.private, change.id, change.after) for change in additions.changes]
    try:
        with closing(_connect(folder / KEYS)) as database:
            database.execute("ATTACH ? AS certificates", (_uri(folder / CERTIFICATES),))
            for private, number, columns in wanted:
                conditions = " AND ".join(f"{column} IS ?" for column in columns)
                query = f"SELECT 1 FROM {_table(private=private)} WHERE id = ? AND {conditions}"  # noqa: S608 - names are ours
                if not database.execute(query, (number, *columns.values())).fetchone():
                    return False
    except sqlite3.Error:
        return False
    return bool(wanted)


def _insert(database: sqlite3.Connection, each: NewObject) -> None:
    table = _table(private=each.private)
    for unique in _UNIQUE:
        if unique.keys <= each.columns.keys() and each.columns["a0"] in unique.classes:
            columns = sorted(unique.keys)
            conditions = " AND ".join(f"{column} = ?" for column in columns)
            query = f"SELECT 1 FROM {table} WHERE {conditions}"  # noqa: S608 - constants
            values = tuple(each.columns[column] for column in columns)
            if database.execute(query, values).fetchone():
                raise _changed()
    names = ", ".join(("id", *each.columns))
    marks = ", ".join("?" * (len(each.columns) + 1))
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - names are ours
    database.execute(statement, (each.id, *each.columns.values()))


def _update(database: sqlite3.Connection, change: Change) -> None:
    values = ", ".join(f"{column} = ?" for column in change.after)
    conditions = " AND ".join(f"{column} IS ?" for column in change.before)
    statement = (
        f"UPDATE {_table(private=change.private)} SET {values} WHERE id = ? AND {conditions}"  # noqa: S608 - names are ours
    )
    parameters = (*change.after.values(), change.id, *change.before.values())
    if database.execute(statement, parameters).rowcount != 1:
        raise _changed()


def _table(*, private: bool) -> str:
    return "main.nssPrivate" if private else "certificates.nssPublic"


def _create(path: Path, name: str) -> None:
    # Made by us, so that nobody else may read it from the first moment on.
    write_private(path, b"")
    with closing(_connect(path)) as database:
        table = TABLES[name]
        columns = ", ".join(_COLUMNS.split())
        database.execute("BEGIN")
        database.execute(
            f"CREATE TABLE {table} (id PRIMARY KEY UNIQUE ON CONFLICT ABORT, {columns})"
        )
        for index, column in _INDEXES.items():
            database.execute(f"CREATE INDEX {index} ON {table} ({column})")
        if name == KEYS:
            _add_password_record(database)
        database.execute("COMMIT")


def _add_password_record(database: sqlite3.Connection) -> None:
    salt = os.urandom(_SALT_BYTES)
    check = pbe.encrypt(pbe.intermediate_key(salt, ""), _PASSWORD_CHECK, _ROUNDS_WITHOUT_PASSWORD)
    database.execute(_META_DATA)
    database.execute("INSERT INTO metaData VALUES ('password', ?, ?)", (salt, check))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(_uri(path), uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    connection.execute("PRAGMA trusted_schema=OFF")
    limit_time(connection, time.thread_time() + _SECONDS)
    return connection


def _uri(path: Path) -> str:
    # Read and write, but never made: `rw` in the place of `ro`.
    return database_uri(path.absolute()).removesuffix("ro") + "rw"


def _changed() -> StoreChangedError:
    message = "the profile was changed by another program meanwhile"
    return StoreChangedError(message)


def _unwritable(path: Path, error: Exception) -> StoreUnwritableError:
    message = f"`{path}` can't be written: {reason(error)}"
    locked = any(word in message for word in ("locked", "busy"))
    hint = "close the application that uses the profile" if locked else None
    return StoreUnwritableError(message, hint=hint)

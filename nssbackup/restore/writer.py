"""Make missing databases, and add objects to both in one transaction.

SQLite's transaction over two attached databases keeps the pair together: a process killed in the
middle leaves journals, from which the next one to open them (NSS, Firefox or we) restores the old
pair (sqlite.org/atomiccommit, "Multi-file Commit").
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from nssbackup.errors import (
    DamagedStoreError,
    OutputError,
    OutputExistsError,
    StoreChangedError,
    StoreUnwritableError,
    reason,
)
from nssbackup.restore.objects import NSS_TRUST, TRUST, Additions, Change, NewObject
from nssbackup.restore.rows import CERTIFICATES, KEYS, TABLES
from nssbackup.stores.native import pbe
from nssbackup.system.files import write_private, write_verified
from nssbackup.system.reading import Budget
from nssbackup.system.sqlite import database_uri

_INDEXES = {"issuer": "a81", "subject": "a101", "label": "a3", "ckaid": "a102"}
# The attributes that NSS 3.87 has columns for (lib/softoken/sdb.c, known_attributes). A newer NSS
# adds its own when it opens a database for writing.
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
    """Columns that together are unique among the objects of some classes."""

    keys: frozenset[str]
    classes: frozenset[bytes]


_CERTIFICATE, _PUBLIC_KEY, _PRIVATE_KEY = (number.to_bytes(4, "big") for number in (1, 2, 3))
# NSS relies on it: issuer and serial number, and the CKA_ID of keys.
_UNIQUE = (
    _Unique(frozenset({"a0", "a81", "a82"}), frozenset({_CERTIFICATE, NSS_TRUST, TRUST})),
    _Unique(frozenset({"a0", "a102"}), frozenset({_PUBLIC_KEY, _PRIVATE_KEY})),
)

# NSS waits about as long for another process.
_BUSY_SECONDS = 5.0
# Of processor time, for everything done with one connection.
_SECONDS = 2.0


def create_missing(folder: Path) -> dict[str, bytes]:
    """Make the databases that a folder lacks, as Firefox makes them in a new profile.

    Returns:
        The bytes of what was made, by file name.

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
    """Put databases into a folder that lacks them; each gets its name when it is complete.

    Raises:
        StoreChangedError: the folder has one by now.
        StoreUnwritableError: the folder can't be written to.
    """
    for name, data in databases.items():
        try:
            write_verified(folder / name, data, lambda temporary: adopt(temporary, folder))
        except OutputExistsError as error:
            raise _changed() from error
        except OutputError as error:
            raise StoreUnwritableError(error.message) from error


def take_back(folder: Path, databases: Mapping[str, bytes]) -> None:
    """Remove databases that were placed, unless another program has written to them."""
    for name, data in databases.items():
        path = folder / name
        with suppress(OSError):
            if path.read_bytes() == data and not path.with_name(f"{name}-journal").exists():
                path.unlink()


def adopt(path: Path, folder: Path) -> None:
    """Give a file made as root to the owner of its folder."""
    if sys.platform != "win32" and os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def add(folder: Path, additions: Additions, global_salt: bytes | None) -> None:
    """Add objects and signatures to a folder's databases: all of them or none.

    Args:
        folder: the folder of both databases.
        additions: what to add.
        global_salt: that of the password record which the additions were made for.

    Raises:
        StoreChangedError: an addition is there by now, its id is taken, a row to change is not as
            it was, or the primary password has changed.
        StoreUnwritableError: another program has locked the databases, or they can't be written.
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
        # The disk may have failed after the commit.
        if not _was_added(folder, additions):
            raise _unwritable(path, error) from error
    except sqlite3.DatabaseError as error:
        message = f"`{path}` or the database beside it is damaged: {error}"
        raise DamagedStoreError(message) from error


def _clear_super_journals(path: Path) -> None:
    """Remove super-journals that a failed or killed transaction left; SQLite does not.

    Such a file matters only while a journal names it.
    """
    journals = (path.with_name(f"{name}-journal") for name in TABLES)
    if not any(journal.exists() for journal in journals):
        for left in path.parent.iterdir():
            if _SUPER_JOURNAL.fullmatch(left.name):
                with suppress(OSError):
                    left.unlink()


def _check_journal_mode(path: Path) -> None:
    """Refuse write-ahead logging, where a transaction over two databases is not atomic.

    The mode is read from the header (sqlite.org/fileformat, offset 18): opening such a database
    would make files beside it. NSS never sets it.
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
    """Return whether all of it is in the databases, once SQLite has recovered them."""
    wanted = [(each.private, each.id, each.columns) for each in additions.objects]
    wanted += [(change.private, change.id, change.after) for change in additions.changes]
    try:
        with closing(_connect(folder / KEYS)) as database:
            database.execute("ATTACH ? AS certificates", (_uri(folder / CERTIFICATES),))
            for private, number, columns in wanted:
                conditions = " AND ".join(f"{column} IS ?" for column in columns)
                query = f"SELECT 1 FROM {_table(private=private)} WHERE id = ? AND {conditions}"
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
            query = f"SELECT 1 FROM {table} WHERE {conditions}"
            values = tuple(each.columns[column] for column in columns)
            if database.execute(query, values).fetchone():
                raise _changed()
    names = ", ".join(("id", *each.columns))
    marks = ", ".join("?" * (len(each.columns) + 1))
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"
    database.execute(statement, (each.id, *each.columns.values()))


def _update(database: sqlite3.Connection, change: Change) -> None:
    values = ", ".join(f"{column} = ?" for column in change.after)
    conditions = " AND ".join(f"{column} IS ?" for column in change.before)
    statement = (
        f"UPDATE {_table(private=change.private)} SET {values} WHERE id = ? AND {conditions}"
    )
    parameters = (*change.after.values(), change.id, *change.before.values())
    if database.execute(statement, parameters).rowcount != 1:
        raise _changed()


def _table(*, private: bool) -> str:
    return "main.nssPrivate" if private else "certificates.nssPublic"


def _create(path: Path, name: str) -> None:
    # Made here first, so that nobody else can read it at any time.
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
    Budget(_SECONDS).limit(connection)
    return connection


def _uri(path: Path) -> str:
    # Open for writing, but never create: `rw` instead of `ro`.
    return database_uri(path.absolute()).removesuffix("ro") + "rw"


def _changed() -> StoreChangedError:
    message = "the databases are not as they were when the restore began"
    return StoreChangedError(message)


def _unwritable(path: Path, error: Exception) -> StoreUnwritableError:
    message = f"`{path}` can't be written: {reason(error)}"
    locked = any(word in message for word in ("locked", "busy"))
    hint = "close the application that uses the profile" if locked else None
    return StoreUnwritableError(message, hint=hint)

"""Writer: databases made where there are none, and objects added to both in one transaction.

SQLite's transaction over two attached databases is what keeps the pair together: a process that
is killed in the middle leaves journals from which the next one to open them (NSS, Firefox or we)
gets the old pair back (sqlite.org/atomiccommit, "Multi-file Commit").
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from nssbackup.engines.native import pbe
from nssbackup.engines.native.objects import Additions, NewObject
from nssbackup.errors import (
    DamagedStoreError,
    OutputExistsError,
    StoreChangedError,
    UnreadableStoreError,
)
from nssbackup.files import rename_to_new, write_private
from nssbackup.snapshot import database_uri

CERTIFICATES, KEYS = "cert9.db", "key4.db"
_TABLES = {CERTIFICATES: "nssPublic", KEYS: "nssPrivate"}
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

# NSS waits about as long for another process.
_BUSY_SECONDS = 5.0
_ID_MASK = 0x3FFFFFFF


def create_missing(folder: Path) -> dict[str, bytes]:
    """Make those of the two databases that a folder lacks, empty and without primary password.

    They are the ones that Firefox makes in a fresh profile.

    Returns:
        The bytes of what was made, by the name of the file.

    Raises:
        UnreadableStoreError: the folder can't be written to.
    """
    made = {}
    for name in (KEYS, CERTIFICATES):
        path = folder / name
        if not path.exists():
            try:
                _create(path, name)
                made[name] = path.read_bytes()
            except (OSError, sqlite3.Error) as error:
                raise _unwritable(path, error) from error
    return made


def place(folder: Path, databases: Mapping[str, bytes]) -> None:
    """Put databases into a folder that lacks them, each under its name only when it is whole.

    Raises:
        StoreChangedError: one is there by now.
        UnreadableStoreError: the folder can't be written to.
    """
    for name, data in databases.items():
        path = folder / name
        temporary = folder / f".nssbackup-{os.urandom(8).hex()}.tmp"
        try:
            write_private(temporary, data)
            _adopt(temporary, folder)
            rename_to_new(temporary, path)
        except OutputExistsError as error:
            raise _changed() from error
        except OSError as error:
            raise _unwritable(path, error) from error
        finally:
            temporary.unlink(missing_ok=True)


def difference(before: Path, after: Path) -> Additions:
    """What the databases of `after` have that those of `before`, an older copy, have not."""
    objects: list[NewObject] = []
    for name in _TABLES:
        old, new = _rows(before / name), _rows(after / name)
        # A column that the older database lacks holds nothing that an older NSS would need.
        columns = _column_names(before / name)
        objects += [
            NewObject(name == KEYS, number, {c: v for c, v in row.items() if c in columns})
            for number, row in new.items()
            if number not in old
        ]
    old_signatures, new_signatures = _signatures(before / KEYS), _signatures(after / KEYS)
    added = {each: new_signatures[each] for each in new_signatures.keys() - old_signatures.keys()}
    return Additions(tuple(objects), added)


def free_ids(folder: Path) -> Iterator[int]:
    """Object ids that no object of a folder's databases has; from the clock on, as NSS has them."""
    used: set[object] = set()
    for name, table in _TABLES.items():
        with closing(_connect(folder / name, "ro")) as database:
            used.update(row[0] for row in database.execute(f"SELECT id FROM {table}"))  # noqa: S608 - a constant
    number = time.time_ns() >> 20
    while True:
        number = (number + 1) & _ID_MASK
        if number and number not in used:
            yield number


def add(folder: Path, additions: Additions, global_salt: bytes | None) -> None:
    """Add objects and signatures to a folder's databases, all of them or none.

    Args:
        folder: where both databases are.
        additions: what is added.
        global_salt: of the password record that the additions were made for.

    Raises:
        StoreChangedError: what is added is there by now, something else has its id, or the
            primary password was changed.
        UnreadableStoreError: another program has the databases locked, or they can't be written.
        DamagedStoreError: SQLite finds them damaged.
    """
    path = folder / KEYS
    try:
        with closing(_connect(path, "rw")) as database:
            database.execute("ATTACH ? AS certificates", (_uri(folder / CERTIFICATES, "rw"),))
            for schema in ("main", "certificates"):
                database.execute(f"PRAGMA {schema}.synchronous=EXTRA")
            database.execute("BEGIN IMMEDIATE")
            try:
                _add(database, additions, global_salt)
                database.execute("COMMIT")
            except BaseException:
                database.execute("ROLLBACK")
                raise
    except sqlite3.IntegrityError as error:
        raise _changed() from error
    except (OSError, sqlite3.OperationalError) as error:
        raise _unwritable(path, error) from error
    except sqlite3.DatabaseError as error:
        message = f"`{path}` or the database beside it is damaged: {error}"
        raise DamagedStoreError(message) from error


def _add(database: sqlite3.Connection, additions: Additions, global_salt: bytes | None) -> None:
    salt = database.execute("SELECT item1 FROM main.metaData WHERE id = 'password'").fetchone()
    if salt != (global_salt,):
        raise _changed()
    for each in additions.objects:
        _insert(database, each)
    database.executemany(
        "INSERT INTO main.metaData (id, item1) VALUES (?, ?)", additions.signatures.items()
    )


def _rows(path: Path) -> dict[int, dict[str, bytes]]:
    """Every object by its id: the columns that are not NULL."""
    with closing(_connect(path, "ro")) as database:
        found = database.execute(f"SELECT * FROM {_TABLES[path.name]}")  # noqa: S608 - a constant
        names = [column[0] for column in found.description]
        rows = (dict(zip(names, row, strict=True)) for row in found)
        return {
            row.pop("id"): {name: value for name, value in row.items() if value is not None}
            for row in rows
        }


def _column_names(path: Path) -> frozenset[str]:
    with closing(_connect(path, "ro")) as database:
        found = database.execute(f"SELECT * FROM {_TABLES[path.name]} LIMIT 0")  # noqa: S608 - a constant
        return frozenset(column[0] for column in found.description)


def _signatures(keys: Path) -> dict[str, bytes]:
    with closing(_connect(keys, "ro")) as database:
        query = "SELECT id, item1 FROM metaData WHERE id LIKE 'sig!_%' ESCAPE '!'"
        return dict(database.execute(query).fetchall())


def _insert(database: sqlite3.Connection, each: NewObject) -> None:
    table = "main.nssPrivate" if each.private else "certificates.nssPublic"
    serial = {"a0", "a81", "a82"} <= each.columns.keys()
    if serial:
        # NSS keeps issuer and serial number unique and relies on it.
        values = tuple(each.columns[column] for column in ("a0", "a81", "a82"))
        query = f"SELECT 1 FROM {table} WHERE a0 = ? AND a81 = ? AND a82 = ?"  # noqa: S608 - constants
        if database.execute(query, values).fetchone():
            raise _changed()
    names = ", ".join(("id", *each.columns))
    marks = ", ".join("?" * (len(each.columns) + 1))
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - names are ours
    database.execute(statement, (each.id, *each.columns.values()))


def _create(path: Path, name: str) -> None:
    # Made by us, so that nobody else may read it from the first moment on.
    write_private(path, b"")
    with closing(_connect(path, "rw")) as database:
        table = _TABLES[name]
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


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        _uri(path, mode), uri=True, timeout=_BUSY_SECONDS, isolation_level=None
    )
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def _uri(path: Path, mode: str) -> str:
    return database_uri(path.absolute()).removesuffix("ro") + mode


def _adopt(path: Path, folder: Path) -> None:
    """Give a file that an administrator makes to the owner of the folder that it lies in."""
    if sys.platform != "win32" and os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _changed() -> StoreChangedError:
    message = "the profile was changed by another program meanwhile"
    return StoreChangedError(message)


def _unwritable(path: Path, error: Exception) -> UnreadableStoreError:
    reason = str(getattr(error, "strerror", None) or error).lower()
    message = f"`{path}` can't be written: {reason}"
    return UnreadableStoreError(message, hint="close the application that uses the profile")

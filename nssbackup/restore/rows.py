"""The rows of a folder's two databases, as they are stored.

They tell which ids are free, what is there already, and what was added to a copy. Only private
copies are read this way.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from nssbackup.errors import DamagedStoreError, UnsupportedStoreError
from nssbackup.restore.objects import NSS_TRUST, TRUST, Additions, Change, NewObject, names
from nssbackup.system.reading import Budget
from nssbackup.system.sqlite import connect, database_uri, load_schema

CERTIFICATES, KEYS = "cert9.db", "key4.db"
TABLES = {CERTIFICATES: "nssPublic", KEYS: "nssPrivate"}

_CERTIFICATE, _PUBLIC_KEY = (number.to_bytes(4, "big") for number in (1, 2))
_KEY_ID = "a102"
_ID_MASK = 0x3FFFFFFF
# Twice as many as the reader accepts, because public keys are rows too.
_MAX_ROWS = 20_000
_MAX_ROW_BYTES = 32 * 1024 * 1024
# Of processor time, for both databases.
_SECONDS = 2.0

Row = Mapping[str, bytes]
"""The columns of an object that are not NULL."""


@dataclass(frozen=True, slots=True)
class Table:
    """The objects of a database by id, and its columns."""

    objects: Mapping[int, Row] = field(repr=False)
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rows:
    """The objects of both databases by id, and the signatures by name."""

    public: Table
    private: Table
    signatures: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def read(cls, folder: Path) -> Rows:
        """Read the rows of both databases.

        Raises:
            DamagedStoreError: they can't be read, or contain what NSS never writes.
        """
        budget = Budget(_SECONDS)
        try:
            with (
                closing(_open(folder / CERTIFICATES, budget)) as certificates,
                closing(_open(folder / KEYS, budget)) as keys,
            ):
                return cls(
                    _table(certificates, CERTIFICATES), _table(keys, KEYS), _signatures(keys)
                )
        except (sqlite3.Error, UnicodeError) as error:
            if budget.is_spent():
                message = f"reading the databases takes longer than {_SECONDS:g} seconds"
                raise UnsupportedStoreError(message) from error
            message = f"the databases are damaged: {error}"
            raise DamagedStoreError(message) from error

    def free_ids(self) -> Iterator[int]:
        """Yield free object ids, starting from the clock as NSS does."""
        used = self.public.objects.keys() | self.private.objects.keys()
        number = int(time.time() * 1000)
        while True:
            number = (number + 1) & _ID_MASK
            if number and number not in used:
                yield number

    def certificate(self, der: bytes) -> tuple[int, Row] | None:
        """Return the object of a certificate with its id, or None."""
        for number, row in self.public.objects.items():
            if row.get("a0") == _CERTIFICATE and row.get("a11") == der:
                return number, row
        return None

    def trust_of(self, certificate: bytes) -> Iterator[tuple[int, Row]]:
        """Yield the trust objects of a certificate (DER), of either kind, with their ids."""
        wanted = names(certificate)
        for number, row in self.public.objects.items():
            if row.get("a0") in (NSS_TRUST, TRUST) and all(
                row.get(column) == wanted[column] for column in ("a81", "a82")
            ):
                yield number, row

    def has_public_key(self, key_id: bytes) -> bool:
        """Return whether the public half of a key is there, which tells NSS of the private one."""
        return any(
            row.get("a0") == _PUBLIC_KEY and row.get(_KEY_ID) == key_id
            for row in self.public.objects.values()
        )

    def since(self, before: Rows) -> Additions:
        """Return what was added since an older copy of the same databases.

        Columns that the older copy lacks are left out; an older NSS doesn't need them.
        """
        objects: list[NewObject] = []
        changes: list[Change] = []
        tables = ((False, before.public, self.public), (True, before.private, self.private))
        for private, old, new in tables:
            for number, row in new.objects.items():
                known = old.objects.get(number)
                kept = {name: value for name, value in row.items() if name in old.columns}
                if known is None:
                    objects.append(NewObject(private, number, kept))
                elif after := {n: value for n, value in kept.items() if value != known.get(n)}:
                    changes.append(
                        Change(private, number, {name: known.get(name) for name in after}, after)
                    )
        signatures = dict(self.signatures.items() - before.signatures.items())
        return Additions(tuple(objects), signatures, tuple(changes))


def _table(database: sqlite3.Connection, name: str) -> Table:
    found = database.execute(f"SELECT id, * FROM {TABLES[name]}")
    columns = [column[0] for column in found.description][1:]
    objects: dict[int, Row] = {}
    for number, *values in _bounded(found, name):
        if not isinstance(number, int):
            message = f"`{name}` is damaged: an object has an impossible id"
            raise DamagedStoreError(message)
        # NSS writes nothing but BLOBs.
        objects[number] = {
            column: value
            for column, value in zip(columns, values, strict=True)
            if isinstance(value, bytes) and column != "id"
        }
    return Table(objects, frozenset(columns))


def _bounded(rows: Iterable[tuple[object, ...]], name: str) -> Iterator[tuple[object, ...]]:
    """Yield rows up to a limit: a damaged file may claim more than it has room for."""
    left = _MAX_ROW_BYTES
    for count, row in enumerate(rows):
        left -= sum(len(value) for value in row if isinstance(value, bytes | str))
        if count == _MAX_ROWS or left < 0:
            message = f"`{name}` holds more than nssbackup reads"
            raise UnsupportedStoreError(message)
        yield row


def _signatures(database: sqlite3.Connection) -> Mapping[str, bytes]:
    query = "SELECT id, item1 FROM metaData WHERE id LIKE 'sig!_%' ESCAPE '!'"
    return {
        name: value
        for name, value in _bounded(database.execute(query), KEYS)
        if isinstance(name, str) and isinstance(value, bytes)
    }


def _open(path: Path, budget: Budget) -> sqlite3.Connection:
    connection = connect(database_uri(path.absolute()), uri=True)
    try:
        load_schema(connection, path)
    except BaseException:
        connection.close()
        raise
    budget.limit(connection)
    return connection

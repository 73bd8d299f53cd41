"""cert9.db and key4.db: SQLite rows as PKCS#11 objects and attributes. No cryptography here.

The schema is in NSS's lib/softoken/sdb.c: one table of objects with a column for each attribute,
named "a" and the attribute's type in hex; every value is a BLOB. Newer versions of NSS have more
columns, so only those that exist are read.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

from nssbackup.errors import DamagedStoreError, UnsupportedStoreError
from nssbackup.system.reading import Budget
from nssbackup.system.sqlite import plain_tables


class Attribute(IntEnum):
    """The PKCS#11 attribute types that are read (PKCS#11 3.0, NSS lib/util/pkcs11n.h)."""

    CLASS = 0x0
    LABEL = 0x3
    VALUE = 0x11
    ISSUER = 0x81
    SERIAL_NUMBER = 0x82
    KEY_TYPE = 0x100
    ID = 0x102
    MODULUS = 0x120
    PUBLIC_EXPONENT = 0x122
    PRIVATE_EXPONENT = 0x123
    PRIME_1 = 0x124
    PRIME_2 = 0x125
    EXPONENT_1 = 0x126
    EXPONENT_2 = 0x127
    COEFFICIENT = 0x128
    EXTRACTABLE = 0x162
    EC_PARAMS = 0x180
    TRUST_SERVER = 0x62C
    TRUST_CLIENT = 0x62D
    TRUST_CODE = 0x62E
    TRUST_EMAIL = 0x62F
    NSS_TRUST_SERVER = 0xCE536358
    NSS_TRUST_CLIENT = 0xCE536359
    NSS_TRUST_CODE = 0xCE53635A
    NSS_TRUST_EMAIL = 0xCE53635B
    NSS_EMAIL = 0xCE534352
    NSS_DB = 0xD5A0DB00

    # Enum's own is written in Python, and reading a store is mostly looking these up.
    __hash__ = int.__hash__


class ObjectClass(IntEnum):
    """The values of CKA_CLASS that are read."""

    CERTIFICATE = 0x1
    PRIVATE_KEY = 0x3
    TRUST = 0xB
    NSS_TRUST = 0xCE534353


# The column that holds an attribute.
_COLUMNS = {attribute: f"a{attribute.value:x}" for attribute in Attribute}

# "Present and empty" (sdb.c, SQLITE_EXPLICIT_NULL); SQL NULL is "absent".
_EXPLICIT_NULL = b"\xa5\x00\x5a"
_ULONG_BYTES = 4
# Processor time for all queries of a database. They take microseconds, but a file may be made to
# be read for ever.
_SECONDS = 2.0
# The most that a query may return. In a hostile file one page may be in many places, so that far
# more comes out than the file is large. A store with a thousand certificates has 2 MB. It takes
# three seconds to parse 8 MiB of certificates made of nothing but long names.
_MAX_ROWS = 10_000
_MAX_ROW_BYTES = 8 * 1024 * 1024
# The longest value that counts: a certificate with a picture in it has some 100 kB.
_MAX_VALUE = 1024 * 1024
_MAX_OBJECT_ID = 0x3FFFFFFF
# NSS can't read a longer one (sdb.c, SDB_MAX_META_DATA_LEN).
_MAX_META_DATA_BYTES = 256


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A PKCS#11 object of a database: its id and its attributes as stored.

    `malformed` are the attributes whose value is not a BLOB, or longer than 1 MiB; NSS writes
    neither.
    """

    id: int
    attributes: Mapping[Attribute, bytes] = field(repr=False)
    malformed: frozenset[Attribute] = frozenset()

    def get(self, attribute: Attribute) -> bytes | None:
        """Return the value; None if it is absent or malformed."""
        return self.attributes.get(attribute)

    def require(self, attribute: Attribute) -> bytes:
        """Return the value.

        Raises:
            DamagedStoreError: it is absent or malformed.
        """
        value = self.attributes.get(attribute)
        if value is None:
            state = "malformed" if attribute in self.malformed else "missing"
            message = f"the key database is damaged: CKA_{attribute.name} of a key is {state}"
            raise DamagedStoreError(message)
        return value

    def number(self, attribute: Attribute) -> int | None:
        """Return a CK_ULONG, which is stored as 4 bytes big-endian; None if there is none."""
        value = self.get(attribute)
        return int.from_bytes(value, "big") if value and len(value) == _ULONG_BYTES else None


@dataclass(frozen=True, slots=True)
class PasswordRecord:
    """The password record: the global salt and the encrypted password check."""

    global_salt: bytes
    check: bytes = field(repr=False)


_CERTIFICATE_DATABASE_ATTRIBUTES = (
    Attribute.CLASS,
    Attribute.VALUE,
    Attribute.ISSUER,
    Attribute.SERIAL_NUMBER,
    Attribute.LABEL,
    Attribute.ID,
    Attribute.NSS_EMAIL,
    Attribute.TRUST_SERVER,
    Attribute.TRUST_CLIENT,
    Attribute.TRUST_CODE,
    Attribute.TRUST_EMAIL,
    Attribute.NSS_TRUST_SERVER,
    Attribute.NSS_TRUST_CLIENT,
    Attribute.NSS_TRUST_CODE,
    Attribute.NSS_TRUST_EMAIL,
)
_KEY_ATTRIBUTES = (
    Attribute.KEY_TYPE,
    Attribute.ID,
    Attribute.MODULUS,
    Attribute.PUBLIC_EXPONENT,
    Attribute.PRIVATE_EXPONENT,
    Attribute.PRIME_1,
    Attribute.PRIME_2,
    Attribute.EXPONENT_1,
    Attribute.EXPONENT_2,
    Attribute.COEFFICIENT,
    Attribute.EXTRACTABLE,
    Attribute.EC_PARAMS,
    Attribute.VALUE,
    Attribute.NSS_DB,
)


class CertificateDatabase:
    """cert9.db: certificates, and how far they are trusted."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._table = _Table(connection, "certificate database", "nssPublic")

    def objects(self) -> tuple[tuple[StoredObject, ...], tuple[StoredObject, ...]]:
        """Return the certificate objects, and the trust objects of both kinds, oldest first.

        The kinds are NSS's own, and PKCS#11's since NSS 3.114.
        """
        classes = (ObjectClass.CERTIFICATE, ObjectClass.NSS_TRUST, ObjectClass.TRUST)
        objects = self._table.objects(classes, _CERTIFICATE_DATABASE_ATTRIBUTES)
        certificates: list[StoredObject] = []
        trust: list[StoredObject] = []
        for stored in objects:
            kind = stored.number(Attribute.CLASS)
            (certificates if kind == ObjectClass.CERTIFICATE else trust).append(stored)
        return tuple(certificates), tuple(trust)


class KeyDatabase:
    """key4.db: private keys, the password record and the integrity signatures."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._table = _Table(connection, "key database", "nssPrivate")
        self._has_meta_data = self._table.exists("metaData")

    def private_keys(self) -> tuple[StoredObject, ...]:
        """Return the private-key objects; their values are encrypted."""
        return self._table.objects((ObjectClass.PRIVATE_KEY,), _KEY_ATTRIBUTES)

    def password_record(self) -> PasswordRecord | None:
        """Return the password record; None if the token was never initialised."""
        items = self._meta_data("password")
        if items is None:
            return None
        salt, check = items
        if not isinstance(salt, bytes) or not isinstance(check, bytes):
            message = "the key database is damaged: its password record is malformed"
            raise DamagedStoreError(message)
        return PasswordRecord(salt, check)

    def signature(self, object_id: int, attribute: Attribute) -> bytes | None:
        """Return the integrity signature of an attribute of a private key, or None.

        Before NSS 3.69 a change of the password could store it under the id with two more bits
        set (bug 1720226); NSS looks there second.
        """
        for number in (object_id, object_id | 0xC0000000):
            items = self._meta_data(f"sig_key_{number:08x}_{attribute.value:08x}")
            if items is not None and isinstance(items[0], bytes):
                return items[0]
        return None

    def _meta_data(self, name: str) -> tuple[object, object] | None:
        if not self._has_meta_data:
            return None
        rows = self._table.query("SELECT item1, item2 FROM metaData WHERE id = ? LIMIT 1", (name,))
        for item1, item2 in rows:
            for item in (item1, item2):
                if isinstance(item, bytes) and len(item) > _MAX_META_DATA_BYTES:
                    message = f"the key database is damaged: its record `{name}` is too long"
                    raise DamagedStoreError(message)
            return item1, item2
        return None


class _Table:
    """The table of objects in one database, and queries with our errors."""

    def __init__(self, connection: sqlite3.Connection, noun: str, name: str) -> None:
        self._connection = connection
        self._noun = noun
        self._name = name
        self._budget = Budget(_SECONDS)
        self._tables = plain_tables(connection)
        if not self.exists(name):
            message = f"the {noun} has no table `{name}`: it is not a database of NSS"
            raise DamagedStoreError(message)
        self._columns = _columns(self._tables[name])

    def exists(self, name: str) -> bool:
        """Return whether there is a plain table of that name."""
        return name in self._tables

    def query(self, sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Return all rows of a query.

        Raises:
            DamagedStoreError: SQLite finds the database damaged.
            UnsupportedStoreError: there are more than 10,000 rows or 8 MiB, or the queries of this
                database have taken more than 2 seconds.
        """
        rows: list[tuple[object, ...]] = []
        left = _MAX_ROW_BYTES
        with self._budget:
            self._budget.limit(self._connection)
            try:
                for row in self._connection.execute(sql, parameters):
                    left -= sum(len(value) for value in row if isinstance(value, bytes | str))
                    if left < 0 or len(rows) == _MAX_ROWS:
                        raise self._too_much()
                    rows.append(row)
            except sqlite3.DataError as error:  # a value longer than any row may be
                raise self._too_much() from error
            except (sqlite3.Error, OverflowError, UnicodeError) as error:
                if self._budget.is_spent():
                    message = f"reading the {self._noun} takes longer than {_SECONDS:g} seconds"
                    raise UnsupportedStoreError(message) from error
                message = f"the {self._noun} is damaged: {error}"
                raise DamagedStoreError(message) from error
        return rows

    def _too_much(self) -> UnsupportedStoreError:
        message = f"the {self._noun} holds more than nssbackup reads"
        hint = f"the limit is {_MAX_ROWS:,} objects and {_MAX_ROW_BYTES:,} bytes"
        return UnsupportedStoreError(message, hint=hint)

    def objects(
        self, classes: Iterable[ObjectClass], attributes: Iterable[Attribute]
    ) -> tuple[StoredObject, ...]:
        """Return the objects of some classes, with those of the attributes that have a column."""
        wanted = tuple(a for a in attributes if _COLUMNS[a] in self._columns)
        columns = ", ".join(["id", *(_COLUMNS[a] for a in wanted)])
        values = tuple(c.to_bytes(_ULONG_BYTES, "big") for c in classes)
        marks = ", ".join("?" * len(values))
        rows = self.query(
            f"SELECT {columns} FROM {self._name} WHERE a0 IN ({marks})",
            values,
        )
        # Sorted here: SQLite would read everything before the first row, and write it to files.
        return tuple(sorted((self._object(row, wanted) for row in rows), key=lambda one: one.id))

    def _object(self, row: tuple[object, ...], attributes: tuple[Attribute, ...]) -> StoredObject:
        number, *values = row
        if not isinstance(number, int) or not 0 <= number <= _MAX_OBJECT_ID:
            message = f"the {self._noun} is damaged: an object has an impossible id"
            raise DamagedStoreError(message)
        present = {}
        malformed = set()
        for attribute, value in zip(attributes, values, strict=True):
            if isinstance(value, bytes) and len(value) <= _MAX_VALUE:
                present[attribute] = b"" if value == _EXPLICIT_NULL else value
            elif value is not None:
                malformed.add(attribute)
        return StoredObject(number, present, frozenset(malformed))


@lru_cache(maxsize=64)
def _columns(schema: str) -> frozenset[str]:
    """Return the attribute columns of a table, from the text of its schema.

    SQLite takes far longer to list some two hundred of them, and a version of NSS has one schema.
    """
    return frozenset(re.findall(r"\ba[0-9a-f]+\b", schema))

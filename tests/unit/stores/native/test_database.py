"""The two databases as SQLite files of any content: rows, columns and values NSS never writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from nssbackup.errors import DamagedStoreError
from nssbackup.stores.native.database import (
    Attribute,
    CertificateDatabase,
    KeyDatabase,
    StoredObject,
)
from nssbackup.system.snapshot import take_snapshot
from tests.builders.store import EMPTY, StoreBuilder, cka_id, ec_key, issue, rsa_key

DER = issue(ec_key())


@pytest.fixture
def builder(tmp_path: Path) -> StoreBuilder:
    builder = StoreBuilder(tmp_path / "profile")
    builder.add_identity(ec_key(), DER, b"mine")
    return builder


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    connection = take_snapshot(path)
    assert connection is not None
    with closing(connection):
        yield connection


def certificates(builder: StoreBuilder) -> tuple[StoredObject, ...]:
    with connected(builder.write() / "cert9.db") as connection:
        return CertificateDatabase(connection).objects()[0]


def keys(builder: StoreBuilder) -> tuple[StoredObject, ...]:
    with connected(builder.write() / "key4.db") as connection:
        return KeyDatabase(connection).private_keys()


def change(builder: StoreBuilder, file: str, *statements: str) -> Path:
    path = builder.write() / file
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)
    return path


def damaged_certificates(path: Path) -> str:
    """The message of the error that reading the certificates must end in."""
    with connected(path) as connection, pytest.raises(DamagedStoreError) as info:
        CertificateDatabase(connection).objects()
    return info.value.message


def test_objects_come_with_their_values_oldest_first(builder: StoreBuilder) -> None:
    second = builder.add_certificate(issue(rsa_key()), b"second")
    second["id"] = 1
    first, other = certificates(builder)
    assert (first.id, first.get(Attribute.LABEL)) == (1, b"second")
    assert other.get(Attribute.VALUE) == DER
    assert other.get(Attribute.ID) == cka_id(ec_key())
    assert other.get(Attribute.NSS_EMAIL) is None


def test_objects_of_other_classes_are_left_out(builder: StoreBuilder) -> None:
    for kind in (b"\0\0\0\2", b"\0\0\0\4", b"\xce\x53\x43\x51", b"", b"\1", None, 1, "\1"):
        builder.add_certificate(DER)["a0"] = kind
        builder.add_key(ec_key())["a0"] = kind
    assert len(certificates(builder)) == 1
    assert len(keys(builder)) == 1


def test_trust_objects_of_both_kinds_are_found(builder: StoreBuilder) -> None:
    for kind in (0xCE534353, 0xB):
        builder.add_trust(builder.public[0], kind, a62c=b"\0\0\0\1")
    with connected(builder.write() / "cert9.db") as connection:
        found, trust = CertificateDatabase(connection).objects()
    assert len(found) == 1
    assert [t.number(Attribute.TRUST_SERVER) for t in trust] == [1, 1]


def test_present_and_empty_is_told_from_absent(builder: StoreBuilder) -> None:
    builder.public[0].update(a3=EMPTY, a102=None)
    (stored,) = certificates(builder)
    assert stored.get(Attribute.LABEL) == b""
    assert stored.get(Attribute.ID) is None
    assert not stored.malformed


@pytest.mark.parametrize("value", ["text", 5, 1.5, -1, "a5005a"])
def test_a_value_that_is_no_blob_is_malformed_and_not_absent(
    builder: StoreBuilder, value: object
) -> None:
    builder.private[0]["a11"] = value
    (stored,) = keys(builder)
    assert stored.get(Attribute.VALUE) is None
    assert stored.malformed == {Attribute.VALUE}
    with pytest.raises(DamagedStoreError, match="CKA_VALUE of a key is malformed"):
        stored.require(Attribute.VALUE)


def test_a_value_that_is_absent_is_said_to_be_missing(builder: StoreBuilder) -> None:
    builder.private[0]["a11"] = None
    (stored,) = keys(builder)
    with pytest.raises(DamagedStoreError, match="CKA_VALUE of a key is missing"):
        stored.require(Attribute.VALUE)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b"\0\0\0\3", 3),
        (b"\xce\x53\x43\x53", 0xCE534353),
        (b"", None),
        (EMPTY, None),
        (b"\3", None),
        (bytes(7) + b"\3", None),
        (None, None),
        (3, None),
    ],
)
def test_a_ulong_is_four_bytes_and_nothing_else(
    builder: StoreBuilder, value: object, number: int | None
) -> None:
    builder.private[0]["a100"] = value
    assert keys(builder)[0].number(Attribute.KEY_TYPE) == number


@pytest.mark.parametrize("number", [-1, 0x40000000, 2**62, "1", 1.5, b"\1", None])
def test_an_id_out_of_range_is_damage(builder: StoreBuilder, number: object) -> None:
    builder.private[0]["id"] = number
    with pytest.raises(DamagedStoreError, match="impossible id"):
        keys(builder)


@pytest.mark.parametrize("number", [0, 1, 0x3FFFFFFF])
def test_an_id_at_the_edge_is_none(builder: StoreBuilder, number: int) -> None:
    builder.private[0]["id"] = number
    assert keys(builder)[0].id == number


def test_columns_that_are_missing_are_absent_attributes(builder: StoreBuilder) -> None:
    builder.missing = frozenset({"a102", "ace534352", "ad5a0db00", "a162"})
    assert certificates(builder)[0].get(Attribute.ID) is None
    assert keys(builder)[0].get(Attribute.NSS_DB) is None


def test_a_table_without_classes_is_damage(builder: StoreBuilder) -> None:
    builder.missing = frozenset({"a0"})
    assert "damaged" in damaged_certificates(builder.write() / "cert9.db")


def test_columns_of_later_versions_are_no_matter(builder: StoreBuilder) -> None:
    for number in range(700, 780):
        builder.public[0][f"a{number:x}"] = b"later"
    assert certificates(builder)[0].get(Attribute.VALUE) == DER


def test_a_column_that_was_added_later_is_read(builder: StoreBuilder) -> None:
    """NSS 3.114 and later add columns to older databases with ALTER TABLE."""
    builder.missing = frozenset({"ace534352"})
    path = change(
        builder,
        "cert9.db",
        "ALTER TABLE nssPublic ADD COLUMN ace534352",
        "UPDATE nssPublic SET ace534352 = x'6a40'",
    )
    with connected(path) as connection:
        (stored,) = CertificateDatabase(connection).objects()[0]
    assert stored.get(Attribute.NSS_EMAIL) == b"j@"


@pytest.mark.parametrize("quote", ['"', "`", "[", "'"])
def test_a_column_with_a_quoted_name_is_read(builder: StoreBuilder, quote: str) -> None:
    end = {"[": "]"}.get(quote, quote)
    names = [f"{quote}{name}{end}" for name in ("id", "a0", "a11", "a81", "a82", "a102")]
    path = change(
        builder,
        "cert9.db",
        "ALTER TABLE nssPublic RENAME TO old",
        "CREATE TABLE nssPublic (" + " BLOB,\n".join(names) + ")",
        "INSERT INTO nssPublic SELECT id, a0, a11, a81, a82, a102 FROM old",
        "DROP TABLE old",
    )
    with connected(path) as connection:
        (stored,) = CertificateDatabase(connection).objects()[0]
    assert stored.get(Attribute.VALUE) == DER


# --- what is no ordinary table

ENDLESS = (
    "CREATE VIEW nssPublic AS WITH RECURSIVE r(id, a0) AS"
    " (SELECT 1, x'00000001' UNION ALL SELECT id + 1, a0 FROM r) SELECT * FROM r"
)
IMPOSTORS = {
    "view": "CREATE VIEW nssPublic AS SELECT * FROM old",
    "endless view": ENDLESS,
    "virtual table": "CREATE VIRTUAL TABLE nssPublic USING fts5(id, a0, a11)",
    "index only": "CREATE INDEX nssPublic ON old (a0)",
    "other name": "CREATE TABLE nsspublic2 (id, a0, a11)",
    "no table": "DROP TABLE old",
}


@pytest.mark.parametrize("case", IMPOSTORS)
def test_only_an_ordinary_table_is_read(builder: StoreBuilder, case: str) -> None:
    path = change(builder, "cert9.db", "ALTER TABLE nssPublic RENAME TO old", IMPOSTORS[case])
    assert "no table `nssPublic`" in damaged_certificates(path)


def test_a_computed_column_does_not_fill_the_memory(builder: StoreBuilder) -> None:
    """A few bytes of schema can ask for a gigabyte in every row."""
    path = change(
        builder,
        "cert9.db",
        "DROP TABLE nssPublic",
        "CREATE TABLE nssPublic (id, a0, a11 AS (zeroblob(200000000)))",
        "INSERT INTO nssPublic VALUES (1, x'00000001')",
    )
    with connected(path) as connection:
        try:
            (stored,) = CertificateDatabase(connection).objects()[0]
        except DamagedStoreError:
            return
    size = len(stored.get(Attribute.VALUE) or b"")
    assert size < 100_000_000


def test_a_trigger_is_never_run(builder: StoreBuilder) -> None:
    path = change(
        builder,
        "cert9.db",
        "CREATE TRIGGER t AFTER INSERT ON nssPublic BEGIN DELETE FROM nssPublic; END",
    )
    with connected(path) as connection:
        assert len(CertificateDatabase(connection).objects()[0]) == 1


# --- metaData


def test_a_record_longer_than_nss_can_read_is_damage(builder: StoreBuilder) -> None:
    assert builder.meta is not None
    for size, fits in ((256, True), (257, False)):
        builder.meta["password"] = (bytes(20), bytes(size))
        with connected(builder.write() / "key4.db") as connection:
            database = KeyDatabase(connection)
            if fits:
                record = database.password_record()
                assert record is not None
                assert len(record.check) == size
            else:
                with pytest.raises(DamagedStoreError, match="too long"):
                    database.password_record()


@pytest.mark.parametrize(
    "statements",
    [
        ("DROP TABLE metaData",),
        ("ALTER TABLE metaData RENAME TO m", "CREATE VIEW metaData AS SELECT * FROM m"),
        ("DELETE FROM metaData",),
    ],
    ids=["none", "view", "empty"],
)
def test_without_a_table_of_records_there_is_no_password_record(
    builder: StoreBuilder, statements: tuple[str, ...]
) -> None:
    with connected(change(builder, "key4.db", *statements)) as connection:
        assert KeyDatabase(connection).password_record() is None


def test_records_without_their_columns_are_damage(builder: StoreBuilder) -> None:
    path = change(builder, "key4.db", "DROP TABLE metaData", "CREATE TABLE metaData (id, other)")
    with connected(path) as connection, pytest.raises(DamagedStoreError):
        KeyDatabase(connection).password_record()


def test_no_secret_is_in_a_repr(builder: StoreBuilder) -> None:
    (stored,) = keys(builder)
    assert "attributes" not in repr(stored)
    assert repr(stored.require(Attribute.VALUE))[2:30] not in repr(stored)

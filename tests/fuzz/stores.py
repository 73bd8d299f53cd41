"""Stores: the targets whose inputs lie in a profile, as whole files and as what is in them."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from nssbackup.backups.writing import default_name
from nssbackup.cli.tables import identity_table
from nssbackup.errors import NssBackupError
from nssbackup.identity.choosing import assemble, choose, listed, matching
from nssbackup.identity.model import Profile
from nssbackup.report import identity_json
from nssbackup.restore import objects
from nssbackup.secret import Secret
from nssbackup.stores import Store, firefox_backup
from nssbackup.stores.containers import container_kind, profiles_in
from nssbackup.stores.legacy import cert8, key3
from nssbackup.stores.legacy.berkeley import read_records
from nssbackup.stores.legacy.store import LegacyStore
from nssbackup.stores.native import NativeEngine, pbe
from nssbackup.stores.native.database import Attribute, CertificateDatabase, KeyDatabase
from nssbackup.stores.native.store import NativeStore
from tests.builders import firefox_backup as made_by_firefox
from tests.builders.berkeley import berkeley_file
from tests.builders.legacy import certificate_key, certificate_record, check_record, key_record
from tests.builders.store import (
    Key,
    aes_blob,
    cka_id,
    des_blob,
    intermediate,
    public_value,
    signature,
    unsigned,
)
from tests.fuzz import scratch, seeds
from tests.fuzz.records import Record, decode, encode
from tests.fuzz.target import Target

_SALT = bytes(20)
_KEY = intermediate(_SALT, "")
_COLUMNS = tuple(f"a{attribute.value:x}" for attribute in Attribute)

# What a record is in the target `rows`.
_PUBLIC, _PRIVATE, _BLOB, _TEXT, _NUMBER, _OLD, _SEALED, _META, _ROUNDED = range(9)
_SIGNED = 0x80


def ask(store: Store) -> None:
    """All that any command asks of a store, and makes of the answers."""
    certificates = store.certificates()
    store.notes()
    store.orphan_keys()
    identities = assemble(None, certificates)
    _, rows = identity_table(listed(identities, everything=True))
    # What is shown is short: to wrap a megabyte takes seconds.
    assert all(len(cell) < 200 for row in rows for cell in row)
    for identity in identities:
        own = identity.certificate
        identity_json(identity)
        default_name(identity)
        matching([identity], own.subject)
        store.orphan_of(own)
        objects.names(own.der)
    with suppress(NssBackupError):
        choose(identities, None)
    store.needs_password()
    store.unlock(Secret(""))
    for certificate in certificates:
        with suppress(NssBackupError):
            store.private_key(certificate)


def _open(files: dict[str, bytes]) -> None:
    with (
        scratch.folder(files) as folder,
        NativeEngine().open(Profile(folder, "input", "Firefox")) as store,
    ):
        ask(store)


# --- whole files


def _database(data: bytes) -> None:
    """The first byte says which of the two databases the rest is."""
    certificates = seeds.compact("ec-p256", "cert9.db")
    keys = seeds.compact("ec-p256", "key4.db")
    if data[:1] < b"\x80":
        certificates = data[1:]
    else:
        keys = data[1:]
    _open({"cert9.db": certificates, "key4.db": keys})


def _database_seeds() -> Iterator[bytes]:
    for profile in seeds.CURRENT:
        yield b"\0" + seeds.compact(profile, "cert9.db")
        yield b"\xff" + seeds.compact(profile, "key4.db")
    yield b"\0" + seeds.file("ec-p256", "cert9.db")
    yield b"\xff" + seeds.file("ec-p256", "key4.db")


def _journal(data: bytes) -> None:
    """The first byte says what lies beside `cert9.db`: a rollback journal or a WAL."""
    suffix = "-journal" if data[:1] < b"\x80" else "-wal"
    certificates = seeds.compact("ec-p256", "cert9.db")
    _open({"cert9.db": certificates, f"cert9.db{suffix}": data[1:]})


@cache
def _journal_seeds() -> tuple[bytes, ...]:
    found = []
    for mode, suffix, mark in (("DELETE", "-journal", b"\0"), ("WAL", "-wal", b"\xff")):
        path = scratch.place() / f"seed{suffix}.db"
        path.write_bytes(seeds.compact("ec-p256", "cert9.db"))
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute(f"PRAGMA journal_mode={mode}").fetchall()
            database.executescript("PRAGMA cache_size=1; BEGIN; UPDATE nssPublic SET a3 = x'00'")
            if mode == "WAL":
                database.execute("COMMIT")
            beside = path.with_name(path.name + suffix)
            journal = beside.read_bytes() if beside.exists() else b""
            found.append(mark + journal)
            if mode == "DELETE":
                # SQLite writes the header last. Here it is, with a super-journal's name behind.
                whole = bytes.fromhex("d9d505f920a163d7") + b"\xff" * 4 + journal[12:]
                name = b"/nowhere/x-mj1"
                numbers = len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big")
                found += [mark + whole, mark + whole + bytes(4) + name + numbers + whole[:8]]
        for left in scratch.place().glob(f"{path.name}*"):
            left.unlink()
    return tuple(found)


def _legacy(data: bytes) -> None:
    """The first byte says which of the two databases the rest is."""
    name = "cert8.db" if data[:1] < b"\x80" else "key3.db"
    files = {each: seeds.file("legacy-ec", each) for each in ("cert8.db", "key3.db")}
    _open({**files, name: data[1:]})


def _legacy_seeds() -> Iterator[bytes]:
    for profile in seeds.LEGACY:
        yield b"\0" + seeds.file(profile, "cert8.db")
        yield b"\xff" + seeds.file(profile, "key3.db")
    yield from (one[:1] + _pages(one[1:]) for one in _legacy_row_seeds())


def _pages(data: bytes) -> bytes:
    return berkeley_file([(one.first, one.second) for one in decode(data)], page_size=512, seed=7)


def _berkeley(data: bytes) -> None:
    for _ in read_records(data, "input"):
        pass


def _berkeley_seeds() -> Iterator[bytes]:
    yield from (one[1:] for one in _legacy_seeds())
    for seed in range(4):
        records = [(bytes([n, seed]) * (n + 1), bytes([n]) * 40 * n) for n in range(12)]
        yield berkeley_file(records, page_size=512, byte_order="big", seed=seed)


# --- what is in them


def _legacy_rows(data: bytes) -> None:
    """The first byte says of which database the rest are the records."""
    records: dict[bytes, bytes] = {}
    for one in decode(data[1:]):
        # A record of kind 1 has a private key that is still to be encrypted.
        value = key_record(des_blob(_KEY, one.second)) if one.kind == 1 else one.second
        records[one.first] = value
    if data[:1] < b"\x80":
        pages = berkeley_file(records.items(), page_size=4096)
        with scratch.folder({}) as folder:
            ask(LegacyStore(*cert8.read_certificates(pages, folder), key3.KeyDatabase()))
        return
    values = {name.lstrip(b"\0"): value for name, value in records.items()}
    keys = key3.KeyDatabase(
        records.get(b"global-salt", b""),
        records.get(b"password-check"),
        {name: value for name, value in values.items() if len(name) >= 28},
    )
    for name in keys.keys:
        key3.orphan_key(name)
        with suppress(NssBackupError):
            keys.private_key(name, pbe.IntermediateKey(_KEY))
    if keys.check is not None:
        keys.unlock("")


@cache
def _legacy_row_seeds() -> tuple[bytes, ...]:
    certificates = [
        Record(0, 0, certificate_key(der), certificate_record(der)) for der in seeds.certificates()
    ]
    keys = [Record(0, 0, b"Version", b"\3"), Record(0, 0, b"global-salt", _SALT)]
    keys.append(Record(0, 0, b"password-check", check_record(_KEY, rounds=2)))
    for pkcs8 in seeds.private_keys():
        key = cast("Key", load_der_private_key(pkcs8, None))
        keys.append(Record(1, 0, public_value(key), pkcs8))
        keys.append(Record(0, 0, public_value(key), key_record(des_blob(_KEY, pkcs8))))
    pages = [certificates[at : at + 4] for at in range(0, len(certificates), 4)]
    return (*(b"\0" + encode(page) for page in pages), b"\xff" + encode(keys))


def _rows(data: bytes) -> None:
    """Records that make up the rows of both databases, one value each."""
    tables: tuple[list[dict[str, object]], list[dict[str, object]]] = ([], [])
    meta: dict[str, tuple[object, object]] = {}
    row: dict[str, object] = {"id": 1}
    for one in decode(data):
        kind, column = one.kind & ~_SIGNED, _COLUMNS[one.detail % len(_COLUMNS)]
        if kind in (_PUBLIC, _PRIVATE):
            row = {"id": int.from_bytes(one.first[:8], "big", signed=True)}
            tables[kind].append(row)
        elif kind == _META:
            items = (_SALT, one.second) if one.detail & 1 else (one.second, None)
            meta[one.first.decode("latin-1")] = items
        else:
            row[column] = _value(kind, one.first)
            number, attribute = row["id"], int(column[1:], 16)
            if one.kind & _SIGNED and isinstance(number, int) and 0 <= number < 2**32:
                signed = 0 if kind in (_OLD, _SEALED, _ROUNDED) else number
                mac = signature(_KEY, signed, attribute, one.first)
                meta[f"sig_key_{number:08x}_{attribute:08x}"] = (mac, None)
    public, private = (sqlite3.connect(":memory:", isolation_level=None) for _ in range(2))
    with closing(public), closing(private):
        _fill(public, "nssPublic", tables[_PUBLIC])
        _fill(private, "nssPrivate", tables[_PRIVATE])
        private.execute("CREATE TABLE metaData (id PRIMARY KEY UNIQUE, item1, item2)")
        private.executemany(
            "INSERT INTO metaData VALUES (?, ?, ?)",
            [(name, *items) for name, items in meta.items()],
        )
        ask(NativeStore(CertificateDatabase(public), KeyDatabase(private)))


def _value(kind: int, data: bytes) -> object:
    if kind == _TEXT:
        return data.decode("latin-1")
    if kind == _NUMBER:
        return int.from_bytes(data[:8], "big", signed=True)
    if kind == _OLD:
        return des_blob(_KEY, data)
    if kind == _SEALED:
        return aes_blob(_KEY, data)
    if kind == _ROUNDED:
        return aes_blob(_KEY, data, rounds=3)
    return data


def _fill(database: sqlite3.Connection, table: str, rows: list[dict[str, object]]) -> None:
    columns = ", ".join(_COLUMNS)
    database.execute(f"CREATE TABLE {table} (id, {columns})")
    marks = ", ".join("?" * (len(_COLUMNS) + 1))
    database.executemany(
        f"INSERT INTO {table} VALUES ({marks})",  # noqa: S608 - names are constants
        [(row["id"], *(row.get(column) for column in _COLUMNS)) for row in rows],
    )


@cache
def _row_seeds() -> tuple[bytes, ...]:
    check = des_blob(_KEY, b"password-check"), aes_blob(_KEY, b"password-check")
    passwords = [Record(_META, 1, b"password", each) for each in check]
    found = [encode([each]) for each in passwords]
    for at, (identity, key) in enumerate(seeds.identities()):
        own = identity.certificate
        loaded = cast("Key", load_der_private_key(key.pkcs8, None))
        names = objects.names(own.der)
        records = [Record(_PUBLIC, 0, bytes([at]))]
        records += [_blob(0x0, b"\0\0\0\1"), _blob(0x11, own.der), _blob(0x3, b"Jane \xff")]
        records += [_blob(0x81, names["a81"]), _blob(0x82, names["a82"])]
        records += [_blob(0x102, cka_id(loaded)), _blob(0xCE534352, b"jane@example.com")]
        records += [Record(_PUBLIC, 0, bytes([at, 1])), _blob(0x0, bytes.fromhex("ce534353"))]
        records += [_blob(0x81, names["a81"]), _blob(0x82, names["a82"])]
        records += [_blob(0xCE536358, bytes.fromhex("ce534352")), _blob(0x62C, b"\0\0\0\1")]
        records += [Record(_PRIVATE, 0, bytes([at, 2])), _blob(0x0, b"\0\0\0\3")]
        records += [_blob(0x102, cka_id(loaded)), _blob(0xD5A0DB00, public_value(loaded))]
        found += [
            encode([passwords[at % 2], *records, *_key_records(loaded, sealed)])
            for sealed in (_OLD, _SEALED | _SIGNED, _ROUNDED | _SIGNED)
        ]
    return tuple(found)


def _blob(attribute: int, value: bytes, kind: int = _BLOB) -> Record:
    return Record(kind, _COLUMNS.index(f"a{attribute:x}"), value)


def _key_records(key: Key, sealed: int) -> Iterator[Record]:
    if isinstance(key, rsa.RSAPrivateKey):
        n = key.private_numbers()
        yield _blob(0x100, bytes(4))
        yield _blob(0x120, unsigned(n.public_numbers.n), _BLOB | _SIGNED)
        yield _blob(0x122, unsigned(n.public_numbers.e), _BLOB | _SIGNED)
        for attribute, number in enumerate((n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp), 0x123):
            yield _blob(attribute, unsigned(number), sealed)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        yield _blob(0x100, b"\0\0\0\3")
        yield _blob(0x180, bytes.fromhex("06082a8648ce3d030107"))
        value = key.private_numbers().private_value
        yield _blob(0x11, value.to_bytes((key.key_size + 7) // 8, "big"), sealed)
    elif isinstance(key, dsa.DSAPrivateKey):
        yield _blob(0x100, b"\0\0\0\1")


def _pbe(data: bytes) -> None:
    """The first byte says what the rest is taken for."""
    key, blob = pbe.IntermediateKey(_KEY), data[1:]
    if data[:1] < b"\x55":
        pbe.parse_ciphertext(blob, "the input").decrypt(key)
    elif data[:1] < b"\xaa":
        pbe.parse_signature(blob, "the input").fits(key, 1, 2, b"value")
    else:
        salt, rounds = blob[:20], int.from_bytes(blob[20:24], "big")
        pbe.old_ciphertext(salt, rounds, blob[24:], "the input").decrypt(key)


def _pbe_seeds() -> Iterator[bytes]:
    for blob in (*seeds.blobs(), aes_blob(_KEY, b"value"), des_blob(_KEY, b"value")):
        yield b"\0" + blob
        yield b"\x80" + blob
    yield b"\xff" + bytes(23) + b"\2" + des_blob(_KEY, b"value")[-8:]


# --- containers


def _archive(data: bytes) -> None:
    """A ZIP or a tar with profiles in it."""
    with scratch.folder({"input": data}) as folder:
        kind = container_kind(folder / "input")
        if kind is None:
            return
        for profile in profiles_in(folder / "input", kind, lambda *_: None):
            with suppress(NssBackupError), NativeEngine().open(profile) as store:
                ask(store)


@cache
def _archive_seeds() -> tuple[bytes, ...]:
    found = []
    files = {name: seeds.compact("ec-p256", name) for name in ("cert9.db", "key4.db")}
    with scratch.folder(files) as folder, tempfile.TemporaryDirectory() as made:
        for kind in ("zip", "tar", "gztar", "bztar", "xztar"):
            made_of = shutil.make_archive(f"{made}/seed", kind, folder)
            found.append(Path(made_of).read_bytes())
    return tuple(found)


def _firefox_backup(data: bytes) -> None:
    """The first byte says what the rest is: a file, or the ZIP that was encrypted in it."""
    path = Path("input.html")
    if data[:1] >= b"\x80":
        firefox_backup.databases_in(iter((data[1:],)), path)
        return
    with scratch.folder({"input.html": data[1:]}) as folder:
        firefox_backup.read_header(folder / "input.html")


def _firefox_backup_seeds() -> Iterator[bytes]:
    files = {
        f"credentials_and_security/{name}": seeds.compact("ec-p256", name)
        for name in ("cert9.db", "key4.db")
    }
    yield b"\xff" + made_by_firefox.archive(files)
    yield b"\0" + made_by_firefox.firefox_backup(b"short")
    yield b"\0" + made_by_firefox.firefox_backup(b"short", encrypted=False)


TARGETS = (
    Target("database", _database, _database_seeds, 40_000),
    Target("journal", _journal, _journal_seeds, 20_000),
    Target("rows", _rows, _row_seeds, 8_000),
    Target("pbe", _pbe, _pbe_seeds, 1_000, (pbe.DecryptionError,)),
    Target("legacy", _legacy, _legacy_seeds, 66_000),
    Target("berkeley", _berkeley, _berkeley_seeds, 20_000),
    Target("archive", _archive, _archive_seeds, 40_000),
    Target("firefox-backup", _firefox_backup, _firefox_backup_seeds, 40_000),
    Target("legacy-rows", _legacy_rows, _legacy_row_seeds, 8_000),
)

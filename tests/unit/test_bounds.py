"""Bounds: files made to take all the time or memory there is end soon, in an error that says so.

Each within five seconds of the processor and 256 MB (`guard`). The table in the README has all
bounds; those that are not here are tested beside their parsers.
"""

from __future__ import annotations

import json
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ObjectIdentifier

from nssbackup.batch import state
from nssbackup.batch.password_table import PasswordTable
from nssbackup.batch.report import BatchItem, HomeResult
from nssbackup.errors import (
    KeyInconsistentError,
    KeyNotExportableError,
    StoreUnwritableError,
    UnsupportedBackupError,
    UnsupportedStoreError,
    UsageError,
)
from nssbackup.fleet.play import HostError
from nssbackup.fleet.reports import read_document
from nssbackup.identity import chain, private_keys
from nssbackup.identity.certificate import StoredCertificate, from_der
from nssbackup.identity.model import Profile
from nssbackup.pkcs12 import kdf, open_pfx, structure
from nssbackup.pkcs12.kdf import Hash, Kdf, Pbkdf2
from nssbackup.pkcs12.protection import pbe_sha1_3des, pkcs12_mac
from nssbackup.profiles import lists, settings
from nssbackup.profiles.lists import read_group_members
from nssbackup.restore import rows as native_rows
from nssbackup.restore import writer
from nssbackup.restore.objects import Additions
from nssbackup.restore.rows import Rows
from nssbackup.secret import Secret
from nssbackup.stores import copies
from nssbackup.stores.legacy import berkeley, cert8
from nssbackup.stores.native import NativeEngine, contents, database
from nssbackup.system import snapshot
from tests.builders.berkeley import berkeley_file
from tests.builders.legacy import certificate_record
from tests.builders.store import (
    StoreBuilder,
    ec_key,
    integer,
    issue,
    octets,
    oid,
    rsa_key,
    seq,
    tlv,
)
from tests.fuzz import guard
from tests.unit.pkcs12.identities import authenticated, key_bag
from tests.unit.profiles.machine import Machine

CERTIFICATE = b"\0\0\0\1"
TABLE = "CREATE TABLE nssPublic (id, a0, a3, a11, a81, a82, a102)"
PASSWORD = Secret("x")


@pytest.fixture(autouse=True)
def _limited() -> Iterator[None]:
    with guard.limits():
        yield


@pytest.fixture
def every_fault(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--every-fault"))


# --- databases


def made(
    folder: Path,
    fill: Callable[[sqlite3.Connection], object],
    page: int = 4096,
    name: str = "cert9.db",
    table: str = TABLE,
) -> Path:
    folder.mkdir(exist_ok=True)
    with closing(sqlite3.connect(folder / name, isolation_level=None)) as connection:
        connection.executescript(f"PRAGMA page_size={page}; PRAGMA synchronous=OFF; BEGIN; {table}")
        fill(connection)
        connection.execute("COMMIT")
    return folder


def read(folder: Path) -> int:
    with NativeEngine().open(Profile(folder, "x", "Firefox")) as store:
        return len(store.certificates())


def rows(count: int, value: bytes = b"") -> Callable[[sqlite3.Connection], object]:
    insert = "INSERT INTO nssPublic (id, a0, a11) VALUES (?, ?, ?)"
    return lambda connection: connection.executemany(
        insert, ((number, CERTIFICATE, value) for number in range(count))
    )


def test_ten_thousand_objects_are_read_and_one_more_is_not(tmp_path: Path) -> None:
    assert read(made(tmp_path / "most", rows(10_000))) == 0
    with pytest.raises(UnsupportedStoreError, match="more than nssbackup reads"):
        read(made(tmp_path / "more", rows(10_001)))


def test_a_value_of_a_megabyte_is_one_and_a_longer_is_none(tmp_path: Path) -> None:
    folder = made(tmp_path / "x", rows(1, bytes(1024 * 1024)))
    with closing(sqlite3.connect(":memory:")) as copy:
        with closing(sqlite3.connect(folder / "cert9.db")) as source:
            source.backup(copy)
        (stored,), _ = database.CertificateDatabase(copy).objects()
        assert len(stored.require(database.Attribute.VALUE)) == 1024 * 1024
        copy.execute("UPDATE nssPublic SET a11 = zeroblob(1024 * 1024 + 1)")
        (stored,), _ = database.CertificateDatabase(copy).objects()
        assert stored.get(database.Attribute.VALUE) is None
        assert database.Attribute.VALUE in stored.malformed


def test_values_as_large_as_they_may_be_together(tmp_path: Path) -> None:
    assert read(made(tmp_path / "most", rows(8, bytes(1_000_000)))) == 0
    for count, size, reason in (
        (9, 1_000_000, "more than nssbackup reads"),
        (1, 31_000_000, "more than nssbackup reads"),
        (2, 31_000_000, "too large"),
    ):
        with pytest.raises(UnsupportedStoreError, match=reason):
            read(made(tmp_path / f"{count}-{size}", rows(count, bytes(size))))


def amplified(
    folder: Path,
    *,
    matching: bool,
    name: str = "cert9.db",
    table: str = TABLE,
    row: str = "(1, x'%s', x'', x'', x'', x'', x'')",
) -> Path:
    """A table of a few pages that has 38 to the power of 15 rows: pages lie in many places."""
    size, depth = 512, 15
    kind = (CERTIFICATE if matching else b"else").hex()
    values = row.replace("%s", kind)
    made(
        folder,
        lambda each: each.execute(f"INSERT INTO {table.split()[2]} VALUES {values}"),  # noqa: S608 - ours
        size,
        name,
        table,
    )
    path = folder / name
    data = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master").fetchone()
    leaf = bytes(data[(root - 1) * size : root * size])
    pages = len(data) // size
    inner = [_interior(pages + 2 + level, size) for level in range(depth)]
    data[(root - 1) * size : root * size] = _interior(pages + 1, size)
    data += b"".join([*inner, leaf])
    data[28:32] = struct.pack(">I", len(data) // size)
    path.write_bytes(data)
    return folder


def _interior(child: int, size: int) -> bytes:
    """An inner page of a table, all of whose pointers lead to one page (sqlite.org/fileformat)."""
    count = (size - 12) // 8
    start = size - 6 * count
    page = bytearray(size)
    page[:12] = struct.pack(">BHHHBI", 5, 0, count, start, 0, child)
    for cell in range(count):
        at = start + 6 * cell
        struct.pack_into(">H", page, 12 + 2 * cell, at)
        struct.pack_into(">IBB", page, at, child, 0x81, cell % 128)
    return bytes(page)


def test_more_rows_than_the_file_has_room_for_fill_no_memory(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedStoreError, match="more than nssbackup reads"):
        read(amplified(tmp_path / "x", matching=True))


def test_nor_do_they_where_something_is_to_be_added(tmp_path: Path) -> None:
    folder = amplified(tmp_path / "x", matching=False)
    writer.create_missing(folder)
    with pytest.raises(UnsupportedStoreError, match="more than nssbackup reads"):
        Rows.read(folder)


def test_rows_without_end_that_are_none_of_ours_end_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, every_fault: bool
) -> None:
    if not every_fault:
        monkeypatch.setattr(database, "_SECONDS", 0.1)
    with pytest.raises(UnsupportedStoreError, match="takes longer than"):
        read(amplified(tmp_path / "x", matching=False))


def test_a_group_without_end_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "_READ_SECONDS", 0.1)
    machine = Machine(tmp_path)
    folder = machine.root / lists.GROUPS_FOLDER
    folder.mkdir(parents=True)
    table = "CREATE TABLE Profiles (path, name)"
    amplified(folder, matching=False, name="0.sqlite", table=table, row="(17, NULL)")
    assert read_group_members(machine.root, machine.system()) == ()


def test_the_time_of_a_database_is_one_for_all_its_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_SECONDS", 0.1)
    folder = amplified(tmp_path / "x", matching=False)
    with closing(sqlite3.connect(folder / "cert9.db")) as connection:
        certificates = database.CertificateDatabase(connection)
        for _ in range(2):
            with pytest.raises(UnsupportedStoreError, match="takes longer than"):
                certificates.objects()
        assert certificates._table._budget.is_spent()  # noqa: SLF001 - nothing left for a third


def endless(folder: Path, name: str, table: str, row: str) -> Path:
    """A database of NSS whose table has no end, and no index that leads to a row."""
    amplified(folder, matching=False, name=name, table=table, row=row)
    writer.create_missing(folder)
    return folder


RECORDS = ("key4.db", "CREATE TABLE metaData (id, item1, item2)", "('x', x'', x'')")


def test_copying_a_profile_with_endless_records_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, every_fault: bool
) -> None:
    if not every_fault:
        monkeypatch.setattr(copies, "_SECONDS", 0.1)
    folder = endless(tmp_path, *RECORDS)
    with copies.private_copy(folder) as copy:
        assert copy.global_salt is None


def test_nor_where_something_is_to_be_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, every_fault: bool
) -> None:
    if not every_fault:
        monkeypatch.setattr(native_rows, "_SECONDS", 0.1)
        monkeypatch.setattr(writer, "_SECONDS", 0.1)
    folder = endless(tmp_path, *RECORDS)
    with closing(sqlite3.connect(folder / "key4.db")) as connection:
        connection.execute("CREATE TABLE nssPrivate (id, a0)")
    with pytest.raises(UnsupportedStoreError, match="takes longer than"):
        Rows.read(folder)
    additions = Additions((), {"sig_key_1": b""}, ())
    with pytest.raises(StoreUnwritableError, match="interrupted"):
        writer.add(folder, additions, b"salt")


def test_the_keys_of_a_store_are_indexed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each certificate from elsewhere asks for its key: that may not go over all keys."""
    builder = StoreBuilder(tmp_path / "x")
    for number in range(20):
        builder.add_key(ec_key(number))
    builder.write()
    indexed = []
    before = contents._stored_value  # noqa: SLF001 - what is done for each key

    def counted(key: database.StoredObject) -> bytes:
        indexed.append(key)
        return before(key)

    monkeypatch.setattr(contents, "_stored_value", counted)
    certificate = from_der(issue(ec_key(3)))
    with NativeEngine().open(Profile(tmp_path / "x", "x", "Firefox")) as store:
        for _ in range(50):
            assert store.orphan_of(certificate) is not None
    assert len(indexed) == 2 * 20


# --- legacy databases


def test_so_many_records_and_certificates_are_read_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(berkeley, "_MAX_RECORDS", 10)
    monkeypatch.setattr(cert8, "_MAX_CERTIFICATES", 8)
    ders = [issue(ec_key(), serial=number + 1) for number in range(9)]
    records = [(b"\1%d" % number, certificate_record(der)) for number, der in enumerate(ders)]
    for count, expected in (
        (8, None),
        (9, "more than 8 cert"),
        (10, None),
        (11, "more than 10 rec"),
    ):
        some = records[:count] if count < 10 else [(b"\2%d" % n, b"") for n in range(count)]
        data = berkeley_file(some)
        if expected is None:
            cert8.read_certificates(data, tmp_path)
        else:
            with pytest.raises(UnsupportedStoreError, match=expected):
                cert8.read_certificates(data, tmp_path)


def test_bytes_of_legacy_certificates_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [certificate_record(issue(ec_key(), serial=n + 1)) for n in range(3)]
    data = berkeley_file([(b"\1%d" % n, record) for n, record in enumerate(records)])
    for spare, expected in ((0, 3), (-1, 2)):
        monkeypatch.setattr(cert8, "_MAX_RECORD_BYTES", sum(map(len, records)) + spare)
        found, notes = cert8.read_certificates(data, tmp_path)
        assert len(found) == expected
        assert len(notes) == 3 - expected


def test_certificates_of_names_alone(tmp_path: Path, *, every_fault: bool) -> None:
    """The most expensive there are, by the byte."""
    part = seq(oid("2.5.4.3"), tlv(0x0C, b"a"))
    person = seq(*[tlv(0x31, part)] * 10_000)
    key = ec_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    algorithm = seq(oid("1.2.840.10045.4.3.2"))
    validity = seq(tlv(0x17, b"260101000000Z"), tlv(0x17, b"270101000000Z"))
    ders = []
    for number in range(33 if every_fault else 3):
        version = tlv(0xA0, integer(2))
        serial = integer(number + 1)
        body = seq(version, serial, algorithm, person, validity, person, key)
        ders.append(seq(body, algorithm, tlv(3, b"\0\0")))
    insert = "INSERT INTO nssPublic (id, a0, a11) VALUES (?, ?, ?)"
    values = [(number, CERTIFICATE, der) for number, der in enumerate(ders)]
    assert read(made(tmp_path / "x", lambda each: each.executemany(insert, values))) == len(ders)


# --- private keys


def pkcs8(algorithm: bytes, key: bytes) -> bytes:
    return seq(integer(0), algorithm, octets(key))


def test_a_dsa_key_of_forty_thousand_bits_is_not_computed_with() -> None:
    """OpenSSL computes the public value when it loads one: 25 seconds of these 15 kB."""
    with pytest.raises(KeyNotExportableError, match="DSA"):
        private_keys.from_pkcs8(dsa_pkcs8(40_000))


@pytest.mark.parametrize("identifier", ["1.2.840.113549.1.3.1", "1.2.840.10046.2.1"])
def test_a_dh_key_is_not_computed_with(identifier: str) -> None:
    """There the private value may be as long as the file: 13 seconds of these 50 kB."""
    p = (1 << 9999) | (1 << 5000) | 12345679
    algorithm = seq(oid(identifier), seq(integer(p), integer(3), integer(5)))
    with pytest.raises(KeyNotExportableError, match="DH"):
        private_keys.from_pkcs8(pkcs8(algorithm, integer((1 << 400_000) - 1)))


def test_a_dsa_key_outside_of_pkcs8_is_not_computed_with() -> None:
    p = (1 << 40_000) - 159
    old = seq(integer(0), integer(p), integer(5), integer(2), integer(7), integer(p - 2))
    with pytest.raises(KeyInconsistentError, match="PKCS#8"):
        private_keys.from_pkcs8(old)


@pytest.mark.parametrize("place", range(3, 9))
def test_an_rsa_number_of_megabytes_is_not_computed_with(place: int) -> None:
    n = rsa_key(0, 1024).private_numbers()
    public = n.public_numbers
    numbers = [0, public.n, public.e, n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp]
    numbers[place] = (1 << 20_000_000) | 1
    numbers[9 - place if place in (4, 5) else place] |= (1 << 20_000_000) | 1
    key = pkcs8(
        seq(oid("1.2.840.113549.1.1.1"), b"\x05\0"), seq(*(integer(each) for each in numbers))
    )
    with pytest.raises(KeyInconsistentError):
        private_keys.from_pkcs8(key)


# --- backups


@pytest.mark.parametrize(
    ("kdfs", "cost"),
    [
        ((pkcs12_mac("sha256", b"s", 1000).kdf,), 1000),
        ((pkcs12_mac("sha512", b"s", 1000).kdf,), 4000),
        ((Pbkdf2(b"s", 1000, "sha1", 128),), 7000),
        ((Pbkdf2(b"s", 1000, "sha256", 32),), 1000),
        ((Pbkdf2(b"s", 1000, "sha1", 32),), 2000),
        ((Pbkdf2(b"s", 1000, "sha384", 32),), 4000),
        (pbe_sha1_3des(b"s", 1000).kdfs, 3000),
    ],
)
def test_rounds_are_weighed_by_what_they_cost(kdfs: tuple[Kdf, ...], cost: int) -> None:
    assert sum(each.cost for each in kdfs) == cost


@pytest.mark.parametrize("hash_name", ["sha1", "sha512"])
def test_the_dearest_file_that_is_opened_at_all(hash_name: Hash, *, every_fault: bool) -> None:
    """All the work that is allowed, in one derivation."""
    unit = Pbkdf2(b"salt", 1, hash_name, 128).cost
    most = kdf.ROUNDS_IN_ALL // unit
    budget = kdf.RoundBudget()
    budget.spend(most * unit)
    with pytest.raises(UnsupportedBackupError):
        budget.spend(unit)
    if every_fault:
        Pbkdf2(b"salt", most, hash_name, 128).derive(b"x")


def dsa_pkcs8(bits: int) -> bytes:
    p = (1 << bits) - 159
    algorithm = seq(oid("1.2.840.10040.4.1"), seq(integer(p), integer(5), integer(2)))
    return pkcs8(algorithm, integer(p - 2))


def pfx_of(*safes: structure.ContentInfo) -> bytes:
    return asn1.encode_der(authenticated(structure.encode_contents(list(safes)), PASSWORD))


def test_a_key_that_is_not_handled_is_not_computed_with() -> None:
    """OpenSSL takes minutes to compute the public value of such a DSA key."""
    key = key_bag(dsa_pkcs8(200_000))
    with pytest.raises(UnsupportedBackupError, match="DSA keys are not supported"):
        open_pfx(pfx_of(structure.data_info(structure.encode_bags([key] * 60))), PASSWORD)


def test_rc2_in_python_is_paid_for_by_its_blocks() -> None:
    algorithm = structure.AlgorithmIdentifier(
        algorithm=ObjectIdentifier("1.2.840.113549.1.12.1.6"),
        parameters=structure.opened(structure.Pbes1Parameters(salt=b"salt", iterations=1)),
    )
    safe = structure.encrypted_info(algorithm, bytes(1_000_000))
    with pytest.raises(UnsupportedBackupError, match="rounds in all"):
        open_pfx(pfx_of(safe), PASSWORD)


# --- chains


def test_signatures_of_slow_keys_are_not_checked() -> None:
    """Up to 3,072 bits OpenSSL takes exponents as long as the key."""
    small = rsa_key(0, 1024).private_numbers()
    e = small.d  # the two are each other's inverse
    slow = rsa.RSAPrivateNumbers(
        small.p,
        small.q,
        small.public_numbers.e,
        small.public_numbers.e % (small.p - 1),
        small.public_numbers.e % (small.q - 1),
        small.iqmp,
        rsa.RSAPublicNumbers(e, small.public_numbers.n),
    ).private_key()
    for key, expected in ((rsa_key(0, 1024), "verified"), (slow, "unchecked")):
        authority = from_der(issue(key, "CA", ca=True))
        leaf = from_der(issue(ec_key(), "Jane", "CA", key))
        assert chain.link(leaf, authority) == expected


def test_so_many_steps_are_taken_for_all_chains_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "_MAX_STEPS_IN_ALL", 10)
    authority = from_der(issue(ec_key(9), "CA", ca=True))
    chains = chain.Chains([authority])
    leaves = [from_der(issue(ec_key(n), f"{n}", "CA", ec_key(9))) for n in range(12)]
    found = [len(chains.identity(None, leaf).chain) for leaf in leaves]
    assert found == [1] * 10 + [0] * 2


def test_so_much_time_is_taken_for_all_chains_together(
    monkeypatch: pytest.MonkeyPatch, *, every_fault: bool
) -> None:
    """All of one name, on a curve that takes its time; and none has signed."""
    if not every_fault:
        monkeypatch.setattr(chain, "_SECONDS", 0.1)
    count = 1_000 if every_fault else 200
    keys = (ec.derive_private_key(n, ec.BrainpoolP512R1()) for n in range(1, count))
    pool = [from_der(issue(key, "CA", "Root", ec_key(8), ca=True)) for key in keys]
    checked = []
    before = chain.link

    def counted(certificate: StoredCertificate, issuer: StoredCertificate) -> chain.Link:
        checked.append(issuer)
        return before(certificate, issuer)

    monkeypatch.setattr(chain, "link", counted)
    chains = chain.Chains(pool)
    leaves = [from_der(issue(ec_key(n), f"{n}", "CA", ec_key(9))) for n in range(10)]
    assert all(chains.identity(None, leaf).chain == () for leaf in leaves)
    assert 0 < len(checked) < 5 * count
    spent = len(checked)
    assert chains.identity(None, leaves[0]).chain == ()
    assert len(checked) == spent


# --- texts and tables


@pytest.mark.parametrize(
    "line",
    [b"x\n", b"#\n", b'pref("a",\n', b'pref("%d",1);', b"pref('%d',\"\xf0\x9f\x94\x91\");\n"],
)
def test_preferences_as_long_as_may_be(tmp_path: Path, line: bytes, *, every_fault: bool) -> None:
    size = settings.PREFERENCES_LIMIT if every_fault else settings.PREFERENCES_LIMIT // 8
    lines = (line % number if b"%" in line else line for number in range(size // len(line)))
    data = b"".join(lines)[:size]
    for name in ("prefs.js", "user.js"):
        (tmp_path / name).write_bytes(data)
    settings.read_preferences(tmp_path)


def test_a_list_of_modules_as_long_as_may_be(tmp_path: Path) -> None:
    stanza = b"library=a\n\n"
    count = settings.MODULES_LIMIT // len(stanza)
    (tmp_path / "pkcs11.txt").write_bytes(stanza * count)
    assert len(settings.third_party_modules(tmp_path)) == count


def _busy(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize(
    ("limit", "spend"), [("_SECONDS_IN_ALL", _busy), ("_PATIENCE", time.sleep)]
)
def test_reading_groups_has_a_time_limit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    spend: Callable[[float], None],
) -> None:
    monkeypatch.setattr(lists, limit, 0.2)
    machine = Machine(tmp_path)
    folder = machine.root / lists.GROUPS_FOLDER
    folder.mkdir(parents=True)
    for number in range(40):
        with closing(sqlite3.connect(folder / f"{number:02}.sqlite")) as connection:
            connection.execute("CREATE TABLE Profiles (path, name)")
    opened = []

    def slow(path: Path) -> sqlite3.Connection | None:
        opened.append(path)
        spend(0.05)
        return None

    monkeypatch.setattr(snapshot, "take_snapshot", slow)
    assert read_group_members(machine.root, machine.system()) == ()
    assert 0 < len(opened) < 10


def test_a_hundred_thousand_passwords_and_one_more(tmp_path: Path) -> None:
    path = tmp_path / "passwords.csv"
    lines = "".join(f"u{number},x\n" for number in range(100_000))
    path.write_text(f"user,password\n{lines}")
    assert len(PasswordTable.read(path, "--passwords").rows) == 100_000
    path.write_text(f"user,password\n{lines}one more,x\n")
    with pytest.raises(UsageError, match="more than 100,000 lines"):
        PasswordTable.read(path, "--passwords")


@pytest.mark.parametrize("unit", [b"[],", b'{"":0},', b"["])
def test_a_state_as_large_as_may_be(tmp_path: Path, unit: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"[" + unit * ((4 * 1024 * 1024 - 8) // len(unit)) + b"0]")
    assert state.load(path) == state.State()


@pytest.mark.parametrize("unit", [b"[],", b'"ab",', b'{"":0},'])
def test_a_report_of_another_host_that_would_fill_the_memory(tmp_path: Path, unit: bytes) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"[" + unit * 1_000_000 + b"0]")
    with pytest.raises(HostError, match="too large"):
        read_document(path, "host")


# --- what a batch left, and nobody of a batch wrote


@pytest.mark.parametrize(
    "change",
    [
        {"until": "soon"},
        {"until": 10**400},
        {"databases": 7},
        {"homes": "text"},
        {"homes": [{}]},
        {"items": ["text"]},
        {"item": {"warnings": 5}},
        {"item": {"identity": {}}},
        {"item": {"identity": "x"}},
        {"item": {"user": 7}},
        {"item": {"home": ["x"]}},
        {"item": {"sha256": ["ab"]}},
    ],
)
def test_a_run_that_could_not_be_reported_is_none(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "state.json"
    identity = {"status": "valid", "not_after": "2030-01-01T00:00:00Z", "key": {}}
    item = BatchItem("backed-up", "h", "jane", identity=identity)
    files = {"a": state.WrittenBackup("x.pfx", "", 1, "")}
    home = HomeResult("h", "/home/jane", "jane", 1, 1, "backed-up", ("note",))
    record = state.HomeRecord("/home/jane", "jane", "/home", "s", {"ab": ("CN=Jane", "Jane")})
    run = state.LastRun("w", {}, False, 1.0, (item,), (home,))
    state.save(path, state.State(files, (record,), run))
    assert state.load(path) == state.State(files, (record,), run)
    document = json.loads(path.read_text())
    document["last_run"]["items"][0].update(change.pop("item", {}))
    document["last_run"].update(change)
    path.write_text(json.dumps(document))
    assert state.load(path) == state.State(files, (record,))

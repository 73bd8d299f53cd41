"""cert8.db and key3.db: what NSS puts into them we read, and our builder's files NSS reads."""

from __future__ import annotations

import hashlib
import json
import shutil
import string
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from nssbackup.identity.certificate import StoredCertificate, from_der
from nssbackup.identity.model import Profile
from nssbackup.profiles.folder import store_in
from nssbackup.secret import Secret
from nssbackup.stores import Store
from nssbackup.stores.legacy.berkeley import read_records
from nssbackup.stores.native import NativeEngine
from tests import FIXTURES
from tests.builders.berkeley import ByteOrder, berkeley_file
from tests.builders.store import ec_key, issue, octets
from tests.cli.runner import STRONG, Cli
from tests.conftest import Unchanged
from tests.peers import dbm, need
from tests.peers.nss import RELEASES, Database, Key, Nss, available, pem_blocks
from tests.peers.process import PeerError, password_file, run
from tests.peers.readers import OpenSsl, Pk12util

CASES: dict[str, dict[str, Any]] = {
    name: case
    for name, case in json.loads((FIXTURES / "profiles.json").read_text("utf-8"))[
        "profiles"
    ].items()
    if name.startswith("legacy-")
}
UMLAUTS = "Ünï-пароль-密码"
DBM = ("cert8.db", "key3.db")
CA, CA_KEY = issue(ec_key(7), "Test CA", ca=True), ec_key(7)

KINDS: list[Key] = ["rsa2048", "nistp521", "rsa2048", "nistp256"]

every_nss = pytest.mark.parametrize("release", RELEASES)


def _nss(release: str, *, required: bool) -> Nss:
    found = {nss.release: nss for nss in available()}
    need(None if release in found else f"the NSS of {release} is not unpacked", required=required)
    return found[release]


@pytest.fixture
def nss(require_peers: bool) -> Nss:
    """NSS 3.87."""
    return _nss("bookworm", required=require_peers)


@pytest.fixture
def library(nss: Nss, require_peers: bool) -> Nss:
    """The same, with its library of legacy databases."""
    need(dbm.missing(nss), required=require_peers)
    return nss


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    with NativeEngine().open(Profile(folder, "old", "Firefox", store=store_in(folder))) as store:
        yield store


def certificates(folder: Path) -> dict[str, StoredCertificate]:
    with opened(folder) as store:
        assert store.notes() == ()
        return {one.sha256: one for one in store.certificates()}


def our_key(folder: Path, der: bytes, password: str | None) -> bytes:
    with opened(folder) as store:
        store.unlock(Secret(password or ""))
        return store.private_key(from_der(der)).pkcs8


def exported_key(database: Database, nickname: str, fingerprint: str | None = None) -> bytes:
    """A private key under a nickname, as pk12util exports and OpenSSL reads it."""
    with tempfile.TemporaryDirectory(prefix="legacy-") as folder, password_file("pw") as file:
        pfx = Path(folder, "out.p12")
        database.export_pkcs12(nickname, pfx, "pw")
        out = run(["openssl", "pkcs12", "-in", pfx, "-nodes", "-passin", f"file:{file}"])
    certificates = [x509.load_der_x509_certificate(one) for one in pem_blocks(out, "CERTIFICATE")]
    wanted = [
        one.public_key()
        for one in certificates
        if fingerprint in {None, one.fingerprint(hashes.SHA256()).hex()}
    ]
    keys = [serialization.load_der_private_key(one, None) for one in pem_blocks(out, "PRIVATE KEY")]
    (key,) = (one for one in keys if one.public_key() in wanted)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    return _plain(key)


def enrolled(database: Database, key: Key, nickname: str = "Jane Doe") -> bytes:
    """Generate a key in a store and give it a certificate."""
    request = x509.load_der_x509_csr(database.request(f"CN={nickname}", key))
    public = request.public_key()
    assert isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    der = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(x509.load_der_x509_certificate(CA).subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(x509.load_der_x509_certificate(CA).not_valid_before_utc)
        .not_valid_after(x509.load_der_x509_certificate(CA).not_valid_after_utc)
        .sign(CA_KEY, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    database.add_certificate(der, nickname)
    return der


def imported(database: Database, private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """Import a key and a certificate with pk12util."""
    der = issue(private)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with tempfile.TemporaryDirectory(prefix="legacy-") as folder, password_file("pw") as file:
        key, certificate, pfx = (Path(folder, name) for name in ("key", "certificate", "pfx"))
        key.write_bytes(pem)
        certificate.write_bytes(
            x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)
        )
        run(
            [
                *("openssl", "pkcs12", "-export", "-inkey", key, "-in", certificate),
                *("-name", "Jane Doe", "-out", pfx, "-passout", f"file:{file}"),
            ]
        )
        database.import_pkcs12(pfx, "pw")
    return der


def _plain(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


# --- keys


@every_nss
@pytest.mark.parametrize(
    ("key", "password"),
    [("rsa2048", None), ("nistp256", UMLAUTS), ("nistp384", None), ("nistp521", "x")],
)
def test_a_key_made_by_nss_is_the_one_that_pk12util_exports(
    release: str, key: Key, password: str | None, tmp_path: Path, require_peers: bool
) -> None:
    nss = _nss(release, required=require_peers)
    database = nss.create(tmp_path / "store", password=password, kind="dbm")
    der = enrolled(database, key)
    with opened(database.folder) as store:
        assert store.needs_password() is (password is not None)
        assert [one.has_private_key for one in store.certificates()] == [True]
    assert our_key(database.folder, der, password) == exported_key(database, "Jane Doe")


@pytest.mark.parametrize(("page_size", "byte_order"), [(512, "little"), (1024, "big")])
def test_keys_over_several_pages_are_those_of_pk12util(
    page_size: int, byte_order: ByteOrder, tmp_path: Path, nss: Nss
) -> None:
    """An RSA key of 8192 bits is too large for a page of 4096 bytes, one of 2048 for these.

    NSS goes on in a file with the page size and byte order that it finds.
    """
    database = nss.create(tmp_path / "store", password="x", kind="dbm")
    path = database.folder / "key3.db"
    path.write_bytes(berkeley_file(_records(path), page_size=page_size, byte_order=byte_order))
    made = {
        f"Person {number}": enrolled(database, kind, f"Person {number}")
        for number, kind in enumerate([*KINDS, *KINDS])
    }
    sizes = [len(key) + len(record) for key, record in _records(path)]
    assert len([size for size in sizes if size > page_size]) >= 4
    for nickname, der in made.items():
        assert our_key(database.folder, der, "x") == exported_key(database, nickname)


def test_an_ec_key_keeps_its_leading_zeros(tmp_path: Path, nss: Nss) -> None:
    for number, scalar in enumerate((3, 2**247 - 9, 2**239 + 5)):
        private = ec.derive_private_key(scalar, ec.SECP256R1())
        database = nss.create(tmp_path / str(number), kind="dbm")
        assert our_key(database.folder, imported(database, private), None) == _plain(private)


def _records(path: Path) -> list[tuple[bytes, bytes]]:
    return list(read_records(path.read_bytes(), path.name))


# --- many certificates, and large ones


def test_300_certificates_are_those_that_nss_lists(tmp_path: Path, nss: Nss) -> None:
    """Buckets have been split and have overflow pages by then."""
    database = nss.create(tmp_path / "store", kind="dbm")
    made = {}
    lines = []
    for number in range(300):
        nickname = f"Person {number} " + "x" * (number % 50)
        made[nickname.strip()] = der = issue(ec_key(), nickname)
        (tmp_path / f"{number}.der").write_bytes(der)
        lines.append(f'-A -n "{nickname.strip()}" -t ,, -i {tmp_path}/{number}.der\n')
    (tmp_path / "batch").write_text("".join(lines))
    database.certutil("-B", "-i", tmp_path / "batch")
    found = certificates(database.folder)
    assert {one.nickname: one.der for one in found.values()} == made
    assert {one.nickname for one in database.names()} == made.keys()
    assert len(_records(database.folder / "cert8.db")) > 900
    # What is deleted leaves no trace, and what stays is found.
    gone = [f"Person {number} {'x' * (number % 50)}".strip() for number in range(0, 300, 3)]
    (tmp_path / "batch").write_text("".join(f'-D -n "{one}"\n' for one in gone))
    database.certutil("-B", "-i", tmp_path / "batch")
    left = {one.nickname: one.der for one in certificates(database.folder).values()}
    assert left == {nickname: der for nickname, der in made.items() if nickname not in gone}
    assert {one.nickname for one in database.names()} == left.keys()


@every_nss
@pytest.mark.parametrize("size", [13_000, 15_000, 140_000])
def test_a_large_certificate_is_the_one_that_was_added(
    release: str, size: int, tmp_path: Path, require_peers: bool, unchanged: Unchanged
) -> None:
    """Over 14 kB it lies in a file of its own; over 64 kB its length does not fit in 16 bits."""
    database = _nss(release, required=require_peers).create(tmp_path / "store", kind="dbm")
    comment = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("2.16.840.1.113730.1.13"), octets(bytes(size))
    )
    der = issue(ec_key(), extensions=[comment])
    database.add_certificate(der, "large")
    beside = list((database.folder / "cert8.dir").glob("*"))
    assert len(beside) == (1 if size > 14_000 else 0)
    folders = [database.folder, *([database.folder / "cert8.dir"] if beside else [])]
    with unchanged(folders[0]), unchanged(folders[-1]):
        (found,) = certificates(database.folder).values()
    assert (found.der, found.nickname) == (der, "large")
    assert database.certificates("large") == (der,)
    for file in beside:
        file.unlink()
        with opened(database.folder) as store:
            assert store.certificates() == ()
            assert [file.name in note for note in store.notes()] == [True]


# --- the same store, migrated by NSS


def facts(folder: Path, password: str | None) -> dict[str, Any]:
    """All that is told of a store, but how its keys are numbered."""
    with opened(folder) as store:
        store.unlock(Secret(password or ""))
        found = {
            one.sha256: {
                "nickname": one.nickname,
                "email": one.email,
                "trust": dict(one.trust),
                "key": (
                    store.private_key(one).pkcs8
                    if one.has_private_key and one.key.type != "DSA"
                    else one.has_private_key
                ),
            }
            for one in store.certificates()
        }
        return {
            "certificates": found,
            "password": store.needs_password(),
            "orphans": sorted((one.type, one.bits) for one in store.orphan_keys()),
            "notes": store.notes(),
        }


@pytest.mark.parametrize("case", CASES)
def test_each_fixture_migrated_by_nss_tells_the_same(
    case: str, tmp_path: Path, nss: Nss, unchanged: Unchanged
) -> None:
    password = CASES[case]["password"]
    before = FIXTURES / "profiles" / case
    with unchanged(before):
        expected = facts(before, password)
    folder = Path(shutil.copytree(before, tmp_path / case))
    nss.database(folder, password=password, kind="dbm").migrate()
    assert store_in(folder) == "sqlite"
    assert facts(folder, password) == expected
    assert expected["certificates"] or expected["orphans"]


def _addressed(number: int, *subject: tuple[x509.ObjectIdentifier, str], san: list[str]) -> bytes:
    parts = [(NameOID.COMMON_NAME, f"Person {number}"), *subject]
    names = x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])
    extensions = [x509.SubjectAlternativeName([x509.RFC822Name(one) for one in san])]
    return issue(ec_key(), names, extensions=extensions if san else [])


MAIL = x509.ObjectIdentifier("0.9.2342.19200300.100.1.3")
TRUSTS = [
    *(",,", "C,,", "T,,", "CT,C,C", "c,c,c", "P,P,P", "p,p,p", "w,w,w", ",C,", ",,C"),
    *("CTw,P,p", "Cp,,", "cT,,", "Pp,,", "u,u,u"),
]


def test_addresses_and_trust_are_those_of_the_migrated_store(tmp_path: Path, nss: Nss) -> None:
    made = [
        _addressed(0, san=[]),
        _addressed(1, san=["San@Example.com", "second@example.com"]),
        _addressed(2, (NameOID.EMAIL_ADDRESS, "DN@Example.com"), san=[]),
        _addressed(3, (NameOID.EMAIL_ADDRESS, "DN@Example.com"), san=["san@example.com"]),
        _addressed(4, (MAIL, "Mail@Example.com"), san=["san@example.com"]),
        _addressed(5, (MAIL, "m@example.com"), (NameOID.EMAIL_ADDRESS, "d@example.com"), san=[]),
        _addressed(6, (NameOID.EMAIL_ADDRESS, "d@example.com"), (MAIL, "m@example.com"), san=[]),
    ]
    database = nss.create(tmp_path / "store", password=UMLAUTS, kind="dbm")
    for number, der in enumerate(made):
        database.add_certificate(der, f"Zoë {number}")
    enrolled(database, "nistp256")
    for number, trust in enumerate(TRUSTS):
        der = issue(ec_key(), f"CA {number}", ca=True)
        database.add_certificate(der, f"CA {number}", trust)
    old = facts(database.folder, UMLAUTS)
    listed = {one.nickname: one.trust for one in database.names()}
    database.migrate()
    new = facts(database.folder, UMLAUTS)
    assert new == old
    emails = {one["nickname"]: one["email"] for one in old["certificates"].values()}
    assert [emails[f"Zoë {number}"] for number in range(len(made))] == [
        None,
        "san@example.com",
        "dn@example.com",
        "dn@example.com",
        "mail@example.com",
        "m@example.com",
        "d@example.com",
    ]
    words = {one["nickname"]: one["trust"] for one in old["certificates"].values()}
    for nickname, shown in listed.items():
        # `C`, `T`: trusted to issue certificates of servers, of clients; `P`: trusted itself.
        for usage, flags in zip(("server", "email", "code"), shown.split(","), strict=True):
            word = words[nickname].get(usage, "unknown")
            assert ("C" in flags) == (word == "trusted-ca")
            assert ("P" in flags) == (word == "trusted")
        client = words[nickname].get("client", "unknown")
        assert ("T" in shown.split(",")[0]) == (client == "trusted-ca")


def test_after_a_migration_the_new_pair_counts(tmp_path: Path, nss: Nss) -> None:
    folder = Path(shutil.copytree(FIXTURES / "profiles" / "legacy-renewed", tmp_path / "profile"))
    migrated = nss.database(folder, kind="dbm").migrate()
    assert all((folder / name).is_file() for name in (*DBM, "cert9.db", "key4.db"))
    before = certificates(folder)
    migrated.delete_certificate("Jane Doe")
    after = certificates(folder)
    assert after.keys() < before.keys()
    for name in ("cert9.db", "key4.db"):
        (folder / name).unlink()
    assert certificates(folder).keys() == before.keys()


# --- our builder's files, which other tests rely on, are files to NSS


@every_nss
@pytest.mark.parametrize(
    ("case", "page_size", "byte_order"),
    [
        ("legacy-ec", 512, "big"),
        ("legacy-password", 32768, "little"),
        ("legacy-renewed", 1024, "big"),
        ("legacy-renewed", 4096, "little"),
    ],
)
def test_a_store_written_anew_by_the_builder_is_the_same_to_nss(
    case: str,
    page_size: int,
    byte_order: ByteOrder,
    release: str,
    tmp_path: Path,
    require_peers: bool,
) -> None:
    nss = _nss(release, required=require_peers)
    original = FIXTURES / "profiles" / case
    for name in DBM:
        data = berkeley_file(
            _records(original / name), page_size=page_size, byte_order=byte_order, buckets=5, seed=3
        )
        (tmp_path / name).write_bytes(data)
    password = CASES[case]["password"]
    written = nss.database(tmp_path, password=password, kind="dbm")
    expected = nss.database(original, password=password, kind="dbm")
    assert sorted(map(repr, written.names())) == sorted(map(repr, expected.names()))
    for nickname in {one.nickname for one in expected.names()}:
        assert set(written.certificates(nickname)) == set(expected.certificates(nickname))
    identity = CASES[case]["identities"][-1]
    key = serialization.load_pem_private_key((FIXTURES / identity["key_file"]).read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    ours = certificates(tmp_path)[identity["fingerprint"]]
    assert our_key(tmp_path, ours.der, password) == _plain(key)
    theirs = exported_key(written, identity["nickname"], identity["fingerprint"])
    assert theirs == _plain(key)


LETTERS = string.ascii_letters + string.digits


def _words(random: Random, sizes: list[int]) -> str:
    return "".join(random.choices(LETTERS, k=random.choice(sizes)))


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 120), large=st.booleans())
def test_what_the_library_was_given_we_read(
    seed: int, count: int, large: bool, library: Nss
) -> None:
    """Records of any length, added and deleted in any order, by NSS's own Berkeley DB."""
    random = Random(seed)  # noqa: S311 - any text will do
    sizes = [1, 30, 300, *([3000, 5000, 30_000] if large else [])]
    kept: dict[str, str] = {}
    operations = []
    for _ in range(count):
        if kept and random.random() < 0.2:
            name = random.choice(list(kept))
            operations.append(("delete", name, ""))
            del kept[name]
        else:
            name, text = _words(random, [4, 20, 200, 1000]), _words(random, sizes)
            operations.append(("add", name, text))
            kept[name] = text
    with tempfile.TemporaryDirectory(prefix="legacy-") as folder:
        path = Path(folder, "secmod.db")
        dbm.write_modules(library, path, operations)
        found = _records(path)
        # The library itself misses records at times, after deletes: then so do we.
        listed = dbm.modules_of(library, path)
    assert dict(found) == dict(dbm.record_of(name, kept[name]) for name in listed)
    assert len(found) == len(listed)
    assert len(listed) >= len(kept) / 2


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 40),
    page_size=st.sampled_from([512, 1024, 2048, 4096, 8192, 16384, 32768]),
    byte_order=st.sampled_from(["little", "big"]),
)
def test_what_the_builder_writes_the_library_reads(
    seed: int, count: int, page_size: int, byte_order: ByteOrder, library: Nss
) -> None:
    random = Random(seed)  # noqa: S311 - any text will do
    modules = {
        _words(random, [4, 20, 200]): _words(random, [1, 30, 300, 3000, 30_000])
        for _ in range(count)
    }
    # As many buckets as the library would make: its buffers do not hold long chains of pages.
    data = berkeley_file(
        [dbm.record_of(name, text) for name, text in modules.items()],
        page_size=page_size,
        byte_order=byte_order,
        buckets=2 * count + 2,
        seed=seed,
    )
    with tempfile.TemporaryDirectory(prefix="legacy-") as folder:
        path = Path(folder, "secmod.db")
        path.write_bytes(data)
        assert dbm.modules_of(library, path) == modules


# --- the command line


@pytest.mark.parametrize(
    "case", [name for name, one in CASES.items() if one["identities"] and name != "legacy-dsa"]
)
def test_an_export_is_what_pk12util_exports(
    case: str, cli: Cli, tmp_path: Path, nss: Nss, unchanged: Unchanged
) -> None:
    folder = Path(shutil.copytree(FIXTURES / "profiles" / case, tmp_path / case))
    password = CASES[case]["password"]
    identity = CASES[case]["identities"][-1]
    options: list[str | Path] = ["--output", tmp_path / "out.pfx"]
    if password is not None:
        options += ["--primary-password-file", cli.file("primary", f"{password}\n")]
    with unchanged(folder):
        result = cli.export(folder, *options)
    assert result.status == 0
    assert "error" not in result.stderr
    database = nss.database(folder, password=password, kind="dbm")
    theirs = exported_key(database, identity["nickname"], identity["fingerprint"])
    for reader in (OpenSsl(), Pk12util(nss)):
        read = reader.open(tmp_path / "out.pfx", STRONG)
        assert read.key_pkcs8 == theirs
        assert hashlib.sha256(read.certificates[0]).hexdigest() == identity["fingerprint"]
        assert len(read.certificates) == identity["chain_length"]


def test_a_wrong_primary_password_exports_nothing(cli: Cli, tmp_path: Path, nss: Nss) -> None:
    wrong = "Ünï-пароль-密码!"
    folder = FIXTURES / "profiles" / "legacy-password-unicode"
    file = cli.file("primary", f"{wrong}\n")
    result = cli.export(folder, "--output", tmp_path / "out.pfx", "--primary-password-file", file)
    assert result.status == 12
    assert "primary password" in result.stderr
    assert not (tmp_path / "out.pfx").exists()
    # NSS is of the same opinion.
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    with pytest.raises(PeerError, match=r"(?i)password"):
        nss.database(copy, password=wrong, kind="dbm").keys()

"""The peers work, on files that nssbackup did not touch."""

import functools
import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests import FIXTURES
from tests.peers import need
from tests.peers.firefox import Firefox
from tests.peers.nss import RELEASES, Nss, available
from tests.peers.process import PeerError, password_file, run
from tests.peers.readers import Reader, readers
from tests.peers.website import Website

PROFILES: dict[str, Any] = json.loads((FIXTURES / "profiles.json").read_text("utf-8"))["profiles"]
KEYS = {
    "rsa": ("RSA", "rsa_keygen_bits:2048"),
    "ec": ("EC", "ec_paramgen_curve:P-384"),
    "ed25519": ("ED25519", ""),
}
PASSWORD = "correct horse"
ODD_PASSWORDS = {
    "Ünï-пароль-密码": "non-ascii password",
    "horse 🐎 battery": "non-bmp password",
    " \"quotes' and \\ blanks ": None,
    "x" * 100: None,
}

every_reader = pytest.mark.parametrize("reader", readers(), ids=lambda reader: reader.name)
every_nss = pytest.mark.parametrize("release", RELEASES)


def _nss(release: str, *, required: bool) -> Nss:
    """Return the NSS of a release; skip or fail without it."""
    found = {nss.release: nss for nss in available()}
    reason = None if release in found else f"the NSS of {release} is not unpacked"
    need(reason, required=required)
    return found[release]


@functools.cache
def _made_by_openssl(kind: str = "rsa", password: str = PASSWORD) -> tuple[Path, bytes, bytes]:
    """Have OpenSSL make a PFX; return its path, its private key and certificate (DER)."""
    folder = Path(tempfile.mkdtemp(dir=_folder().name))
    name = "Jane Doe"
    algorithm, option = KEYS[kind]
    options = ("-pkeyopt", option) if option else ()
    key, certificate, pfx = (folder / part for part in ("key.pem", "own.pem", "made.p12"))
    run(["openssl", "genpkey", "-algorithm", algorithm, *options, "-out", key])
    subject = ("-utf8", "-subj", f"/CN={name}/O=Example")
    run(["openssl", "req", "-x509", "-new", "-key", key, *subject, "-out", certificate])
    with password_file(password) as file:
        given = ("-passout", f"file:{file}", "-name", name)
        run(
            ["openssl", "pkcs12", "-export", "-inkey", key, "-in", certificate, "-out", pfx, *given]
        )
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    der = private.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    own = x509.load_pem_x509_certificate(certificate.read_bytes())
    return pfx, der, own.public_bytes(serialization.Encoding.DER)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="made-by-openssl-")


def _copy(case: str, folder: Path) -> Path:
    """Return a copy of a fixture."""
    return Path(shutil.copytree(FIXTURES / "profiles" / case, folder / case))


# --- NSS


@every_nss
def test_each_nss_lists_each_fixture(release: str, tmp_path: Path, require_peers: bool) -> None:
    nss = _nss(release, required=require_peers)
    for case, entry in PROFILES.items():
        database = nss.database(_copy(case, tmp_path), password=entry["password"])
        listed = {
            hashlib.sha256(der).hexdigest()
            for nickname in {one.nickname for one in database.names()}
            for der in database.certificates(nickname)
        }
        assert listed >= {one["fingerprint"] for one in entry["identities"]}, case
        assert listed >= {digest for one in entry["identities"] for digest in one["chain"]}, case


@every_nss
def test_each_nss_lists_the_keys(release: str, tmp_path: Path, require_peers: bool) -> None:
    nss = _nss(release, required=require_peers)
    entry = PROFILES["two-people"]
    database = nss.database(_copy("two-people", tmp_path), password=entry["password"])
    assert len(database.keys()) == len(entry["identities"]) == 2
    empty = nss.create(tmp_path / "empty", password="x")
    assert (empty.keys(), empty.names()) == ((), ())


@every_nss
def test_a_wrong_primary_password_is_refused(
    release: str, tmp_path: Path, require_peers: bool
) -> None:
    nss = _nss(release, required=require_peers)
    database = nss.database(_copy("nss387-password", tmp_path), password="wrong")
    with pytest.raises(PeerError, match=r"(?i)password"):
        database.keys()


@every_nss
def test_an_authority_of_certutil_certifies_its_key(
    release: str, tmp_path: Path, require_peers: bool
) -> None:
    nss = _nss(release, required=require_peers)
    office = nss.create(tmp_path / "office", password="Büro")
    root = office.self_signed("Root", "CN=Root,O=Example,C=CH")
    person = nss.create(tmp_path / "person", password="пароль")
    issued = office.sign(
        person.request("CN=Jane Doe,O=Example", "nistp256"), "Root", email="jane@example.com"
    )
    person.add_certificate(issued, "work:laptop")
    assert person.certificates("work:laptop") == (issued,)
    certificate = x509.load_der_x509_certificate(issued)
    certificate.verify_directly_issued_by(x509.load_der_x509_certificate(root))
    person.export_pkcs12("work:laptop", tmp_path / "out.p12", "x y z")
    listing = nss.list_pkcs12(tmp_path / "out.p12", "x y z")
    # NSS writes the name it was asked for, with the token in front.
    assert listing.keys == ("NSS Certificate DB:work:laptop",)
    assert len(listing.certificates) == 1


@every_nss
@pytest.mark.parametrize("password", [None, PASSWORD])
def test_a_dbm_store_is_migrated(
    password: str | None, release: str, tmp_path: Path, require_peers: bool
) -> None:
    nss = _nss(release, required=require_peers)
    old = nss.create(tmp_path / "store", password=password, kind="dbm")
    old.self_signed("Someone", "CN=Someone")
    assert not (tmp_path / "store" / "key4.db").exists()
    migrated = old.migrate()
    assert len(migrated.keys()) == 1
    assert [one.nickname for one in migrated.names()] == ["Someone"]


# --- Firefox


def test_firefox_imports_what_openssl_made_and_keeps_it(
    tmp_path: Path, require_peers: bool
) -> None:
    need(Firefox.missing(), required=require_peers)
    pfx, _, own = _made_by_openssl()
    with Firefox(tmp_path / "profile") as firefox:
        assert int(firefox.version.partition(".")[0]) >= 140
        firefox.import_pfx(pfx, PASSWORD)
        with pytest.raises(PeerError, match="ERROR_BAD_PASSWORD"):
            firefox.import_pfx(pfx, "wrong")
    with Firefox(tmp_path / "profile") as firefox:
        (listed,) = firefox.certificates()
        assert listed.sha256 == hashlib.sha256(own).hexdigest()
        assert listed.name == "Jane Doe"
        assert firefox.certificate(listed.sha256) == own
        firefox.delete_certificate(listed.sha256)
        assert firefox.certificates() == ()


def test_firefox_locks_and_unlocks_a_store(tmp_path: Path, require_peers: bool) -> None:
    need(Firefox.missing(), required=require_peers)
    password = "Ünï-пароль-密码"
    pfx, _, own = _made_by_openssl()
    with Firefox(tmp_path / "profile") as firefox:
        firefox.set_primary_password("", password)
        firefox.import_pfx(pfx, PASSWORD)
    with Firefox(tmp_path / "profile") as firefox:
        assert firefox.has_primary_password()
        assert not firefox.unlocked()
        with pytest.raises(PeerError, match="the primary password is wrong"):
            firefox.unlock("wrong")
        firefox.unlock(password)
        (listed,) = firefox.certificates()
        assert firefox.certificate(listed.sha256) == own
        firefox.export_pfx(tmp_path / "out.p12", "x y z", sha256=listed.sha256)
        firefox.lock()
        assert not firefox.unlocked()
        firefox.unlock(password)
        firefox.set_primary_password(password, "")
        assert firefox.unlocked()


def test_firefox_logs_in_with_its_certificate(tmp_path: Path, require_peers: bool) -> None:
    need(Firefox.missing(), required=require_peers)
    case = "firefox-nopassword"
    profile, entry = _copy(case, tmp_path), PROFILES[case]
    pem = (FIXTURES / "authorities.pem").read_bytes()
    trusted = [
        one.public_bytes(serialization.Encoding.DER) for one in x509.load_pem_x509_certificates(pem)
    ]
    with Website(trusted) as website:
        with Firefox(profile) as firefox:
            with pytest.raises(PeerError, match="InsecureCertificate"):
                firefox.open_url(website.url)
            firefox.import_ca(website.authority)
            fingerprint = entry["identities"][0]["fingerprint"]
            assert firefox.open_url(website.url) == f"hello {fingerprint}"
            firefox.delete_certificate(fingerprint)
        # Nothing but the certificate let it in.
        with Firefox(profile) as firefox, pytest.raises(PeerError, match="can't load"):
            firefox.open_url(website.url)


# --- readers


def _checked(reader: Reader, pfx: Path, password: str, key: bytes, own: bytes) -> tuple[str, ...]:
    """Assert that a reader finds exactly what went into a PFX; return the names."""
    opened = reader.open(pfx, password)
    assert opened.certificates == (own,)
    assert opened.key_pkcs8 == (None if "key" in reader.cannot else key)
    return opened.names


@every_reader
def test_each_reader_opens_what_openssl_made(reader: Reader, require_peers: bool) -> None:
    need(reader.missing(), required=require_peers)
    assert reader.version()
    for kind in KEYS:
        pfx, key, own = _made_by_openssl(kind)
        if kind in reader.cannot:
            with pytest.raises(PeerError):
                reader.open(pfx, PASSWORD)
            continue
        names = _checked(reader, pfx, PASSWORD, key, own)
        expected = "jane doe" if "case of names" in reader.cannot else "Jane Doe"
        assert names == (() if "names" in reader.cannot else (expected,))


@every_reader
def test_each_reader_and_odd_passwords(reader: Reader, require_peers: bool) -> None:
    need(reader.missing(), required=require_peers)
    with pytest.raises(PeerError):
        reader.open(_made_by_openssl()[0], "wrong")
    for password, trait in ODD_PASSWORDS.items():
        pfx, key, own = _made_by_openssl(password=password)
        if trait in reader.cannot:
            with pytest.raises(PeerError):
                reader.open(pfx, password)
        else:
            _checked(reader, pfx, password, key, own)

"""NSS itself accepts what a restore has written: it lists, verifies and exports it."""

from __future__ import annotations

import itertools
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from nssbackup.pkcs12 import open_pfx
from nssbackup.restore.rows import Rows
from nssbackup.secret import Secret
from nssbackup.stores import EngineName
from nssbackup.stores.nss import NssEngine
from tests import FIXTURES
from tests.peers import need
from tests.peers.exports import Expected, exported, fingerprint
from tests.peers.nss import Nss, available
from tests.peers.process import PeerError
from tests.peers.restores import (
    BACKUP_PASSWORD,
    ENGINES,
    TARGETS,
    Target,
    identity_of,
    reads_sha384,
    restore,
    toolkits,
)

# RSA and EC of each size, names with and without umlauts, two and three authorities.
_IDENTITIES = (
    *("nss387-nopassword", "rsa4096", "ec-p256", "ec-p384", "ec-p521", "chain3"),
    *("firefox-password-unicode", "foreign-only"),
)
_CURRENT_HASH = ("firefox-password", "firefox-password-unicode")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, require_peers: bool) -> EngineName:
    name: EngineName = request.param
    if name == "nss":
        need(NssEngine().unavailable(), required=require_peers)
    need(None if available() else "no NSS tools", required=require_peers)
    return name


def check(folder: Path, primary: str, expected: Expected, nickname: str, place: Path) -> None:
    """Have every NSS list, verify and export the identity; each gets a copy to write to."""
    for nss in toolkits():
        if _hash_is_current(folder) and not reads_sha384(nss):
            continue
        copy = Path(shutil.copytree(folder, place / f"{nss.release}-{nickname}"))
        database = nss.database(copy, password=primary or None)
        assert ("u,u,u") in {row.trust for row in database.names() if row.nickname == nickname}
        assert expected.fingerprint in {fingerprint(der) for der in database.certificates(nickname)}
        # Twice is once too often: it would mean two objects for one key.
        names = [re.split(r"\s+", line, maxsplit=3) for line in map(_key_line, database.keys())]
        assert len({key_id for _, key_id, *_ in names}) == len(names)
        _verify(nss, copy, primary, expected, nickname)
        pfx = place / f"{nss.release}.p12"
        database.export_pkcs12(nickname, pfx, "another password")
        # Renewals, which have the same nickname, are in it as well.
        contents = open_pfx(pfx.read_bytes(), Secret("another password"))
        assert expected.key in [found.key.pkcs8 for found in contents.keys]
        certificates = {found.certificate.sha256 for found in contents.certificates}
        assert certificates >= set(expected.certificates)


def _key_line(line: str) -> str:
    """A line of `certutil -K` without the number in front: type, CKA_ID and nickname."""
    return line.partition(">")[2].strip()


def _verify(nss: Nss, copy: Path, primary: str, expected: Expected, nickname: str) -> None:
    """Have NSS build and check the chain, with its end made trusted for the purpose."""
    database = nss.database(copy, password=primary or None)
    root = next(
        name.nickname
        for name in database.names()
        for der in database.certificates(name.nickname)
        if fingerprint(der) == expected.certificates[-1]
    )
    database.certutil("-M", "-n", root, "-t", "CT,C,C")
    # In a year's time none of the fixtures' certificates is over that is not over now.
    said = database.certutil("-V", "-u", "C", "-n", nickname, "-e", "-l")
    assert b"certificate is valid" in said or b"chain is good" in said.lower(), said


def _hash_is_current(folder: Path) -> bool:
    with closing(sqlite3.connect(f"file:{folder / 'key4.db'}?mode=ro", uri=True)) as database:
        (salt,) = database.execute("SELECT item1 FROM metaData WHERE id = 'password'").fetchone()
    return len(salt) == 48


@pytest.mark.parametrize(
    ("case", "engine"),
    [*((case, "native") for case in _IDENTITIES), ("chain3", "nss"), ("ec-p521", "nss")],
    indirect=["engine"],
)
def test_nss_lists_verifies_and_exports_it_from_a_new_store(
    case: str, engine: EngineName, tmp_path: Path
) -> None:
    expected = identity_of(case)
    folder, primary = TARGETS["no-databases"].make(tmp_path / "profile", expected)
    report = restore(expected, folder, primary, engine)
    assert report.changed
    assert report.aside is None
    check(folder, primary, expected, expected.nickname, tmp_path)


@pytest.mark.parametrize(
    ("target", "case", "engine"),
    [
        (target, case, engine)
        for target, case, engine in zip(
            (each for each in TARGETS.values() if each.name != "no-databases"),
            itertools.cycle(("chain3", "ec-p256")),
            itertools.cycle(("native", "native", "nss")),
            strict=False,
        )
    ],
    indirect=["engine"],
    ids=str,
)
def test_and_from_stores_of_every_origin(
    case: str, target: Target, engine: EngineName, tmp_path: Path
) -> None:
    expected = identity_of(case)
    folder, primary = target.make(tmp_path / "profile", expected)
    before = Rows.read(folder) if (folder / "key4.db").exists() and not target.own else None
    report = restore(expected, folder, primary, engine)
    assert report.changed
    certificate = report.identity.certificate
    assert certificate.nickname is not None
    check(folder, primary, expected, certificate.nickname, tmp_path)
    if before is not None:
        _check_kept(before, Rows.read(folder))
    again = restore(expected, folder, primary, engine)
    assert not again.changed


def _check_kept(before: Rows, after: Rows) -> None:
    """All that was there is there, to the byte; the links of a certificate to its key apart."""
    for old, new in ((before.public, after.public), (before.private, after.private)):
        assert {number: new.objects[number] for number in old.objects} == dict(old.objects)
    assert before.signatures.items() <= after.signatures.items()


@pytest.mark.parametrize("case", ["nss387-nopassword", "ec-p256", "ec-p384", "ec-p521", "chain3"])
def test_the_objects_are_those_that_nss_makes_of_the_same_file(
    case: str, tmp_path: Path, require_peers: bool
) -> None:
    """Attribute by attribute, signature by signature: all but the ids and what is encrypted."""
    need(None if available() else "no NSS tools", required=require_peers)
    expected = identity_of(case)
    folder, _ = TARGETS["no-databases"].make(tmp_path / "profile", expected)
    restore(expected, folder)
    ours = _comparable(Rows.read(folder))
    for nss in available():
        database = nss.create(tmp_path / nss.release)
        database.import_pkcs12(exported(expected, BACKUP_PASSWORD, "modern"), BACKUP_PASSWORD)
        assert _comparable(Rows.read(database.folder)) == ours


_ENCRYPTED = {"a11", *(f"a{number:x}" for number in range(0x123, 0x129))}


def _comparable(rows: Rows) -> dict[tuple[bool, bytes, bytes], tuple[object, ...]]:
    found: dict[tuple[bool, bytes, bytes], tuple[object, ...]] = {}
    for private, table in ((False, rows.public), (True, rows.private)):
        for number, row in table.objects.items():
            values = {
                column: b"" if private and column in _ENCRYPTED else value
                for column, value in row.items()
            }
            kind = "key" if private else "cert"
            start = f"sig_{kind}_{number:08x}_"
            signed = sorted(name[-8:] for name in rows.signatures if name.startswith(start))
            found[private, row["a0"], row.get("a102", b"")] = (values, signed)
    return found


# --- names


def test_a_name_that_another_subject_has_gets_a_number(engine: EngineName, tmp_path: Path) -> None:
    other, expected = identity_of("firefox-password-unicode"), identity_of("chain3")
    folder, _ = TARGETS["no-databases"].make(tmp_path / "profile", expected)
    restore(other, folder, engine=engine, nickname=expected.nickname)
    report = restore(expected, folder, engine=engine)
    assert report.identity.certificate.nickname == f"{expected.nickname} #2"
    check(folder, "", expected, f"{expected.nickname} #2", tmp_path / "one")
    check(folder, "", other, expected.nickname, tmp_path / "other")


def test_a_renewal_gets_the_name_of_the_certificate_before(
    engine: EngineName, tmp_path: Path
) -> None:
    first, second = identity_of("nss387-password"), identity_of("nss387-nopassword")
    folder, _ = TARGETS["no-databases"].make(tmp_path / "profile", first)
    restore(first, folder, engine=engine, nickname="work:laptop")
    report = restore(second, folder, engine=engine)
    assert report.identity.certificate.nickname == "work:laptop"
    for nss in available():
        copy = Path(shutil.copytree(folder, tmp_path / nss.release))
        names = [row.nickname for row in nss.database(copy).names() if row.trust == "u,u,u"]
        # certutil names the token where a colon is in the nickname.
        assert names == ["NSS Certificate DB:work:laptop"] * 2
        assert len(nss.database(copy).keys()) == 2


# --- trust


_ROOTS = ("CT,C,C", ",,", "p,p,p", "T,,", "P,P,P")


@pytest.mark.parametrize(
    ("flags", "engine"),
    [*((flags, "native") for flags in (None, *_ROOTS)), ("p,p,p", "nss")],
    indirect=["engine"],
)
def test_a_root_is_trusted_only_when_asked(
    flags: str | None, engine: EngineName, tmp_path: Path
) -> None:
    found = toolkits()
    expected = identity_of("nss387-nopassword")
    root = _certificate(expected.certificates[-1])
    for nss in found:
        for trust_ca in (False, True):
            database = nss.create(tmp_path / f"{nss.release}-{trust_ca}")
            if flags is not None:
                database.add_certificate(root, "the root", flags)
            restore(expected, database.folder, engine=engine, trust_ca=trust_ca)
            (said,) = (
                row.trust
                for row in database.names()
                if fingerprint(database.certificates(row.nickname)[0]) == expected.certificates[-1]
            )
            if not trust_ca:
                assert said == (flags if flags is not None else ",,")
                continue
            web, mail, _ = said.split(",")
            assert ("C" in web, "C" in mail) == (True, True)
            again = restore(expected, database.folder, engine=engine, trust_ca=trust_ca)
            assert not again.changed


def _certificate(wanted: str) -> bytes:
    known = x509.load_pem_x509_certificates((FIXTURES / "authorities.pem").read_bytes())
    encoded = (certificate.public_bytes(Encoding.DER) for certificate in known)
    return next(der for der in encoded if fingerprint(der) == wanted)


# --- links


def test_certificate_and_key_that_nss_does_not_join_are_joined(
    engine: EngineName, tmp_path: Path
) -> None:
    """CKA_ID is empty on certificates that were migrated from cert8.db without their key."""
    expected = identity_of("nss387-nopassword")
    folder = Path(shutil.copytree(FIXTURES / "profiles" / expected.case, tmp_path / "profile"))
    with closing(sqlite3.connect(folder / "cert9.db")) as database, database:
        database.execute("UPDATE nssPublic SET a102 = x'a5005a' WHERE a0 = x'00000001'")
        database.execute("DELETE FROM nssPublic WHERE a0 = x'00000002'")
    for nss in available():
        copy = Path(shutil.copytree(folder, tmp_path / f"before-{nss.release}"))
        with pytest.raises(PeerError):
            nss.database(copy).export_pkcs12(expected.nickname, tmp_path / "none.p12", "password")
    report = restore(expected, folder, engine=engine)
    assert report.changed
    check(folder, "", expected, expected.nickname, tmp_path)

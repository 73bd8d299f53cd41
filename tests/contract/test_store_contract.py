"""What every engine must read from every fixture profile.

What is expected (profiles.json, keys/) is what Firefox and NSS say of the profiles.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from nssbackup.errors import (
    KeyMissingError,
    KeyNotExportableError,
    NoStoreError,
    PrimaryPasswordRequiredError,
    WrongPrimaryPasswordError,
)
from nssbackup.identity.certificate import StoredCertificate, from_der
from nssbackup.identity.choosing import assemble, check_key_fits
from nssbackup.identity.model import Profile
from nssbackup.profiles.folder import store_in
from nssbackup.secret import Secret
from nssbackup.stores import Engine, EngineName, Store, availability, engine_named
from tests import FIXTURES
from tests.builders.store import Key, ec_key, issue, rsa_key
from tests.conftest import MakeProfile, Unchanged
from tests.peers import need

CASES: dict[str, dict[str, Any]] = json.loads(
    (FIXTURES / "profiles.json").read_text(encoding="utf-8")
)["profiles"]
ENGINES: list[EngineName] = ["native", "nss"]
WRONG = ("", "wrong", "Correct horse 7", "correct horse 7 ", "ü" * 300)


# NSS needs seconds for a key, so it is asked for one of each kind.
KEYS_OF_NSS = (
    *("firefox-nopassword", "firefox-password-unicode", "nss387-password", "nss3110-password"),
    *("rsa4096", "ec-p256", "ec-p384", "ec-p521", "dsa", "tripledes-password", "renewed"),
    *("legacy-rounds", "legacy-ec", "legacy-dsa", "certificate-without-key"),
)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, require_peers: bool) -> Engine:
    reasons = {one.name: one.reason for one in availability()}
    need(reasons[request.param], required=require_peers)
    return engine_named(request.param)


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def case(name: str) -> dict[str, Any]:
    return CASES[name]


@pytest.fixture
def folder(name: str, profile: MakeProfile, unchanged: Unchanged) -> Iterator[Path]:
    """The case's profile; whatever the test does, it must not change."""
    copy = profile(name)
    with unchanged(copy):
        yield copy


@pytest.fixture
def store(engine: Engine, folder: Path) -> Iterator[Store]:
    with engine.open(Profile(folder, "case", "Firefox", store=store_in(folder))) as opened:
        yield opened


@pytest.fixture
def seeing(folder: Path) -> Iterator[Store]:
    """The store as the engine sees it that knows keys without a certificate: NSS hides them."""
    profile = Profile(folder, "case", "Firefox", store=store_in(folder))
    with engine_named("native").open(profile) as opened:
        yield opened


def by_fingerprint(store: Store) -> dict[str, StoredCertificate]:
    found = {certificate.sha256: certificate for certificate in store.certificates()}
    assert len(found) == len(store.certificates())
    return found


def test_what_needs_no_password_is_what_nss_says(
    store: Store, seeing: Store, case: dict[str, Any]
) -> None:
    assert store.needs_password() is (case["password"] is not None)
    assert store.notes() == ()
    found = by_fingerprint(store)
    authorities = {sha256 for one in case["identities"] for sha256 in one["chain"]}
    leaves = {one["fingerprint"] for one in case["identities"]}
    assert leaves | authorities <= found.keys()
    assert {c.sha256 for c in found.values() if not c.is_ca} == leaves
    identities = {i.certificate.sha256: i for i in assemble(None, store.certificates())}
    assert identities.keys() == leaves
    for expected in case["identities"]:
        identity = identities[expected["fingerprint"]]
        certificate = identity.certificate
        assert certificate.nickname == expected["nickname"]
        assert certificate.issuer == expected["issuer"]
        assert f"{certificate.serial:x}" == expected["serial"]
        assert certificate.not_after.isoformat() == expected["not_after"]
        assert certificate.status() == expected["status"]
        assert certificate.key.type.lower() == expected["key_type"]
        assert certificate.key.bits == expected["key_bits"]
        # Whether there is a key is told without the password, and of a DSA key too.
        assert certificate.has_private_key == expected["has_key"]
        assert identity.wipo == expected["wipo"]
        assert [one.sha256 for one in identity.chain] == expected["chain"]
    assert told(store) == told(seeing)


def told(store: Store) -> set[object]:
    """Return what every engine must say alike, trust and distrust included."""
    return {
        (
            *(one.der, one.nickname, one.email, one.has_private_key),
            tuple(each for each in one.trust if each[1] not in ("must-verify", "unknown")),
        )
        for one in store.certificates()
    }


def test_a_wrong_password_is_an_error_and_opens_nothing(store: Store, case: dict[str, Any]) -> None:
    if case["password"] is None:
        store.unlock(Secret(""))
        return
    for wrong in WRONG:
        with pytest.raises(WrongPrimaryPasswordError):
            store.unlock(Secret(wrong))
    for certificate in store.certificates():
        if certificate.has_private_key:
            with pytest.raises((PrimaryPasswordRequiredError, KeyNotExportableError)):
                store.private_key(certificate)


@pytest.mark.parametrize(
    ("engine", "name"),
    [*(("native", name) for name in CASES), *(("nss", name) for name in KEYS_OF_NSS)],
    indirect=True,
)
def test_each_key_is_the_one_that_nss_exported(store: Store, case: dict[str, Any]) -> None:
    store.unlock(Secret(case["password"] or ""))
    found = by_fingerprint(store)
    for certificate in found.values():
        if not certificate.has_private_key:
            with pytest.raises(KeyMissingError):
                store.private_key(certificate)
    for identity in assemble(None, store.certificates()):
        expected = next(
            one for one in case["identities"] if one["fingerprint"] == identity.certificate.sha256
        )
        certificate = found[expected["fingerprint"]]
        if not expected["has_key"]:
            continue
        pem = (FIXTURES / expected["key_file"]).read_bytes()
        exported = load_pem_private_key(pem, None)
        if isinstance(exported, dsa.DSAPrivateKey):
            with pytest.raises(KeyNotExportableError):
                store.private_key(certificate)
            continue
        key = store.private_key(certificate)
        check_key_fits(identity, key)
        assert isinstance(exported, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        # Once as numbers, once as canonical DER: the one can't hide what the other shows.
        loaded = load_der_private_key(key.pkcs8, None)
        assert isinstance(loaded, type(exported))
        assert loaded.private_numbers() == exported.private_numbers()
        assert key.pkcs8 == exported.private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        )
        assert key.public_key == exported.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        assert (key.type.lower(), key.bits) == (expected["key_type"], expected["key_bits"])


def issued_anew(key_file: str) -> StoredCertificate:
    """Return another certificate on a fixture's key."""
    key = load_pem_private_key((FIXTURES / key_file).read_bytes(), None)
    assert isinstance(key, Key)
    return from_der(issue(key, "Jane Doe", "Another CA", ec_key(9)))


def test_the_keys_without_certificate_are_those_that_nss_knows(
    seeing: Store, case: dict[str, Any]
) -> None:
    orphans = seeing.orphan_keys()
    expected = [(one["key_type"], one["key_bits"]) for one in case["keys_without_certificate"]]
    assert sorted((one.type.lower(), one.bits) for one in orphans) == sorted(expected)
    assert len({one.id for one in orphans}) == len(orphans)
    seeing.unlock(Secret(case["password"] or ""))
    found = []
    for one in case["keys_without_certificate"]:
        mine = issued_anew(one["key_file"])
        found.append(seeing.orphan_of(mine))
        assert seeing.private_key(mine).public_key == mine.public_key
    assert sorted(found, key=repr) == sorted(orphans, key=repr)
    # A key that has its certificate is no orphan, whatever else is issued for it.
    for certificate in seeing.certificates():
        assert seeing.orphan_of(certificate) is None
    for key in (rsa_key(), ec_key()):
        assert seeing.orphan_of(from_der(issue(key))) is None


def test_a_renewal_from_elsewhere_has_the_key_that_is_here(
    seeing: Store, case: dict[str, Any]
) -> None:
    seeing.unlock(Secret(case["password"] or ""))
    for one in case["identities"]:
        if one["key_file"] is None:
            continue
        renewal = issued_anew(one["key_file"])
        assert seeing.orphan_of(renewal) is None
        if one["key_type"] == "dsa":
            with pytest.raises(KeyNotExportableError):
                seeing.private_key(renewal)
        else:
            assert seeing.private_key(renewal).public_key == renewal.public_key
    with pytest.raises(KeyMissingError):
        seeing.private_key(from_der(issue(ec_key())))


def test_a_folder_without_databases_has_no_store(engine: Engine, tmp_path: Path) -> None:
    assert engine.unavailable() is None
    with pytest.raises(NoStoreError), engine.open(Profile(tmp_path, "empty", "Firefox")):
        pass

"""What every engine must give of every fixture profile: one suite, each engine one parameter.

What is expected (profiles.json, keys/) is what Firefox and NSS say of the profiles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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
from tests.conftest import Unchanged
from tests.peers import need

CASES: dict[str, dict[str, Any]] = json.loads(
    (FIXTURES / "profiles.json").read_text(encoding="utf-8")
)["profiles"]
# NSS shows keys without a certificate to nobody who has not given the password, so that one engine
# alone can say which there are.
SEES_ORPHANS: EngineName = "native"
ENGINES: list[EngineName] = ["native", "nss"]


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
def folder(name: str, profile: Callable[[str], Path], unchanged: Unchanged) -> Iterator[Path]:
    """The case's profile; whatever the test does, it must not change."""
    copy = profile(name)
    with unchanged(copy):
        yield copy


@pytest.fixture
def store(engine: Engine, folder: Path) -> Iterator[Store]:
    with engine.open(Profile(folder, "case", "Firefox", store=store_in(folder))) as opened:
        yield opened


def by_fingerprint(store: Store) -> dict[str, StoredCertificate]:
    found = {certificate.sha256: certificate for certificate in store.certificates()}
    assert len(found) == len(store.certificates())
    return found


def test_the_certificates_are_those_that_nss_lists(store: Store, case: dict[str, Any]) -> None:
    found = by_fingerprint(store)
    authorities = {sha256 for one in case["identities"] for sha256 in one["chain"]}
    leaves = {one["fingerprint"] for one in case["identities"]}
    assert leaves | authorities <= found.keys()
    assert {c.sha256 for c in found.values() if not c.is_ca} == leaves
    assert store.notes() == ()


def test_the_facts_of_each_identity_are_those_of_nss(store: Store, case: dict[str, Any]) -> None:
    identities = {i.certificate.sha256: i for i in assemble(None, store.certificates())}
    assert identities.keys() == {one["fingerprint"] for one in case["identities"]}
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


def test_whether_there_is_a_primary_password_is_known(store: Store, case: dict[str, Any]) -> None:
    assert store.needs_password() is (case["password"] is not None)


def test_each_key_is_the_one_that_nss_exported(store: Store, case: dict[str, Any]) -> None:
    store.unlock(Secret(case["password"] or ""))
    found = by_fingerprint(store)
    for identity in assemble(None, store.certificates()):
        expected = next(
            one for one in case["identities"] if one["fingerprint"] == identity.certificate.sha256
        )
        certificate = found[expected["fingerprint"]]
        if not expected["has_key"]:
            with pytest.raises(KeyMissingError):
                store.private_key(certificate)
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


@pytest.mark.parametrize("wrong", ["", "wrong", "Correct horse 7", "correct horse 7 ", "ü" * 300])
def test_a_wrong_password_is_an_error_and_opens_nothing(
    store: Store, case: dict[str, Any], wrong: str
) -> None:
    if wrong == "" and case["password"] is None:
        store.unlock(Secret(wrong))
        return
    with pytest.raises(WrongPrimaryPasswordError):
        store.unlock(Secret(wrong))
    for certificate in store.certificates():
        if certificate.has_private_key:
            with pytest.raises((PrimaryPasswordRequiredError, KeyNotExportableError)):
                store.private_key(certificate)


def test_a_key_of_a_certificate_that_is_not_there_is_missing(
    store: Store, case: dict[str, Any]
) -> None:
    store.unlock(Secret(case["password"] or ""))
    for certificate in store.certificates():
        if not certificate.has_private_key:
            with pytest.raises(KeyMissingError):
                store.private_key(certificate)


def issued_anew(key_file: str) -> StoredCertificate:
    """Another certificate on a fixture's key."""
    key = load_pem_private_key((FIXTURES / key_file).read_bytes(), None)
    assert isinstance(key, Key)
    return from_der(issue(key, "Jane Doe", "Another CA", ec_key(9)))


@pytest.fixture
def seeing(folder: Path) -> Iterator[Store]:
    with engine_named(SEES_ORPHANS).open(
        Profile(folder, "case", "Firefox", store=store_in(folder))
    ) as opened:
        yield opened


def test_the_keys_without_certificate_are_those_that_nss_knows(
    seeing: Store, case: dict[str, Any]
) -> None:
    found = sorted((one.type.lower(), one.bits) for one in seeing.orphan_keys())
    expected = [(one["key_type"], one["key_bits"]) for one in case["keys_without_certificate"]]
    assert found == sorted(expected)
    assert len({one.id for one in seeing.orphan_keys()}) == len(found)


def test_a_certificate_from_elsewhere_finds_its_key_among_the_orphans(
    seeing: Store, case: dict[str, Any]
) -> None:
    found = []
    for one in case["keys_without_certificate"]:
        mine = issued_anew(one["key_file"])
        orphan = seeing.orphan_of(mine)
        assert orphan is not None
        found.append(orphan)
        seeing.unlock(Secret(case["password"] or ""))
        assert seeing.private_key(mine).public_key == mine.public_key
    assert sorted(found, key=repr) == sorted(seeing.orphan_keys(), key=repr)


def test_no_orphan_is_that_of_a_certificate_with_another_key(
    seeing: Store, case: dict[str, Any]
) -> None:
    for certificate in seeing.certificates():
        assert seeing.orphan_of(certificate) is None
    for key in (rsa_key(), ec_key()):
        assert seeing.orphan_of(from_der(issue(key))) is None
    # A key that has its certificate is no orphan, whatever else is issued for it.
    for one in case["identities"]:
        if one["key_file"] is not None:
            assert seeing.orphan_of(issued_anew(one["key_file"])) is None


def test_a_renewal_from_elsewhere_has_the_key_of_the_certificate_that_is_here(
    seeing: Store, case: dict[str, Any]
) -> None:
    seeing.unlock(Secret(case["password"] or ""))
    for one in case["identities"]:
        if one["key_file"] is None:
            continue
        renewal = issued_anew(one["key_file"])
        if one["key_type"] == "dsa":
            with pytest.raises(KeyNotExportableError):
                seeing.private_key(renewal)
        else:
            assert seeing.private_key(renewal).public_key == renewal.public_key


def test_a_key_that_is_nowhere_is_missing_even_for_a_certificate_from_elsewhere(
    seeing: Store, case: dict[str, Any]
) -> None:
    seeing.unlock(Secret(case["password"] or ""))
    with pytest.raises(KeyMissingError):
        seeing.private_key(from_der(issue(ec_key())))


def test_every_certificate_is_told_of_alike(store: Store, seeing: Store) -> None:
    """By every engine: its bytes, its names, its key, and who is trusted or expressly is not."""

    def told(of: Store) -> set[object]:
        return {
            (
                *(one.der, one.nickname, one.email, one.has_private_key),
                tuple(each for each in one.trust if each[1] not in ("must-verify", "unknown")),
            )
            for one in of.certificates()
        }

    assert told(store) == told(seeing)


def test_a_folder_without_databases_has_no_store(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NoStoreError), engine.open(Profile(tmp_path, "empty", "Firefox")):
        pass


def test_the_engine_is_available_and_says_its_name(engine: Engine) -> None:
    assert engine.unavailable() is None
    assert engine.name in ENGINES

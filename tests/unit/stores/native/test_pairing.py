"""Which key belongs to which certificate, without a password."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from nssbackup.errors import KeyMismatchError
from nssbackup.identity.model import Identity
from nssbackup.stores.native import NativeEngine, contents
from nssbackup.stores.native.database import StoredObject
from nssbackup.stores.unlocking import read_key
from tests.builders.store import (
    EMPTY,
    Key,
    StoreBuilder,
    cka_id,
    ec_key,
    issue,
    public_value,
    rsa_key,
)
from tests.unit.stores.native.stores import opened

KEYS: dict[str, Key] = {
    "rsa": rsa_key(),
    "p-256": ec_key(),
    "p-384": ec_key(0, "secp384r1"),
    "p-521": ec_key(0, "secp521r1"),
    "dsa": dsa.generate_private_key(1024),  # noqa: S505 - quick to make
    "ed25519": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
    "x25519": x25519.X25519PrivateKey.from_private_bytes(bytes(range(32))),
}


def certificate_of(key: Key) -> bytes:
    return issue(key, issuer="CA", by=rsa_key(1))


def paired(builder: StoreBuilder) -> list[bool]:
    with NativeEngine().open(opened(builder.write())) as store:
        return [certificate.has_private_key for certificate in store.certificates()]


@pytest.fixture
def builder(tmp_path: Path) -> StoreBuilder:
    return StoreBuilder(tmp_path / "profile")


@pytest.mark.parametrize("kind", KEYS)
def test_a_pair_as_nss_makes_it_is_found(builder: StoreBuilder, kind: str) -> None:
    builder.add_identity(KEYS[kind], certificate_of(KEYS[kind]))
    assert paired(builder) == [True]


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("identifier", [EMPTY, None, b"something else"])
def test_the_public_value_decides_whatever_the_ids_say(
    builder: StoreBuilder, kind: str, identifier: bytes | None
) -> None:
    certificate, key = builder.add_identity(KEYS[kind], certificate_of(KEYS[kind]))
    certificate["a102"] = identifier
    key["a102"] = EMPTY
    assert paired(builder) == [True]


@pytest.mark.parametrize("kind", KEYS)
def test_without_a_public_value_the_id_decides(builder: StoreBuilder, kind: str) -> None:
    _, key = builder.add_identity(KEYS[kind], certificate_of(KEYS[kind]))
    key.update(a120=None, ad5a0db00=None)
    assert paired(builder) == [True]


@pytest.mark.parametrize("kind", [kind for kind in KEYS if kind not in {"rsa", "x25519"}])
@pytest.mark.parametrize("identifier", [EMPTY, b"another id"])
def test_the_id_in_place_of_the_public_value(
    builder: StoreBuilder, kind: str, identifier: bytes
) -> None:
    """As `certutil --merge` leaves a key."""
    certificate, key = builder.add_identity(KEYS[kind], certificate_of(KEYS[kind]))
    key["ad5a0db00"] = key["a102"]
    certificate["a102"] = identifier
    assert paired(builder) == [True]


def test_a_pair_by_id_alone_is_checked_when_the_key_is_read(builder: StoreBuilder) -> None:
    builder.add_certificate(issue(ec_key(1)), b"", cka_id(ec_key(1)))
    key = builder.add_key(ec_key(2))
    key.update(a102=cka_id(ec_key(1)), ad5a0db00=cka_id(ec_key(1)))
    profile = opened(builder.write())
    with NativeEngine().open(profile) as store:
        identity = Identity(profile, store.certificates()[0])
    with pytest.raises(KeyMismatchError):
        read_key(identity, "native", lambda _profile, _attempt: None)


@pytest.mark.parametrize("kind", [kind for kind in KEYS if kind != "x25519"])
def test_without_a_public_value_the_id_is_computed(builder: StoreBuilder, kind: str) -> None:
    certificate, key = builder.add_identity(KEYS[kind], certificate_of(KEYS[kind]))
    certificate["a102"] = EMPTY
    key.update(a120=None, ad5a0db00=None)
    assert paired(builder) == [True]


@pytest.mark.parametrize("kind", KEYS)
def test_nothing_in_common_is_no_pair(builder: StoreBuilder, kind: str) -> None:
    _, key = builder.add_identity(KEYS[kind], certificate_of(KEYS[kind]))
    key.update(a120=None, ad5a0db00=None, a102=b"another id")
    assert paired(builder) == [False]


def test_empty_on_both_sides_is_no_pair(builder: StoreBuilder) -> None:
    certificate, key = builder.add_identity(rsa_key(), issue(rsa_key()))
    certificate["a102"] = EMPTY
    key.update(a120=EMPTY, ad5a0db00=EMPTY, a102=EMPTY)
    assert paired(builder) == [False]


def test_an_rsa_key_without_cka_nss_db(builder: StoreBuilder) -> None:
    """As after a migration from key3.db."""
    _, key = builder.add_identity(rsa_key(), issue(rsa_key()))
    key.update(ad5a0db00=None, a102=EMPTY)
    assert paired(builder) == [True]


@pytest.mark.parametrize("column", ["a120", "ad5a0db00"])
def test_a_sign_byte_makes_no_difference(builder: StoreBuilder, column: str) -> None:
    kind = "rsa" if column == "a120" else "dsa"
    _, key = builder.add_identity(KEYS[kind], certificate_of(KEYS[kind]))
    key.update({column: b"\0" + public_value(KEYS[kind]), "a102": EMPTY})
    assert paired(builder) == [True]


def test_the_id_of_another_key_does_not_make_a_pair(builder: StoreBuilder) -> None:
    """Both ids agree and the public value does not: NSS would pair these two."""
    builder.add_certificate(issue(ec_key(1)), b"", cka_id(ec_key(1)))
    key = builder.add_key(ec_key(2))
    key["a102"] = cka_id(ec_key(1))
    assert paired(builder) == [False]


def test_two_keys_with_one_id_each_find_their_certificate(builder: StoreBuilder) -> None:
    for number in (1, 2):
        certificate, key = builder.add_identity(ec_key(number), issue(ec_key(number)))
        certificate["a102"] = key["a102"] = b"same"
    assert paired(builder) == [True, True]


def test_a_certificate_with_an_unknown_key_is_paired_by_id(builder: StoreBuilder) -> None:
    key = ec_key()
    unknown = issue(key).replace(
        bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0205")
    )
    certificate = builder.add_certificate(issue(key), b"", b"the id")
    certificate["a11"] = unknown
    row = builder.add_key(key)
    row.update(a102=b"the id", ad5a0db00=None)
    assert paired(builder) == [True]


def test_a_short_public_value_is_its_own_id() -> None:
    assert contents.key_id(bytes(20)) == bytes(20)
    assert contents.key_id(bytes(21)) == hashlib.sha1(bytes(21)).digest()  # noqa: S324 - NSS's choice


def test_a_key_of_an_unknown_algorithm_has_no_value_and_no_pair() -> None:
    spki = ec_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    odd = spki.replace(bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d027f"))
    assert odd != spki
    assert contents.public_value(odd) == b""
    assert contents.public_value(b"no key") == b""
    nameless = StoredObject(1, {})
    assert contents.pair([(7, None, odd), (8, None, None)], (nameless,)) == {}


def test_only_zeros_are_stripped_from_a_value(tmp_path: Path) -> None:
    seeds = (number.to_bytes(32, "big") for number in range(1, 10_000))
    tried = (ed25519.Ed25519PrivateKey.from_private_bytes(seed) for seed in seeds)
    key = next(one for one in tried if one.public_key().public_bytes_raw()[:1] == b"X")
    builder = StoreBuilder(tmp_path / "p")
    builder.add_identity(key, certificate_of(key))
    builder.private[0]["a102"] = b"another"
    assert paired(builder) == [True]

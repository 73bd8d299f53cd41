"""What is damaged, spoiled or refused in a key, each named for what it is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, x25519

from nssbackup.errors import (
    DamagedStoreError,
    IntegrityError,
    KeyInconsistentError,
    KeyMissingError,
    KeyNotExportableError,
    UnsupportedStoreError,
)
from nssbackup.secret import Secret
from nssbackup.stores.native import NativeEngine, database
from tests.builders.store import (
    EMPTY,
    HMAC_SHA256,
    PBMAC1,
    StoreBuilder,
    aes_blob,
    aes_structure,
    ec_key,
    issue,
    octets,
    oid,
    pbkdf2_parameters,
    rsa_key,
    seq,
    signature,
)
from tests.unit.stores.native.stores import key_of, opened, pkcs8, row_of, sig

RSA = rsa_key()
EC = ec_key()
RSA_DER, EC_DER = issue(RSA), issue(EC)
NAMES = {
    0x120: "MODULUS",
    0x122: "PUBLIC_EXPONENT",
    0x123: "PRIVATE_EXPONENT",
    0x124: "PRIME_1",
    0x125: "PRIME_2",
    0x126: "EXPONENT_1",
    0x127: "EXPONENT_2",
    0x128: "COEFFICIENT",
}


@pytest.fixture
def builder(tmp_path: Path) -> StoreBuilder:
    return StoreBuilder(tmp_path / "profile")


@pytest.fixture
def rsa_store(builder: StoreBuilder) -> StoreBuilder:
    builder.add_identity(RSA, RSA_DER, b"mine")
    return builder


@pytest.fixture
def ec_store(builder: StoreBuilder) -> StoreBuilder:
    builder.add_identity(EC, EC_DER, b"mine")
    return builder


@pytest.mark.parametrize("attribute", [0x120, 0x122, *range(0x123, 0x129)])
def test_a_missing_signature_of_an_rsa_value_is_named(
    rsa_store: StoreBuilder, attribute: int
) -> None:
    assert rsa_store.meta is not None
    del rsa_store.meta[sig(row_of(rsa_store), attribute)]
    with pytest.raises(IntegrityError, match=f"CKA_{NAMES[attribute]} .*missing"):
        key_of(rsa_store)


@pytest.mark.parametrize("attribute", [0x120, 0x122, *range(0x123, 0x129)])
def test_a_wrong_signature_of_an_rsa_value_is_named(
    rsa_store: StoreBuilder, attribute: int
) -> None:
    assert rsa_store.meta is not None
    wrong = signature(rsa_store.key, 0, attribute, b"something else")
    rsa_store.meta[sig(row_of(rsa_store), attribute)] = (wrong, None)
    with pytest.raises(IntegrityError, match=f"CKA_{NAMES[attribute]} .*wrong"):
        key_of(rsa_store)


def test_the_signature_of_another_object_does_not_fit(rsa_store: StoreBuilder) -> None:
    assert rsa_store.meta is not None
    row = row_of(rsa_store)
    n = row["a120"]
    assert isinstance(n, bytes)
    rsa_store.meta[sig(row, 0x120)] = (signature(rsa_store.key, 99, 0x120, n), None)
    with pytest.raises(IntegrityError, match="CKA_MODULUS"):
        key_of(rsa_store)


@pytest.mark.parametrize("item", [None, "text", 5])
def test_a_signature_that_is_no_blob_is_an_integrity_error(
    ec_store: StoreBuilder, item: object
) -> None:
    assert ec_store.meta is not None
    ec_store.meta[sig(row_of(ec_store), 0x11)] = (item, None)
    with pytest.raises(IntegrityError, match="CKA_VALUE"):
        key_of(ec_store)


def test_an_attribute_under_another_password_is_damage(ec_store: StoreBuilder) -> None:
    blobs = [aes_blob(b"another key" + bytes([n]), bytes(32)) for n in range(3)]
    for blob in blobs:
        row_of(ec_store)["a11"] = blob
        with pytest.raises(DamagedStoreError, match="CKA_VALUE"):
            key_of(ec_store)


@pytest.mark.parametrize("value", [None, EMPTY, b"", b"\x30\x03abc", "text", 7, 1.5])
@pytest.mark.parametrize("column", ["a123", "a128"])
def test_an_encrypted_value_that_is_none_is_damage(
    rsa_store: StoreBuilder, column: str, value: object
) -> None:
    row_of(rsa_store)[column] = value
    with pytest.raises(DamagedStoreError, match="damaged") as info:
        key_of(rsa_store)
    assert not isinstance(info.value, IntegrityError)


def test_an_unknown_algorithm_of_a_value_is_unsupported(ec_store: StoreBuilder) -> None:
    blob = seq(seq(oid("1.2.840.113549.1.5.3"), seq()), octets(bytes(16)))
    row_of(ec_store)["a11"] = blob
    with pytest.raises(UnsupportedStoreError, match=r"CKA_VALUE .*1\.2\.840\.113549\.1\.5\.3"):
        key_of(ec_store)


def claims(rounds: int) -> bytes:
    """An AES value that claims so many rounds: nothing of it is right."""
    return aes_structure(pbkdf2_parameters(bytes(32), rounds), octets(bytes(14)), bytes(16))


def claimed_signature(rounds: int) -> bytes:
    parameters = seq(pbkdf2_parameters(bytes(32), rounds), seq(oid(HMAC_SHA256)))
    return seq(seq(oid(PBMAC1), parameters), octets(bytes(32)))


def test_rounds_are_added_up_over_value_and_signature(ec_store: StoreBuilder) -> None:
    assert ec_store.meta is not None
    row = row_of(ec_store)
    row["a11"] = claims(1_200_000)
    ec_store.meta[sig(row, 0x11)] = (claimed_signature(1_200_000), None)
    with pytest.raises(UnsupportedStoreError, match="2,400,000"):
        key_of(ec_store)


def test_the_rounds_of_a_key_are_added_up_first(
    rsa_store: StoreBuilder,
) -> None:
    """Fourteen derivations make an RSA key; none of them alone is too long."""
    assert rsa_store.meta is not None
    row = row_of(rsa_store)
    for attribute in (0x120, 0x122, *range(0x123, 0x129)):
        rsa_store.meta[sig(row, attribute)] = (claimed_signature(200_000), None)
        if attribute > 0x122:
            row[f"a{attribute:x}"] = claims(200_000)
    # A wrong signature would be noticed only after its rounds were done.
    with pytest.raises(UnsupportedStoreError, match="2,800,000"):
        key_of(rsa_store)


def test_the_time_limit_does_not_run_while_a_person_types(
    builder: StoreBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is there for a query that never ends; a password may take minutes to type."""
    monkeypatch.setattr(database, "_SECONDS", 1.0)
    builder.add_identity(EC, EC_DER)
    for number in range(3000):
        builder.add_certificate(EC_DER, b"%d" % number)
    with NativeEngine().open(opened(builder.write())) as store:
        time.sleep(1.2)
        store.unlock(Secret(""))
        (certificate,) = store.certificates()
        assert store.private_key(certificate).pkcs8 == pkcs8(EC)


# --- what must not or can't be exported


def test_a_key_that_must_not_leave_is_refused(ec_store: StoreBuilder) -> None:
    row_of(ec_store)["a162"] = b"\0"
    with pytest.raises(KeyNotExportableError, match="not extractable"):
        key_of(ec_store)


def test_a_dsa_key_is_there_and_refused_by_name(builder: StoreBuilder) -> None:
    key = dsa.generate_private_key(1024)  # noqa: S505 - quick to make
    builder.add_identity(key, issue(key, issuer="CA", by=RSA))
    with pytest.raises(KeyNotExportableError, match="DSA"):
        key_of(builder)


def test_an_x25519_key_is_there_and_refused_by_name(builder: StoreBuilder) -> None:
    key = x25519.X25519PrivateKey.from_private_bytes(bytes(range(32)))
    builder.add_identity(key, issue(key, issuer="CA", by=RSA))
    with pytest.raises(KeyNotExportableError, match="X25519"):
        key_of(builder)


@pytest.mark.parametrize(
    ("kind", "word"),
    [(0x1, "DSA"), (0x41, "X25519"), (0x49, "ML-KEM"), (0x4A, "ML-DSA"), (0x10, "type 16")],
)
@pytest.mark.parametrize("value", [True, False], ids=["public value", "CKA_ID alone"])
def test_a_key_type_that_is_not_handled_is_refused_in_words(
    ec_store: StoreBuilder, kind: int, word: str, *, value: bool
) -> None:
    row = row_of(ec_store)
    row.update(a100=kind.to_bytes(4, "big"), a180=None)
    if not value:
        row["ad5a0db00"] = None
    with pytest.raises(KeyNotExportableError, match=word):
        key_of(ec_store)


def test_an_unknown_curve_is_refused_and_shown(ec_store: StoreBuilder) -> None:
    row_of(ec_store)["a180"] = bytes.fromhex("06052b8104000a")
    with pytest.raises(KeyNotExportableError, match="06052b8104000a"):
        key_of(ec_store)


# --- values that make no key

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize("scalar", [0, P256_ORDER, P256_ORDER + 1, 2**256 - 1, 2**4000])
def test_a_scalar_out_of_range_is_inconsistent(ec_store: StoreBuilder, scalar: int) -> None:
    size = max(32, (scalar.bit_length() + 7) // 8)
    ec_store.set_secret(row_of(ec_store), 0x11, scalar.to_bytes(size, "big"))
    with pytest.raises(KeyInconsistentError):
        key_of(ec_store)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_an_ed25519_seed_of_another_length_is_inconsistent(
    builder: StoreBuilder, size: int
) -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    row = builder.add_identity(key, issue(key))[1]
    builder.set_secret(row, 0x11, bytes(size))
    with pytest.raises(KeyInconsistentError):
        key_of(builder)


@pytest.mark.parametrize("attribute", range(0x123, 0x129))
@pytest.mark.parametrize("value", [b"", b"\0", b"\1", b"\2" + bytes(200)])
def test_an_rsa_value_that_does_not_belong_is_inconsistent(
    rsa_store: StoreBuilder, attribute: int, value: bytes
) -> None:
    rsa_store.set_secret(row_of(rsa_store), attribute, value)
    with pytest.raises(KeyInconsistentError):
        key_of(rsa_store)


@pytest.mark.parametrize("exponent", [b"\0", b"\1", b"\2", bytes(9)])
def test_a_changed_public_exponent_makes_no_pair(rsa_store: StoreBuilder, exponent: bytes) -> None:
    row = row_of(rsa_store)
    row["a122"] = exponent
    rsa_store.sign(row, 0x122, exponent, clear=True)
    with pytest.raises(KeyMissingError):
        key_of(rsa_store)

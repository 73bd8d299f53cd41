from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from nssbackup.errors import KeyInconsistentError, KeyNotExportableError
from nssbackup.identity.private_keys import RsaValues, from_ec, from_ed25519, from_pkcs8, from_rsa
from tests.builders.store import ec_key, integer, octets, oid, rsa_key, seq

Supported = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
KEYS: dict[str, tuple[Supported, str, int]] = {
    "rsa": (rsa_key(), "RSA", 2048),
    "p-256": (ec_key(), "EC", 256),
    "p-521": (ec_key(0, "secp521r1"), "EC", 521),
    "ed25519": (ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)), "Ed25519", 256),
    "ed448": (ed448.Ed448PrivateKey.from_private_bytes(bytes(57)), "Ed448", 456),
}


def pkcs8(key: Supported | dsa.DSAPrivateKey | x25519.X25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def values(key: rsa.RSAPrivateKey) -> RsaValues:
    n = key.private_numbers()
    public = n.public_numbers
    return RsaValues(public.n, public.e, n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp)


@pytest.mark.parametrize("kind", KEYS)
def test_a_pkcs8_comes_out_as_it_went_in(kind: str) -> None:
    key, name, bits = KEYS[kind]
    made = from_pkcs8(pkcs8(key))
    assert made.pkcs8 == pkcs8(key)
    assert (made.type, made.bits) == (name, bits)
    assert made.public_key == key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def test_rsa_values_make_the_key_they_were_taken_from() -> None:
    assert from_rsa(values(rsa_key())).pkcs8 == pkcs8(rsa_key())


def test_rsa_values_with_p_below_q_are_kept_in_their_order() -> None:
    n = rsa_key().private_numbers()
    p, q = sorted((n.p, n.q))
    swapped = RsaValues(
        n.public_numbers.n,
        n.public_numbers.e,
        n.d,
        p,
        q,
        n.d % (p - 1),
        n.d % (q - 1),
        pow(q, -1, p),
    )
    loaded = load_der_private_key(from_rsa(swapped).pkcs8, None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    assert (loaded.private_numbers().p, loaded.private_numbers().q) == (p, q)


FIELDS = (
    "modulus",
    "public_exponent",
    "private_exponent",
    "prime1",
    "prime2",
    "exponent1",
    "exponent2",
    "coefficient",
)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("change", ["zero", "one", "two", "more", "less", "negative", "huge"])
def test_one_rsa_value_that_does_not_belong_is_noticed(field: str, change: str) -> None:
    right = values(rsa_key())
    old = int(getattr(right, field))
    new = {
        "zero": 0,
        "one": 1,
        "two": 2,
        "more": old + 1,
        "less": old - 1,
        "negative": -old,
        "huge": old << 40_000,
    }[change]
    with pytest.raises(KeyInconsistentError):
        from_rsa(replace(right, **{field: new}))


def test_an_rsa_modulus_that_is_a_square_is_noticed() -> None:
    p = rsa_key().private_numbers().p
    e, phi = 65537, p * (p - 1)
    d = pow(e, -1, phi)
    square = RsaValues(p * p, e, d, p, p, d % (p - 1), d % (p - 1), 1)
    with pytest.raises(KeyInconsistentError):
        from_rsa(square)


@pytest.mark.parametrize("scalar", [0, -1])
def test_a_scalar_below_one_is_noticed(scalar: int) -> None:
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()):
        with pytest.raises(KeyInconsistentError):
            from_ec(curve, scalar)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_an_ed25519_seed_of_another_length_is_noticed(length: int) -> None:
    with pytest.raises(KeyInconsistentError):
        from_ed25519(bytes(length))


X25519 = x25519.X25519PrivateKey.from_private_bytes(bytes(32))
DSA = dsa.generate_private_key(1024)  # noqa: S505 - quick to make


@pytest.mark.parametrize(
    ("der", "word"),
    [
        (pkcs8(X25519), "X25519"),
        (pkcs8(DSA), "DSA"),
        (seq(integer(0), seq(oid("1.2.3.4")), octets(b"x")), "type"),
    ],
    ids=["X25519", "DSA", "unknown"],
)
def test_a_type_that_is_not_handled_is_refused_in_words(der: bytes, word: str) -> None:
    with pytest.raises(KeyNotExportableError, match=word):
        from_pkcs8(der)


@pytest.mark.parametrize("der", [b"", b"\x30\x00", bytes(50), pkcs8(rsa_key())[:-1]])
def test_what_is_no_pkcs8_is_inconsistent(der: bytes) -> None:
    with pytest.raises(KeyInconsistentError):
        from_pkcs8(der)


def test_a_key_is_in_no_repr_and_no_pickle() -> None:
    key = from_pkcs8(pkcs8(ec_key()))
    assert "pkcs8" not in repr(key)
    assert repr(key.pkcs8)[2:20] not in repr(key)
    assert str(rsa_key().private_numbers().p) not in repr(values(rsa_key()))
    with pytest.raises(TypeError):
        pickle.dumps(key)

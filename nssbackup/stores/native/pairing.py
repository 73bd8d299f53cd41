"""Pairing: which private key belongs to which certificate, told without a password.

The public value lies in clear beside every private key, so it decides. CKA_ID, which alone NSS
goes by, may be empty (after a migration from cert8.db) or be anything (keys of other programs);
it counts only where the public value is absent.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from nssbackup.stores.native.database import Attribute, StoredObject

# The longest public value that NSS takes for a CKA_ID as it is (lib/softoken/pkcs11.c: SHA-1 of it
# otherwise).
_SHORT = 20


def pair(
    certificates: list[tuple[int, bytes | None, bytes | None]], keys: tuple[StoredObject, ...]
) -> dict[int, StoredObject]:
    """Find the private key of each certificate.

    Args:
        certificates: for each certificate object its id, its CKA_ID and its SubjectPublicKeyInfo
            (DER), the last None where the key algorithm isn't known.
        keys: private-key objects.

    Returns:
        The key object for the id of each certificate object that has one.
    """
    index = KeyIndex(keys)
    return {
        number: found
        for number, identifier, spki in certificates
        if (found := index.find(identifier, spki)) is not None
    }


class KeyIndex:
    """Private-key objects by what a certificate knows them by."""

    def __init__(self, keys: tuple[StoredObject, ...]) -> None:
        self._by_value: dict[bytes, StoredObject] = {}
        self._by_id: dict[bytes, StoredObject] = {}
        for key in keys:
            value = _stored_value(key)
            if value:
                self._by_value.setdefault(value, key)
            elif identifier := key.get(Attribute.ID):
                self._by_id.setdefault(identifier, key)

    def find(self, identifier: bytes | None, spki: bytes | None) -> StoredObject | None:
        """The key of a certificate, by its CKA_ID and its SubjectPublicKeyInfo (DER) if known."""
        public, value = _public_value(spki) if spki else (b"", b"")
        return self._by_value.get(value) or self._by_id.get(identifier or key_id(public))


def key_id(public: bytes) -> bytes:
    """The CKA_ID that NSS makes of a public value."""
    if len(public) <= _SHORT:
        return public
    return hashlib.sha1(public, usedforsecurity=False).digest()


def _stored_value(key: StoredObject) -> bytes:
    """The public value of a private-key object in the form of `_public_value`; empty if absent."""
    modulus = key.get(Attribute.MODULUS)
    if modulus:
        return _rsa_value(
            int.from_bytes(modulus, "big"),
            int.from_bytes(key.get(Attribute.PUBLIC_EXPONENT) or b"", "big"),
        )
    # The integers of DSA may carry a sign byte; the values of the others never begin with zero
    # bytes that matter to equality with another key of the same length.
    return (key.get(Attribute.NSS_DB) or b"").lstrip(b"\0")


def public_value(spki: bytes) -> bytes:
    """What NSS names a key pair by: RSA modulus, EC point, DSA y or the raw key; empty if unknown.

    Args:
        spki: the public key as SubjectPublicKeyInfo, DER.
    """
    return _public_value(spki)[0]


# A building's profiles hold the same few CA certificates over and over.
@lru_cache(maxsize=1024)
def _public_value(spki: bytes) -> tuple[bytes, bytes]:
    """What NSS hashes to a CKA_ID for a public key, and what is compared with a stored one.

    RSA: the modulus; compared with the exponent. EC: the uncompressed point. DSA: y. Ed25519 and
    other: the raw public key. Empty for what isn't known.
    """
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        return b"", b""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return _unsigned(numbers.n), _rsa_value(numbers.n, numbers.e)
    if isinstance(key, ec.EllipticCurvePublicKey):
        value = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    elif isinstance(key, dsa.DSAPublicKey):
        value = _unsigned(key.public_numbers().y)
    elif (raw := getattr(key, "public_bytes_raw", None)) is not None:
        value = raw()
    else:
        return b"", b""
    return value, value.lstrip(b"\0")


def _rsa_value(modulus: int, exponent: int) -> bytes:
    return b"%x/%x" % (modulus, exponent)


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")

"""Tell which private key belongs to which certificate, without a password.

The public value beside a private key decides. It is not encrypted. CKA_ID, which is all that NSS
goes by, may be empty (after a migration from cert8.db) or anything (keys made by other programs),
so it counts only for a key without a public value. Whether such a pair fits is checked once the
key is decrypted.
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

# Up to this length NSS takes a public value for a CKA_ID as it is (lib/softoken/pkcs11.c), and the
# SHA-1 of a longer one. No public value of a real key is so short.
_ID_BYTES = 20


def pair(
    certificates: list[tuple[int, bytes | None, bytes | None]], keys: tuple[StoredObject, ...]
) -> dict[int, StoredObject]:
    """Return the private key of each certificate that has one, by the certificate's object id.

    Args:
        certificates: for each certificate its object id, its CKA_ID and its SubjectPublicKeyInfo
            (DER; None if the algorithm of the key isn't known).
        keys: private-key objects.
    """
    index = KeyIndex(keys)
    return {
        number: found
        for number, identifier, spki in certificates
        if (found := index.find(identifier, spki)) is not None
    }


class KeyIndex:
    """Private-key objects by what a certificate tells about its key."""

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
        """Return the key of a certificate, by its CKA_ID and SubjectPublicKeyInfo (DER)."""
        public, value = _public_value(spki) if spki else (b"", b"")
        return (
            self._by_value.get(value)
            or self._by_id.get(identifier or b"")
            or self._by_id.get(key_id(public))
        )


def key_id(public: bytes) -> bytes:
    """Return the CKA_ID that NSS makes of a public value."""
    if len(public) <= _ID_BYTES:
        return public
    return hashlib.sha1(public, usedforsecurity=False).digest()


def public_value(spki: bytes) -> bytes:
    """Return what NSS names a key by: RSA modulus, EC point, DSA y or raw key; empty if unknown.

    Args:
        spki: the public key as SubjectPublicKeyInfo, DER.
    """
    return _public_value(spki)[0]


def _stored_value(key: StoredObject) -> bytes:
    """Return the public value of a private-key object as `_public_value` does; empty if absent."""
    modulus = key.get(Attribute.MODULUS)
    if modulus:
        return _rsa_value(
            int.from_bytes(modulus, "big"),
            int.from_bytes(key.get(Attribute.PUBLIC_EXPONENT) or b"", "big"),
        )
    value = key.get(Attribute.NSS_DB) or b""
    if len(value) <= _ID_BYTES:  # `certutil --merge` puts the CKA_ID there
        return b""
    # The integers of DSA may have a sign byte. No other value is changed by this into that of
    # another key of the same length.
    return value.lstrip(b"\0")


# A building's profiles hold the same few CA certificates over and over.
@lru_cache(maxsize=1024)
def _public_value(spki: bytes) -> tuple[bytes, bytes]:
    """Return what NSS hashes to the CKA_ID of a public key, and what `_stored_value` returns.

    RSA: the modulus; compared with the exponent. EC: the uncompressed point. DSA: y. Ed25519 and
    others: the raw public key. Empty if the key isn't known.
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

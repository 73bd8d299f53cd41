"""What the two databases hold that can be read without a password."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from nssbackup.identity.certificate import MalformedCertificateError, StoredCertificate, from_der
from nssbackup.identity.model import OrphanKey
from nssbackup.stores.native.database import (
    Attribute,
    CertificateDatabase,
    KeyDatabase,
    StoredObject,
)

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


# CKA_KEY_TYPE (PKCS#11 3.2, CK_KEY_TYPE).
RSA, EC, EDWARDS = 0x0, 0x3, 0x40
OTHER_KEY_TYPES = {0x1: "DSA", 0x41: "X25519", 0x49: "ML-KEM", 0x4A: "ML-DSA"}
# CKA_EC_PARAMS is the DER of the curve's OID.
CURVES: dict[bytes, ec.EllipticCurve] = {
    bytes.fromhex("06082a8648ce3d030107"): ec.SECP256R1(),
    bytes.fromhex("06052b81040022"): ec.SECP384R1(),
    bytes.fromhex("06052b81040023"): ec.SECP521R1(),
}
ED25519 = bytes.fromhex("06032b6570")

# NSS's kind of trust object and PKCS#11's (lib/util/pkcs11n.h, PKCS#11 3.2 CK_TRUST).
_TRUST_WORDS = {
    0xCE534351: "trusted",
    0xCE534352: "trusted-ca",
    0xCE534353: "must-verify",
    0xCE53435A: "not-trusted",
    1: "trusted",
    2: "trusted-ca",
    3: "not-trusted",
    4: "must-verify",
}
_USAGES = {
    Attribute.TRUST_SERVER: "server",
    Attribute.TRUST_CLIENT: "client",
    Attribute.TRUST_CODE: "code",
    Attribute.TRUST_EMAIL: "email",
    Attribute.NSS_TRUST_SERVER: "server",
    Attribute.NSS_TRUST_CLIENT: "client",
    Attribute.NSS_TRUST_CODE: "code",
    Attribute.NSS_TRUST_EMAIL: "email",
}

Trust = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """Certificates and their private keys, still encrypted.

    Attributes:
        certificates: each once, in the order of the database.
        keys: the private key of a certificate, by its fingerprint.
        orphans: the private keys that have no certificate here.
        notes: what was skipped.
    """

    certificates: tuple[StoredCertificate, ...]
    keys: dict[str, StoredObject] = field(repr=False)
    orphans: tuple[StoredObject, ...] = field(repr=False)
    notes: tuple[str, ...]
    _orphan_index: KeyIndex = field(repr=False)

    @classmethod
    def read(cls, certificates: CertificateDatabase | None, keys: KeyDatabase | None) -> Contents:
        """Read the databases, either of which may be missing.

        A certificate that can't be parsed is skipped with a note.

        Raises:
            StoreError: a database is damaged.
        """
        found, trust_objects = certificates.objects() if certificates else ((), ())
        parsed, notes = _parsed(found)
        private_keys = keys.private_keys() if keys else ()
        pairs = pair([(o.id, o.get(Attribute.ID), c.public_key) for o, c in parsed], private_keys)
        paired = {stored.id for stored in pairs.values()}
        trust = _trust(trust_objects)
        orphans = tuple(stored for stored in private_keys if stored.id not in paired)
        return cls(
            certificates=tuple(
                replace(
                    certificate,
                    nickname=_text(stored.get(Attribute.LABEL)),
                    email=_text(stored.get(Attribute.NSS_EMAIL)) or certificate.email,
                    trust=trust.get(_serial_key(stored), ()),
                    has_private_key=stored.id in pairs,
                )
                for stored, certificate in parsed
            ),
            keys={
                certificate.sha256: pairs[stored.id]
                for stored, certificate in parsed
                if stored.id in pairs
            },
            orphans=orphans,
            notes=notes,
            _orphan_index=KeyIndex(orphans),
        )

    def key_of(self, certificate: StoredCertificate) -> StoredObject | None:
        """Return the private key of a certificate, which need not be one of these, or None."""
        # A certificate from elsewhere may be a renewal on a key that has a certificate here.
        every = (*self.keys.values(), *self.orphans)
        return self.keys.get(certificate.sha256) or KeyIndex(every).find(
            None, certificate.public_key
        )

    def orphan_of(self, certificate: StoredCertificate) -> StoredObject | None:
        """Return the orphan that is the key of a certificate from elsewhere, or None."""
        return self._orphan_index.find(None, certificate.public_key)


def orphan_key(stored: StoredObject) -> OrphanKey:
    """Return what a private key tells without its certificate."""
    kind = stored.number(Attribute.KEY_TYPE)
    parameters = stored.get(Attribute.EC_PARAMS) or b""
    name, bits = OTHER_KEY_TYPES.get(kind or 0, "unknown"), None
    if kind == RSA:
        modulus = int.from_bytes(stored.get(Attribute.MODULUS) or b"", "big")
        name, bits = "RSA", modulus.bit_length() or None
    elif kind in (EC, EDWARDS) and parameters == ED25519:
        name, bits = "Ed25519", 256
    elif kind == EC:
        name, bits = "EC", CURVES[parameters].key_size if parameters in CURVES else None
    return OrphanKey(f"{stored.id:08x}", name, bits)


def _parsed(
    objects: tuple[StoredObject, ...],
) -> tuple[list[tuple[StoredObject, StoredCertificate]], tuple[str, ...]]:
    """Return the certificates of objects, each once, and notes on those that were skipped."""
    parsed: dict[bytes, tuple[StoredObject, StoredCertificate]] = {}
    notes = []
    for stored in objects:
        try:
            certificate = from_der(stored.get(Attribute.VALUE) or b"")
        except MalformedCertificateError as error:
            notes.append(f"certificate object {stored.id:08x} was skipped: {error}")
            continue
        parsed.setdefault(certificate.der, (stored, certificate))
    return list(parsed.values()), tuple(notes)


def _trust(objects: tuple[StoredObject, ...]) -> dict[tuple[bytes, bytes], Trust]:
    """Return what trust objects say, by issuer and serial number."""
    return {
        _serial_key(stored): tuple(
            (_USAGES[attribute], _TRUST_WORDS.get(stored.number(attribute) or 0, "unknown"))
            for attribute in stored.attributes
            if attribute in _USAGES
        )
        for stored in objects
    }


def _serial_key(stored: StoredObject) -> tuple[bytes, bytes]:
    return stored.get(Attribute.ISSUER) or b"", stored.get(Attribute.SERIAL_NUMBER) or b""


def _text(value: bytes | None) -> str | None:
    """Return a label as text, None if empty; bytes that are not UTF-8 become surrogates."""
    return value.decode("utf-8", "surrogateescape") if value else None

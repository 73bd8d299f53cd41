"""StoredCertificate: an X.509 certificate with what the store says about it.

Everything is read from the DER once; a certificate with an unknown key algorithm, odd names or
broken extensions still has facts, because one such certificate must not end a listing.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from nssbackup.errors import NssBackupError

Status = Literal["valid", "expired", "not-yet-valid"]

# One with a picture in it has some 100 kB.
_MAX_BYTES = 256 * 1024

# A WIPO identity's issuer names WIPO in one of these attributes (the contract's definition).
_ISSUER_FIELDS = (
    NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME,
    NameOID.COMMON_NAME,
)

# RFC 4514 has no short name for it and would show the OID.
_SHORT_NAMES = {NameOID.EMAIL_ADDRESS: "E"}

_KEY_TYPES: dict[str, type] = {
    "RSA": rsa.RSAPublicKey,
    "EC": ec.EllipticCurvePublicKey,
    "DSA": dsa.DSAPublicKey,
    "Ed25519": ed25519.Ed25519PublicKey,
    "Ed448": ed448.Ed448PublicKey,
}
_FIXED_BITS = {"Ed25519": 256, "Ed448": 456}
# Keys that only agree (PKCS#3; RFC 3279, 2.3.3); `cryptography` warns of them in words of its own.
_DH = {"1.2.840.113549.1.3.1", "1.2.840.10046.2.1"}
# secp224r1 (RFC 5480, 2.1.1.1) before a point that is compressed: thousands of them take seconds
# to compute. NSS takes no compressed point.
_COMPRESSED_P224 = re.compile(rb"\x06\x05\x2b\x81\x04\x00\x21\x03\x1e\x00[\x02\x03]")


class MalformedCertificateError(NssBackupError):
    """The bytes are no X.509 certificate."""

    code = "malformed-certificate"
    exit_status = 11


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What a certificate says about its key: `type` as in "RSA", "EC" or "Ed25519", size in bits.

    `bits` is None where the algorithm isn't known here.
    """

    type: str
    bits: int | None


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """One certificate of a store.

    `der` is the certificate itself; `nickname` and `email` are the store's (CKA_LABEL,
    CKA_NSS_EMAIL) or None; `trust` maps a usage ("server", "client", "email", "code") to NSS's
    word for it; `has_private_key` says whether the store holds the key of this certificate.
    The rest are facts of the DER: names as RFC 4514 text, `serial` as an integer, fingerprints
    in lower-case hex, times in UTC, `public_key` as SubjectPublicKeyInfo DER (None where the
    algorithm isn't known).
    """

    der: bytes = field(repr=False)
    nickname: str | None
    email: str | None
    trust: tuple[tuple[str, str], ...]
    has_private_key: bool
    subject: str
    common_name: str | None
    issuer: str
    issuer_fields: tuple[str, ...] = field(repr=False)
    issuer_name: str = field(repr=False)
    serial: int
    sha1: str
    sha256: str
    not_before: datetime
    not_after: datetime
    key: KeyFacts
    public_key: bytes | None = field(repr=False)
    is_ca: bool
    subject_key_id: bytes | None = field(repr=False)
    authority_key_id: bytes | None = field(repr=False)

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are one name."""
        return self.subject == self.issuer

    @property
    def display_name(self) -> str:
        """What to call this certificate in a sentence, a table or a file name."""
        return self.common_name or self.nickname or self.subject or self.email or self.sha256[:16]

    def status(self, now: datetime | None = None) -> Status:
        """Where `now` (default: the present) lies in the validity period."""
        now = now or datetime.now(UTC)
        if now < self.not_before:
            return "not-yet-valid"
        return "expired" if now > self.not_after else "valid"


# A building's profiles hold the same few CA certificates over and over.
@lru_cache(maxsize=1024)
def from_der(der: bytes) -> StoredCertificate:
    """A certificate with no more than its DER tells; a store replaces what it knows better.

    Args:
        der: the certificate, DER, nothing behind it.

    Raises:
        MalformedCertificateError: the bytes are no certificate, or one of more than 256 KiB.
    """
    certificate = load_certificate(der)
    try:
        with _quiet():
            subject, issuer = certificate.subject, certificate.issuer
            serial = certificate.serial_number
        subject_text = subject.rfc4514_string(_SHORT_NAMES)
        issuer_text = issuer.rfc4514_string(_SHORT_NAMES)
        not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except (ValueError, TypeError) as error:  # TypeError: a BIT STRING where a name has text
        message = "a certificate has a malformed name, serial number or validity"
        raise MalformedCertificateError(message) from error
    key, public_key = _key(certificate, der)
    extensions = _extensions(certificate)
    return StoredCertificate(
        der=der,
        nickname=None,
        email=_email(subject, extensions),
        trust=(),
        has_private_key=False,
        subject=subject_text,
        common_name=_first(subject, NameOID.COMMON_NAME),
        issuer=issuer_text,
        issuer_fields=tuple(
            _text(attribute) for attribute in issuer if attribute.oid in _ISSUER_FIELDS
        ),
        issuer_name=_first(issuer, NameOID.COMMON_NAME)
        or _first(issuer, NameOID.ORGANIZATION_NAME)
        or issuer_text,
        serial=serial,
        sha1=hashlib.sha1(der, usedforsecurity=False).hexdigest(),
        sha256=hashlib.sha256(der).hexdigest(),
        not_before=not_before,
        not_after=not_after,
        key=key,
        public_key=public_key,
        is_ca=_is_ca(certificate, extensions),
        subject_key_id=_subject_key_id(extensions),
        authority_key_id=_authority_key_id(extensions),
    )


def load_certificate(der: bytes) -> x509.Certificate:
    """A certificate as `cryptography` sees it.

    Raises:
        MalformedCertificateError: the bytes are no certificate, or one of more than 256 KiB.
    """
    if len(der) > _MAX_BYTES:
        message = f"a certificate is larger than any in use ({len(der):,} bytes)"
        raise MalformedCertificateError(message)
    try:
        with _quiet():
            return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion) as error:
        message = "a certificate is not X.509"
        raise MalformedCertificateError(message) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence about serial numbers that are zero or negative, odd countries and other old sins.

    They are not the user's business at this point, and NSS accepts them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _key(certificate: x509.Certificate, der: bytes) -> tuple[KeyFacts, bytes | None]:
    if certificate.public_key_algorithm_oid.dotted_string in _DH:
        return KeyFacts("DH", None), None
    if _COMPRESSED_P224.search(der):
        return KeyFacts("EC", 224), None
    try:
        key = certificate.public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (UnsupportedAlgorithm, ValueError):
        return KeyFacts(certificate.public_key_algorithm_oid.dotted_string, None), None
    kind = next((name for name, cls in _KEY_TYPES.items() if isinstance(key, cls)), None)
    if kind is None:
        return KeyFacts(type(key).__name__.removesuffix("PublicKey"), None), spki
    return KeyFacts(kind, _FIXED_BITS.get(kind) or getattr(key, "key_size", None)), spki


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        with _quiet():
            return certificate.extensions
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return x509.Extensions([])


def _is_ca(certificate: x509.Certificate, extensions: x509.Extensions) -> bool:
    for extension in extensions:
        if isinstance(extension.value, x509.BasicConstraints):
            return extension.value.ca
    # A self-issued certificate without the extension is a root of the old kind (X.509 v1).
    return certificate.subject == certificate.issuer


def _subject_key_id(extensions: x509.Extensions) -> bytes | None:
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectKeyIdentifier):
            return extension.value.digest
    return None


def _authority_key_id(extensions: x509.Extensions) -> bytes | None:
    for extension in extensions:
        if isinstance(extension.value, x509.AuthorityKeyIdentifier):
            return extension.value.key_identifier
    return None


def _email(subject: x509.Name, extensions: x509.Extensions) -> str | None:
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            addresses = extension.value.get_values_for_type(x509.RFC822Name)
            if addresses:
                return addresses[0]
    return _first(subject, NameOID.EMAIL_ADDRESS)


def _first(name: x509.Name, oid: x509.ObjectIdentifier) -> str | None:
    for attribute in name.get_attributes_for_oid(oid):
        return _text(attribute)
    return None


def _text(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    return value if isinstance(value, str) else value.hex()

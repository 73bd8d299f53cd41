"""StoredCertificate: an X.509 certificate with what the store says about it.

The facts are read from the DER once. A certificate that departs from the standard is read
leniently (`lenient.py`), and an unknown key algorithm or a broken extension costs only what it
says: no such certificate may end a listing or be missing from it.
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
from typing import Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from nssbackup.errors import NssBackupError
from nssbackup.identity.ber import first_element
from nssbackup.identity.lenient import Reading, read_leniently

_Value = TypeVar("_Value", bound=x509.ExtensionType)
Status = Literal["valid", "expired", "not-yet-valid"]

# One with a picture in it has some 100 kB.
_MAX_BYTES = 256 * 1024

# A WIPO identity's issuer names WIPO in one of these attributes (cli.md, "Words").
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
# The types of keys that can't be loaded (RFC 3279, 2.3; RFC 5480; PKCS#3).
_RSA = "1.2.840.113549.1.1.1"
_KEY_ALGORITHMS = {
    _RSA: "RSA",
    "1.2.840.10045.2.1": "EC",
    "1.2.840.10040.4.1": "DSA",
    "1.2.840.113549.1.3.1": "DH",
    "1.2.840.10046.2.1": "DH",
}
# secp224r1 (RFC 5480, 2.1.1.1) before a compressed point: thousands of them take seconds to
# compute. NSS takes no compressed point.
_COMPRESSED_P224 = re.compile(rb"\x06\x05\x2b\x81\x04\x00\x21\x03\x1e\x00[\x02\x03]")

# RFC 5280, section 4.2.1.3: the names of the bits, and the attributes of `cryptography`. The last
# two say something about key agreement only.
_KEY_USAGE = (
    ("digitalSignature", "digital_signature"),
    ("nonRepudiation", "content_commitment"),
    ("keyEncipherment", "key_encipherment"),
    ("dataEncipherment", "data_encipherment"),
    ("keyAgreement", "key_agreement"),
    ("keyCertSign", "key_cert_sign"),
    ("cRLSign", "crl_sign"),
)
_KEY_AGREEMENT = (("encipherOnly", "encipher_only"), ("decipherOnly", "decipher_only"))
# RFC 5280, section 4.2.1.12, and Microsoft's for smart cards.
_PURPOSES = {
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "1.3.6.1.4.1.311.20.2.2": "msSmartcardLogin",
    "2.5.29.37.0": "anyExtendedKeyUsage",
}


class MalformedCertificateError(NssBackupError):
    """The bytes are not an X.509 certificate."""

    code = "malformed-certificate"
    exit_status = 11


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """The type of a key ("RSA", "EC", ... or the OID of an unknown algorithm) and its size."""

    type: str
    bits: int | None


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """One certificate of a store or a file.

    Attributes:
        nickname: the store's name for it (CKA_LABEL).
        email: the store's (CKA_NSS_EMAIL), else the certificate's.
        trust: pairs of a usage ("server", "client", "email", "code") and NSS's word for it.
        has_private_key: whether the store holds its key.
        subject, issuer: the names as RFC 4514 text.
        issuer_fields: the parts of the issuer's name in which WIPO is looked for.
        sha1, sha256: in lower-case hex.
        public_key: SubjectPublicKeyInfo, DER; None if it can't be loaded.
        key_usage, extended_usage: as RFC 5280 names them; () without the extension.
        is_ca: whether it is a CA's: by its basic constraints, or as a self-issued version 1.
        departures: where it departs from the standard, in words.
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
    key_usage: tuple[str, ...]
    extended_usage: tuple[str, ...]
    is_ca: bool
    subject_key_id: bytes | None = field(repr=False)
    authority_key_id: bytes | None = field(repr=False)
    departures: tuple[str, ...]

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer have the same name."""
        return self.subject == self.issuer

    @property
    def display_name(self) -> str:
        """What to call this certificate in a sentence, a table or a file name."""
        return self.common_name or self.nickname or self.subject or self.email or self.sha256[:16]

    @property
    def usage(self) -> tuple[str, ...]:
        """What the key may be used for, in the words of RFC 5280; () means anything."""
        return (*self.key_usage, *self.extended_usage)

    def status(self, now: datetime | None = None) -> Status:
        """Tell where `now` (default: the present) lies in the validity period."""
        now = now or datetime.now(UTC)
        if now < self.not_before:
            return "not-yet-valid"
        return "expired" if now > self.not_after else "valid"


# A building's profiles hold the same few CA certificates over and over.
@lru_cache(maxsize=1024)
def from_der(der: bytes) -> StoredCertificate:
    """Return a certificate with what its DER says; a store replaces what it knows better.

    Raises:
        MalformedCertificateError: it is not a certificate, or one of more than 256 KiB.
    """
    with _quiet():
        return _facts(read_certificate(der))


def read_certificate(der: bytes) -> Reading:
    """Read a certificate, leniently if `cryptography` refuses it; what is behind it is dropped.

    Raises:
        MalformedCertificateError: it is not a certificate, or one of more than 256 KiB.
    """
    if len(der) > _MAX_BYTES:
        message = f"a certificate is larger than any in use ({len(der):,} bytes)"
        raise MalformedCertificateError(message)
    with _quiet():
        try:
            return _strictly_read(der)
        except (
            *(ValueError, TypeError),  # TypeError: a BIT STRING where a name has text
            *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
        ):
            pass
        try:
            whole = first_element(der).whole
            return read_leniently(der) if whole == der else read_certificate(whole)
        except ValueError as error:
            message = "a certificate is not X.509"
            raise MalformedCertificateError(message) from error


def _strictly_read(der: bytes) -> Reading:
    certificate = x509.load_der_x509_certificate(der)
    # Whatever is read later is parsed now, to raise its ValueError here.
    _ = (certificate.subject, certificate.issuer, certificate.extensions)
    algorithm = certificate.public_key_algorithm_oid.dotted_string
    if algorithm == _RSA:
        certificate.public_key()
    return Reading(certificate, der, certificate.tbs_certificate_bytes, algorithm, ())


def _facts(reading: Reading) -> StoredCertificate:
    certificate, der = reading.certificate, reading.der
    subject, issuer = certificate.subject, certificate.issuer
    extensions = certificate.extensions
    key, public_key = _key(reading)
    issuer_text = issuer.rfc4514_string(_SHORT_NAMES)
    own_id = _extension(extensions, x509.SubjectKeyIdentifier)
    issuer_id = _extension(extensions, x509.AuthorityKeyIdentifier)
    constraints = _extension(extensions, x509.BasicConstraints)
    is_old_root = certificate.version is x509.Version.v1 and subject == issuer
    return StoredCertificate(
        der=der,
        nickname=None,
        email=_email(subject, extensions),
        trust=(),
        has_private_key=False,
        subject=subject.rfc4514_string(_SHORT_NAMES),
        common_name=_first(subject, NameOID.COMMON_NAME),
        issuer=issuer_text,
        issuer_fields=tuple(
            _text(attribute) for attribute in issuer if attribute.oid in _ISSUER_FIELDS
        ),
        issuer_name=_first(issuer, NameOID.COMMON_NAME)
        or _first(issuer, NameOID.ORGANIZATION_NAME)
        or issuer_text,
        serial=certificate.serial_number,
        sha1=hashlib.sha1(der, usedforsecurity=False).hexdigest(),
        sha256=hashlib.sha256(der).hexdigest(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key=key,
        public_key=public_key,
        key_usage=_key_usage(_extension(extensions, x509.KeyUsage)),
        extended_usage=tuple(
            _PURPOSES.get(purpose.dotted_string, purpose.dotted_string)
            for purpose in _extension(extensions, x509.ExtendedKeyUsage) or ()
        ),
        is_ca=constraints.ca if constraints else is_old_root,
        subject_key_id=own_id.digest if own_id else None,
        authority_key_id=issuer_id.key_identifier if issuer_id else None,
        departures=reading.departures,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings about serial numbers below one, odd countries and the like.

    They don't concern the user at this point, and NSS accepts them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _key(reading: Reading) -> tuple[KeyFacts, bytes | None]:
    kind = _KEY_ALGORITHMS.get(reading.key_algorithm, reading.key_algorithm)
    if kind == "DH":  # these keys sign nothing
        return KeyFacts(kind, None), None
    if _COMPRESSED_P224.search(reading.der):
        return KeyFacts("EC", 224), None
    try:
        key = reading.certificate.public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (UnsupportedAlgorithm, ValueError):
        return KeyFacts(kind, None), None
    loaded = next((name for name, cls in _KEY_TYPES.items() if isinstance(key, cls)), None)
    if loaded is None:
        return KeyFacts(type(key).__name__.removesuffix("PublicKey"), None), spki
    return KeyFacts(loaded, _FIXED_BITS.get(loaded) or getattr(key, "key_size", None)), spki


def _extension(extensions: x509.Extensions, kind: type[_Value]) -> _Value | None:
    return next((each.value for each in extensions if isinstance(each.value, kind)), None)


def _key_usage(usage: x509.KeyUsage | None) -> tuple[str, ...]:
    if usage is None:
        return ()
    bits = _KEY_USAGE + (_KEY_AGREEMENT if usage.key_agreement else ())
    return tuple(name for name, attribute in bits if getattr(usage, attribute))


def _email(subject: x509.Name, extensions: x509.Extensions) -> str | None:
    names = _extension(extensions, x509.SubjectAlternativeName)
    addresses = names.get_values_for_type(x509.RFC822Name) if names else ()
    return addresses[0] if addresses else _first(subject, NameOID.EMAIL_ADDRESS)


def _first(name: x509.Name, oid: x509.ObjectIdentifier) -> str | None:
    return next((_text(attribute) for attribute in name.get_attributes_for_oid(oid)), None)


def _text(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    return value if isinstance(value, str) else value.hex()

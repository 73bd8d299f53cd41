"""PEM: certificates from a file that a user names, and certificates to a file.

Read are PEM (RFC 7468), DER, and the PKCS#7 bundles that Firefox and Windows save; written is PEM
alone, the form that everything opens.
"""

from __future__ import annotations

import codecs
import re
import ssl
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from nssbackup.errors import UsageError, VerificationError, reason
from nssbackup.identity.certificate import MalformedCertificateError, StoredCertificate, from_der
from nssbackup.system.reading import read_bounded

# A certificate has one or two kilobytes, a whole collection of root certificates 250.
MAX_BYTES = 1024 * 1024

_BEGIN = b"-----BEGIN "
# The beginnings of a PFX (RFC 7292, section 4: version 3) and of a PKCS#7 message (RFC 2315,
# section 7: the type signedData), in DER or BER.
_LENGTH = rb"(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)"
_PFX = re.compile(rb"\x30" + _LENGTH + rb"\x02\x01\x03\x30", re.DOTALL)
_PKCS7 = re.compile(
    rb"\x30" + _LENGTH + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", re.DOTALL
)

_Loader = Callable[[bytes], Iterable[x509.Certificate]]

_HINT = "give the certificate as PEM or DER: files called .pem, .crt or .cer"


def read_certificates(path: Path) -> tuple[StoredCertificate, ...]:
    """The certificates of a file, the one that it is about first; never ().

    That is the only one that is no CA's, else the one that comes first. None of them is there
    twice.

    Raises:
        UsageError: the file can't be read, or holds no certificate.
    """
    try:
        found = [from_der(der) for der in dict.fromkeys(_ders(_read(path), path))]
    except MalformedCertificateError as error:
        message = f"`{path}` holds a certificate that can't be used: {error.message}"
        raise UsageError(message, hint=_HINT) from error
    people = [certificate for certificate in found if not certificate.is_ca]
    first = people[0] if len(people) == 1 else found[0]
    return (first, *(certificate for certificate in found if certificate is not first))


def encode(certificates: Iterable[StoredCertificate]) -> bytes:
    """Certificates as PEM, one behind the other."""
    return "".join(ssl.DER_cert_to_PEM_cert(each.der) for each in certificates).encode("ascii")


def verify_written(path: Path, certificates: Iterable[StoredCertificate]) -> None:
    """Read a PEM file back from the disk and hold it against what it was made from.

    Raises:
        VerificationError: it does not hold these certificates, in their order.
    """
    try:
        found = _parsed(path.read_bytes(), x509.load_pem_x509_certificates)
    except ValueError:
        found = []
    if found != [certificate.der for certificate in certificates]:
        reason = "its certificates are others"
        message = f"the file written is not what it should be: {reason}"
        raise VerificationError(message, (reason,))


def _read(path: Path) -> bytes:
    """The bytes of a regular file, as many as one with certificates can have."""
    try:
        return read_bounded(path, MAX_BYTES)
    except OSError as error:
        message = f"`{path}` can't be read: {reason(error)}"
        raise UsageError(message) from error


def _ders(data: bytes, path: Path) -> list[bytes]:
    """The certificates in some bytes, DER each.

    Raises:
        UsageError: there is none.
    """
    if _PFX.match(data):
        message = f"`{path}` is a backup (PFX), not a certificate: it has a private key of its own"
        raise UsageError(message, hint="`nssbackup verify FILE` shows what is in it")
    if data.startswith(codecs.BOM_UTF16_LE):  # what PowerShell's `>` makes of a text
        data = data.decode("utf-16", "ignore").encode("utf-8", "ignore")
    loaders: tuple[_Loader, ...] = (_load_der,)
    if _BEGIN in data:
        loaders = (x509.load_pem_x509_certificates, pkcs7.load_pem_pkcs7_certificates)
    elif _PKCS7.match(data):
        loaders = (pkcs7.load_der_pkcs7_certificates,)
    for load in loaders:
        try:
            found = _parsed(data, load)
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
            continue
        if found:
            return found
    what = next((words for begin, words in _OTHERS if begin in data), "no certificate")
    message = f"`{path}` holds {what}"
    raise UsageError(message, hint=_HINT)


# What people take for their certificate, by the line it begins with.
_OTHERS = (
    (b"PRIVATE KEY-----", "a private key and no certificate"),
    (b"CERTIFICATE REQUEST-----", "the request for a certificate, not the certificate itself"),
    (b"PUBLIC KEY-----", "a public key and no certificate"),
    (b"-----BEGIN CERTIFICATE-----", "a damaged certificate"),
)


def _load_der(data: bytes) -> list[x509.Certificate]:
    return [x509.load_der_x509_certificate(data)]


def _parsed(data: bytes, load: _Loader) -> list[bytes]:
    with warnings.catch_warnings():
        # Old sins of certificates and bundles, which are not the user's business at this point.
        warnings.simplefilter("ignore")
        return [certificate.public_bytes(Encoding.DER) for certificate in load(data)]

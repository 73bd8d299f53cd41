"""Files with certificates: reads PEM (RFC 7468), DER and PKCS#7 bundles, writes PEM.

PKCS#7 is what Firefox and Windows save a chain as. It is taken apart here, because `cryptography`
refuses a bundle with a single certificate that departs from the standard.
"""

from __future__ import annotations

import binascii
import codecs
import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nssbackup.errors import UsageError, VerificationError, reason
from nssbackup.identity.ber import elements, first_element
from nssbackup.identity.certificate import MalformedCertificateError, StoredCertificate, from_der
from nssbackup.system.reading import read_bounded

# A certificate has one or two kilobytes, a whole collection of root certificates 250.
MAX_BYTES = 1024 * 1024

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
# OpenSSL's TRUSTED CERTIFICATE has its trust settings behind the certificate.
_CERTIFICATES = frozenset((b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"))
_BUNDLES = frozenset((b"PKCS7", b"CMS"))
# The beginning of a PFX (RFC 7292, section 4: version 3), in DER or BER.
_PFX = re.compile(rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)\x02\x01\x03\x30", re.DOTALL)
# The type signedData (RFC 2315, section 14).
_SIGNED_DATA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
_SEQUENCE, _CERTIFICATE_SET = 0x30, 0xA0

_HINT = "give the certificate as PEM or DER: files called .pem, .crt or .cer"
# What people take for their certificate, by the line it begins with.
_OTHERS = (
    (b"PRIVATE KEY-----", "a private key and no certificate"),
    (b"CERTIFICATE REQUEST-----", "the request for a certificate, not the certificate itself"),
    (b"PUBLIC KEY-----", "a public key and no certificate"),
    (b"-----BEGIN CERTIFICATE-----", "a damaged certificate"),
)


def read_certificates(
    path: Path, warn: Callable[[str], None] = lambda _: None
) -> tuple[StoredCertificate, ...]:
    """Return the certificates of a file, each once; the one that the file is about comes first.

    That is the only one that is not a CA's, or else the first in the file. `warn` is told what was
    skipped.

    Raises:
        UsageError: the file can't be read, or holds no certificate.
    """
    try:
        data = read_bounded(path, MAX_BYTES)
    except OSError as error:
        message = f"`{path}` can't be read: {reason(error)}"
        raise UsageError(message) from error
    if data.startswith(codecs.BOM_UTF16_LE):  # what PowerShell's `>` makes of a text
        data = data.decode("utf-16", "ignore").encode("utf-8", "ignore")
    if _PFX.match(data):
        message = f"`{path}` is a backup (PFX), not a certificate: it has a private key of its own"
        raise UsageError(message, hint="`nssbackup verify FILE` shows what is in it")
    found, skipped = [], 0
    for der in dict.fromkeys(_ders(data)):
        try:
            found.append(from_der(der))
        except MalformedCertificateError:
            skipped += 1
    if not found:
        what = next((words for begin, words in _OTHERS if begin in data), "no certificate")
        message = f"`{path}` holds {what}"
        raise UsageError(message, hint=_HINT)
    if skipped:
        warn(f"{skipped} of the certificates in `{path}` can't be read and were skipped")
    people = [certificate for certificate in found if not certificate.is_ca]
    first = people[0] if len(people) == 1 else found[0]
    return (first, *(certificate for certificate in found if certificate is not first))


def encode(certificates: Iterable[StoredCertificate]) -> bytes:
    """Return certificates as PEM, one after the other."""
    return "".join(ssl.DER_cert_to_PEM_cert(each.der) for each in certificates).encode("ascii")


def verify_written(path: Path, certificates: Iterable[StoredCertificate]) -> None:
    """Read a PEM file back from the disk and compare it with what it was made from.

    Raises:
        VerificationError: it does not hold these certificates, in their order.
    """
    if list(_ders(path.read_bytes())) != [certificate.der for certificate in certificates]:
        why = "it holds other certificates"
        message = f"the file written is not what it should be: {why}"
        raise VerificationError(message, (why,))


def _ders(data: bytes) -> Iterator[bytes]:
    """Iterate over what may be certificates in the content of a file."""
    blocks = _BLOCK.findall(data)
    for label, text in blocks:
        try:
            der = binascii.a2b_base64(text)
        except ValueError:
            der = b""
        if label in _CERTIFICATES:
            yield der
        elif label in _BUNDLES:
            yield from _bundled(der)
    if not blocks:
        yield from _bundled(data) if _SIGNED_DATA in data[:20] else (data,)


def _bundled(der: bytes) -> list[bytes]:
    """Return the certificates of a PKCS#7 message (RFC 2315, section 9.1), if there are any."""
    try:
        _, content = elements(first_element(der).content)
        parts = elements(first_element(content.content).content)
        certificates = next((each for each in parts if each.tag == _CERTIFICATE_SET), None)
        found = elements(certificates.content) if certificates else ()
        return [each.whole for each in found if each.tag == _SEQUENCE]
    except ValueError:
        return []

"""Tell what a file is that is not a PFX, and what its owner can do with it."""

from __future__ import annotations

import binascii
import re

from nssbackup.errors import DamagedBackupError

_BASE64 = re.compile(
    rb"\s*(?:-----BEGIN PKCS12-----\s+)?(M[A-Za-z0-9+/=\s]+)(?:-----END PKCS12-----)?\s*"
)
# In DER or BER: PKCS#7 signedData begins with its type (RFC 2315), a key with version 0 or 1 (RFC
# 5208), a certificate with a SEQUENCE that has a version or a serial number (RFC 5280).
_LENGTH = rb"(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)"
_KEY_ALONE = "make a .pfx of the key and its certificate, for example with OpenSSL"
_CERTIFICATE_ALONE = (
    "it contains no private key; `nssbackup export --certificate FILE` looks for the key in the"
    " profiles"
)
_JKS = (
    "`keytool -importkeystore -srckeystore FILE -destkeystore NEW.p12 -deststoretype PKCS12`"
    " makes a .p12 file of it"
)
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (rb"\s*-----BEGIN [A-Z ]*PRIVATE KEY-----", "a private key (PEM)", _KEY_ALONE),
    (rb"\s*-----BEGIN CERTIFICATE-----", "a certificate (PEM)", _CERTIFICATE_ALONE),
    (rb"\s*-----BEGIN ", "a PEM file", "a backup is a .pfx or .p12 file"),
    (rb"\xfe\xed\xfe\xed|\xce\xce\xce\xce", "a Java keystore (JKS)", _JKS),
    (rb"\x30" + _LENGTH + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02",
     "a bundle of certificates (PKCS#7)", _CERTIFICATE_ALONE),
    (rb"\x30" + _LENGTH + rb"\x02\x01[\x00\x01](?:\x30|\x02)", "a private key", _KEY_ALONE),
    (rb"\x30" + _LENGTH + rb"\x30" + _LENGTH + rb"(?:\xa0\x03\x02\x01|\x02)",
     "a certificate", _CERTIFICATE_ALONE),
    (rb"\s*<(?:!doctype html|html)", "a web page", "download the file again"),
    (rb"PK\x03\x04", "a ZIP archive", "unpack it first"),
    (rb"SQLite format 3\x00", "a database", "name the folder of a profile with `--profile`"),
    (rb"\x00+\Z", "filled with zeros", "look for another copy of it"),
    (rb"\Z", "empty", "look for another copy of it"),
)  # fmt: skip
_PATTERNS = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), what, hint) for pattern, what, hint in _KINDS
)
_PFX = re.compile(rb"\x30" + _LENGTH + rb"\x02\x01\x03\x30", re.DOTALL)
_LONG = 0x80


def pfx_of(data: bytes, name: str) -> bytes:
    """Return the PFX in a file: the bytes themselves, or what they are in Base64.

    Args:
        data: the file.
        name: what the file is called in a message.

    Raises:
        DamagedBackupError: it is recognised as something else, or is cut short.
    """
    if match := _BASE64.fullmatch(data):
        try:
            data = binascii.a2b_base64(match[1], strict_mode=False)
        except binascii.Error:
            return data
    for pattern, what, hint in _PATTERNS:
        if pattern.match(data):
            message = f"`{name}` is {what}, not a backup (.pfx)"
            raise DamagedBackupError(message, hint=hint)
    size = _announced_size(data) if _PFX.match(data) else 0
    if size > len(data):
        message = f"`{name}` is cut short: {len(data):,} of {size:,} bytes"
        raise DamagedBackupError(message, hint="copy or download it again")
    return data


def _announced_size(data: bytes) -> int:
    """Return the size that the length of the PFX announces, or 0 for BER without a length."""
    if data[1] == _LONG:
        return 0
    if data[1] < _LONG:
        return 2 + data[1]
    octets = data[1] & ~_LONG
    return 2 + octets + int.from_bytes(data[2 : 2 + octets], "big")

"""cert8.db: the certificates of Firefox up to 57.

Formats: NSS lib/softoken/legacydb (pcertt.h and pcertdb.c for the records, dbmshim.c for records
that are too large, lgattr.c for trust flags).
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import NameOID

from nssbackup.errors import (
    DamagedStoreError,
    NssBackupError,
    StoreError,
    UnsupportedStoreError,
)
from nssbackup.identity.certificate import StoredCertificate, from_der, read_certificate
from nssbackup.stores.legacy.berkeley import read_records
from nssbackup.system.snapshot import read_stable

NAME = "cert8.db"
_FOLDER = "cert8.dir"

# Version 7 has the same records, and NSS reads it too.
_VERSIONS = (7, 8)
_CERTIFICATE, _ELSEWHERE = 1, 8

# Version, type, flags; then the three sets of trust flags and two lengths, of certificate and
# nickname.
_RECORD_HEADER = 3
_CERTIFICATE_HEADER = struct.Struct(">5H")
# Instead of a record that is too large: version, type, two reserved bytes, length, file name.
_ELSEWHERE_HEADER = struct.Struct("<4xI")
# A certificate with a picture in it has some 100 kB.
_MAX_ELSEWHERE = 1024 * 1024
_MAX_CERTIFICATES = 10_000
# All of their records together, as in a current store.
_MAX_RECORD_BYTES = 8 * 1024 * 1024

_TRUSTED, _VALID_CA, _TRUSTED_CA = 0x02, 0x08, 0x10
_TERMINAL, _TRUSTED_CLIENT_CA, _MUST_VERIFY, _UNKNOWN = 0x01, 0x80, 0x400, 0x800

# In NSS's order (lgattr.c, lg_FindTrustAttribute), in the words of `NativeStore`. "Valid CA" alone
# says nothing about trust.
_TRUST_WORDS = (
    (_TRUSTED_CA, "trusted-ca"),
    (_TRUSTED, "trusted"),
    (_MUST_VERIFY, "must-verify"),
    (_UNKNOWN | _VALID_CA, "unknown"),
    (_TERMINAL, "not-trusted"),
)

# Both kinds of address in a subject (lowcert.c, nsslowcert_EmailName); RFC 1274 calls it `mail`.
_ADDRESSES = (NameOID.EMAIL_ADDRESS, ObjectIdentifier("0.9.2342.19200300.100.1.3"))


def read_certificates(
    data: bytes, folder: Path
) -> tuple[tuple[StoredCertificate, ...], tuple[str, ...]]:
    """Return the certificates of a database, each once, and notes on those that were skipped.

    Args:
        data: the whole file; an empty one counts as a database without contents.
        folder: its folder, which has another one for records that were too large.

    Raises:
        DamagedStoreError: it is not such a file, or contradicts itself.
        UnsupportedStoreError: it holds too many certificates.
    """
    found: dict[bytes, StoredCertificate] = {}
    skipped: Counter[str] = Counter()
    elsewhere = _Elsewhere(folder / _FOLDER, _MAX_RECORD_BYTES)
    for key, record in read_records(data, NAME) if data else ():
        if key[:1] != bytes([_CERTIFICATE]):
            continue  # versions, revocations, S/MIME, and indexes of the certificates
        try:
            certificate = _parse(elsewhere.record(key, record))
        except NssBackupError as error:
            skipped[error.message] += 1
            continue
        found.setdefault(certificate.der, certificate)
        if len(found) > _MAX_CERTIFICATES:
            message = f"`{NAME}` holds more than {_MAX_CERTIFICATES:,} certificates"
            raise UnsupportedStoreError(message)
    return tuple(found.values()), tuple(
        f"a certificate was skipped: {message}"
        if count == 1
        else f"{count:,} certificates were skipped: {message}"
        for message, count in skipped.items()
    )


@dataclass(slots=True)
class _Elsewhere:
    """The files of records that were too large for the database, and how much may be read."""

    folder: Path
    left: int

    def record(self, key: bytes, record: bytes) -> bytes:
        """Return the whole record: the given one, or that in the file it names.

        The name is computed and only compared with that in the record.

        Raises:
            StoreError: the file can't be read, is not the right one, or is too large.
        """
        if record[1:2] != bytes([_ELSEWHERE]):
            self._take(len(record))
            return record
        digest = hashlib.sha1(key, usedforsecurity=False).digest()
        name = "b" + base64.b64encode(digest).decode().replace("/", "-")
        start = _ELSEWHERE_HEADER.size
        if len(record) < start or record[start:].rstrip(b"\0") != name.encode():
            message = "its record names the wrong file"
            raise DamagedStoreError(message)
        (length,) = _ELSEWHERE_HEADER.unpack_from(record)
        self._take(length)
        data = read_stable(self.folder / name)
        if data is None:
            message = f"`{_FOLDER}/{name}`, which holds it, is missing"
            raise StoreError(message)
        if len(data) != length:
            message = f"`{_FOLDER}/{name}`, which holds it, has the wrong length"
            raise DamagedStoreError(message)
        return data

    def _take(self, length: int) -> None:
        if length > min(_MAX_ELSEWHERE, self.left):
            message = "it is too large, alone or with the others"
            raise UnsupportedStoreError(message)
        self.left -= length


def _parse(record: bytes) -> StoredCertificate:
    """Return a certificate with nickname, e-mail and trust (pcertdb.c, DecodeDBCertEntry)."""
    start = _RECORD_HEADER + _CERTIFICATE_HEADER.size
    if len(record) < start or record[0] not in _VERSIONS or record[1] != _CERTIFICATE:
        message = "its record is of another version or too short"
        raise DamagedStoreError(message)
    ssl, email, code, length, name_length = _CERTIFICATE_HEADER.unpack_from(record, _RECORD_HEADER)
    # The length has 16 bits. How much more there is follows from the length of the record.
    rest = len(record) - start - length - name_length
    if rest % 0x10000 or rest < 0:
        message = "its lengths contradict that of its record"
        raise DamagedStoreError(message)
    end = start + length + rest
    nickname, _, _ = record[end : end + name_length].partition(b"\0")
    der = record[start:end]
    return replace(
        from_der(der),
        nickname=nickname.decode("utf-8", "surrogateescape") or None,
        email=_email(der),
        trust=_trust(ssl, email, code),
    )


def _email(der: bytes) -> str | None:
    """Return the address that NSS shows: the subject's, else the extension's, in lower case."""
    subject = read_certificate(der).certificate.subject
    found = (attribute.value for attribute in subject if attribute.oid in _ADDRESSES)
    address = next((value for value in found if isinstance(value, str)), from_der(der).email)
    return address.lower() if address else None


def _trust(ssl: int, email: int, code: int) -> tuple[tuple[str, str], ...]:
    """Return what the sets of flags say about each usage; nothing if all are unknown."""
    if ssl & email & code & _UNKNOWN:
        return ()
    # One set is for both ends of TLS. For clients only this flag counts.
    client = _TRUSTED_CA if ssl & _TRUSTED_CLIENT_CA else 0
    usages = {"server": ssl, "client": client, "code": code, "email": email}
    return tuple((usage, _trust_word(flags)) for usage, flags in usages.items())


def _trust_word(flags: int) -> str:
    return next((word for mask, word in _TRUST_WORDS if flags & mask), "unknown")

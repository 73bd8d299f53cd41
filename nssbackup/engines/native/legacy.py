"""LegacyStore: the `Store` protocol over cert8.db and key3.db, which Firefox had up to 57.

Formats: NSS lib/softoken/legacydb (pcertdb.c for the certificates, keydb.c for the keys, dbmshim.c
for what is too large for a record). The key database has no integrity signatures: what protects a
key is its encryption, and that its public half is compared with the certificate's.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nssbackup import keys
from nssbackup.certificate import MalformedCertificateError, StoredCertificate, from_der
from nssbackup.engines.native import pbe
from nssbackup.engines.native.berkeley import read_records
from nssbackup.engines.native.pairing import public_value
from nssbackup.engines.native.store import PASSWORD_CHECK, type_not_exportable
from nssbackup.errors import (
    DamagedStoreError,
    KeyMissingError,
    PrimaryPasswordRequiredError,
    UnsupportedStoreError,
    WrongPrimaryPasswordError,
)
from nssbackup.model import OrphanKey, PrivateKey
from nssbackup.secret import Secret
from nssbackup.snapshot import read_stable

CERTIFICATES = "cert8.db"
KEYS = "key3.db"
_BLOBS = "cert8.dir"

_CERTIFICATES_VERSION = 8
_KEYS_VERSION = 3
_CERTIFICATE, _BLOB = 1, 8

# Version, type, flags; then the three trust flags and the lengths of certificate and nickname.
_RECORD_HEADER = 3
_CERTIFICATE_HEADER = struct.Struct(">5H")
# In place of a record that is too large: version, type, two reserved bytes, length, file name.
_BLOB_HEADER = struct.Struct("<4xI")

_VERSION_RECORD = b"Version"
_SALT_RECORD = b"global-salt"
_CHECK_RECORD = b"password-check"
_PBE_SHA1_3DES = bytes.fromhex("2a864886f70d010c050103")

# Firefox's key for its saved passwords lies among the private keys under a name of 16 bytes; the
# public value of a key pair has 28 and more.
_SHORTEST_PUBLIC_VALUE = 28
# Where the rounds are written behind the salt, this is what remains of it (keydb.c, nsslowkey).
_SALT_LENGTHS = (20, 28, 32, 48, 64)

_EC_POINT = 4  # the first byte of an uncompressed one, the only form that NSS writes

# Trust flags (lib/softoken/legacydb/pcert.h), and their words as in `NativeStore`.
_TERMINAL, _TRUSTED, _TRUSTED_CA = 0x01, 0x02, 0x10
_TRUSTED_CLIENT_CA, _UNKNOWN = 0x80, 0x800


@dataclass(frozen=True, slots=True)
class _KeyDatabase:
    """The records of key3.db: keys by their public value without leading zeros."""

    salt: bytes | None = None
    check: bytes | None = field(default=None, repr=False)
    keys: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)


class LegacyStore:
    """A store as it was when it was read; see `engines.Store`."""

    def __init__(
        self,
        certificates: tuple[StoredCertificate, ...],
        notes: tuple[str, ...],
        keys: _KeyDatabase,
    ) -> None:
        self._certificates = certificates
        self._notes = notes
        self._keys = keys
        self._key: pbe.IntermediateKey | None = None
        self._closed = False

    @classmethod
    def read(cls, folder: Path) -> LegacyStore | None:
        """Read the databases of a folder; None where there is neither of them.

        Raises:
            StoreError: they can't be read, are damaged or of an unknown version.
        """
        key_file = read_stable(folder / KEYS)
        certificate_file = read_stable(folder / CERTIFICATES)
        if key_file is None and certificate_file is None:
            return None
        database = _read_keys(key_file) if key_file else _KeyDatabase()
        certificates, notes = _read_certificates(certificate_file or b"", folder)
        paired = tuple(
            replace(one, has_private_key=_key_name(one) in database.keys) for one in certificates
        )
        return cls(paired, notes, database)

    def close(self) -> None:
        """End the use of the store: what is asked of it from now on is a ValueError."""
        self._closed = True
        self._certificates, self._keys, self._key = (), _KeyDatabase(), None

    def certificates(self) -> tuple[StoredCertificate, ...]:
        """See `engines.Store.certificates`."""
        self._check_open()
        return self._certificates

    def orphan_keys(self) -> tuple[OrphanKey, ...]:
        """See `engines.Store.orphan_keys`."""
        self._check_open()
        paired = {_key_name(certificate) for certificate in self._certificates}
        return tuple(_orphan(name) for name in self._keys.keys if name not in paired)

    def orphan_of(self, certificate: StoredCertificate) -> OrphanKey | None:
        """See `engines.Store.orphan_of`."""
        wanted = _key_name(certificate)
        return next((one for one in self.orphan_keys() if one.id == wanted.hex()), None)

    def notes(self) -> tuple[str, ...]:
        """See `engines.Store.notes`."""
        self._check_open()
        return self._notes

    def needs_password(self) -> bool | None:
        """See `engines.Store.needs_password`."""
        self._check_open()
        if self._keys.check is None:
            return None
        return self._intermediate_key("") is None

    def unlock(self, password: Secret) -> None:
        """See `engines.Store.unlock`."""
        self._check_open()
        if self._keys.check is None:
            if self._keys.keys:
                message = "the key database is damaged: it has keys and no password record"
                raise DamagedStoreError(message)
            return  # nothing is locked; the key will be found missing
        self._key = self._intermediate_key(password.reveal())
        if self._key is None:
            message = "the primary password is wrong"
            raise WrongPrimaryPasswordError(message)

    def private_key(self, of: StoredCertificate) -> PrivateKey:
        """See `engines.Store.private_key`."""
        self._check_open()
        record = self._keys.keys.get(_key_name(of))
        if record is None:
            message = f"the private key of `{of.common_name or of.subject}` is not in this store"
            raise KeyMissingError(message, hint="`nssbackup list` shows where keys are present")
        if of.key.type == "DSA":  # not standard PKCS#8 in here
            raise type_not_exportable(of.key.type)
        if self._key is None:
            message = "the store is locked: its primary password has not been given"
            raise PrimaryPasswordRequiredError(message)
        ciphertext = pbe.parse_ciphertext(_Salted.parse(record, "the key").payload, "the key")
        try:
            pkcs8 = ciphertext.decrypt(self._key)
        except pbe.DecryptionError as error:
            message = "the key database is damaged: the key can't be decrypted"
            raise DamagedStoreError(message) from error
        return keys.from_pkcs8(pkcs8)

    def _intermediate_key(self, password: str) -> pbe.IntermediateKey | None:
        """The key a password makes, or None where it is the wrong one."""
        check = _parse_check(self._keys.check or b"")
        key = pbe.intermediate_key(self._keys.salt or b"", password)
        try:
            return key if check.decrypt(key) == PASSWORD_CHECK else None
        except pbe.DecryptionError:
            return None

    def _check_open(self) -> None:
        if self._closed:
            message = "the store is closed"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class _Salted:
    """A record of key3.db: what stands before its payload, and the payload."""

    salt: bytes
    payload: bytes = field(repr=False)

    @classmethod
    def parse(cls, record: bytes, name: str) -> _Salted:
        """Take a record apart.

        Raises:
            DamagedStoreError: it is shorter than it says.
            UnsupportedStoreError: it is of another version.
        """
        if len(record) < 3:  # noqa: PLR2004 - version, salt length, nickname length
            message = f"the key database is damaged: {name} has an impossible length"
            raise DamagedStoreError(message)
        version, salt_length, name_length = record[:3]
        if version != _KEYS_VERSION:
            message = f"{name} is of a version that isn't known here ({version})"
            raise UnsupportedStoreError(message)
        start = 3 + salt_length + name_length
        if start >= len(record):
            message = f"the key database is damaged: {name} has an impossible length"
            raise DamagedStoreError(message)
        return cls(record[3 : 3 + salt_length], record[start:])


def _parse_check(record: bytes) -> pbe.Ciphertext:
    """The encrypted password check: payload = length of an OID, OID, ciphertext."""
    name = "the password record"
    salted = _Salted.parse(record, name)
    length = salted.payload[0]
    oid, data = salted.payload[1 : 1 + length], salted.payload[1 + length :]
    if oid != _PBE_SHA1_3DES:
        message = f"{name} uses an algorithm that isn't known here ({oid.hex()})"
        raise UnsupportedStoreError(message, hint="a newer nssbackup may know it")
    salt, rounds = _salt_and_rounds(salted.salt)
    return pbe.old_ciphertext(salt, rounds, data, name)


def _salt_and_rounds(stored: bytes) -> tuple[bytes, int]:
    """The salt, and the rounds that NSS writes behind it when they are more than one."""
    count_bytes = stored[-1] if stored else 0
    length = len(stored) - count_bytes - 1
    if length in _SALT_LENGTHS:
        return stored[:length], int.from_bytes(stored[length:-1], "big")
    return stored, 1


def _read_keys(data: bytes) -> _KeyDatabase:
    records = dict(read_records(data, KEYS))
    version = records.pop(_VERSION_RECORD, b"")
    if version != bytes([_KEYS_VERSION]):
        message = f"`{KEYS}` is of a version that isn't known here ({version.hex() or 'none'})"
        raise UnsupportedStoreError(message)
    salt, check = records.pop(_SALT_RECORD, None), records.pop(_CHECK_RECORD, None)
    found = {
        key.lstrip(b"\0"): value
        for key, value in records.items()
        if len(key) >= _SHORTEST_PUBLIC_VALUE
    }
    return _KeyDatabase(salt, check, found)


def _read_certificates(
    data: bytes, folder: Path
) -> tuple[tuple[StoredCertificate, ...], tuple[str, ...]]:
    """The certificates of cert8.db, each once, and what was passed over."""
    found: dict[bytes, StoredCertificate] = {}
    notes = []
    for key, record in read_records(data, CERTIFICATES) if data else ():
        if key[:1] != bytes([_CERTIFICATE]):
            continue
        try:
            certificate = _parse_certificate(_whole(key, record, folder))
        except (DamagedStoreError, MalformedCertificateError) as error:
            notes.append(f"a certificate was passed over: {error.message}")
            continue
        found.setdefault(certificate.der, certificate)
    return tuple(found.values()), tuple(notes)


def _whole(key: bytes, record: bytes, folder: Path) -> bytes:
    """The record, from the file beside the database where it was too large for it.

    The file's name is computed and never taken from the database.
    """
    if record[1:2] != bytes([_BLOB]):
        return record
    digest = hashlib.sha1(key, usedforsecurity=False).digest()
    name = "b" + base64.b64encode(digest).decode().replace("/", "-")
    if (
        len(record) < _BLOB_HEADER.size
        or record[_BLOB_HEADER.size :].rstrip(b"\0") != name.encode()
    ):
        message = "its large record has another name than it should have"
        raise DamagedStoreError(message)
    data = read_stable(folder / _BLOBS / name)
    if data is None or len(data) != _BLOB_HEADER.unpack_from(record)[0]:
        message = f"`{_BLOBS}/{name}` is missing or has another length than it should have"
        raise DamagedStoreError(message)
    return data


def _parse_certificate(record: bytes) -> StoredCertificate:
    """A certificate with nickname and trust (pcertdb.c, DecodeDBCertEntry)."""
    start = _RECORD_HEADER + _CERTIFICATE_HEADER.size
    if len(record) < start or record[:2] != bytes([_CERTIFICATES_VERSION, _CERTIFICATE]):
        message = "its record is of another version or too short"
        raise DamagedStoreError(message)
    *flags, length, name_length = _CERTIFICATE_HEADER.unpack_from(record, _RECORD_HEADER)
    # The length has 16 bits; the rest of it shows in that of the record.
    missing = len(record) - start - length - name_length
    if missing % 0x10000 or missing < 0:
        message = "its lengths contradict that of its record"
        raise DamagedStoreError(message)
    end = start + length + missing
    nickname = record[end : end + name_length].rstrip(b"\0").decode("utf-8", "surrogateescape")
    server, email, code = flags
    trust = (
        ("server", _trust_word(server)),
        ("client", _trust_word(_for_clients(server))),
        ("code", _trust_word(code)),
        ("email", _trust_word(email)),
    )
    return replace(from_der(record[start:end]), nickname=nickname or None, trust=trust)


def _for_clients(flags: int) -> int:
    # One set of flags serves both ends of TLS, but for which clients' CAs are trusted.
    return flags | _TRUSTED_CA if flags & _TRUSTED_CLIENT_CA else flags & ~_TRUSTED_CA


def _trust_word(flags: int) -> str:
    """NSS's word for a set of flags (lib/softoken/legacydb/lgattr.c, lg_FindTrustAttribute)."""
    if flags & _TRUSTED_CA:
        return "trusted-ca"
    if flags & _TRUSTED:
        return "trusted"
    if flags & _UNKNOWN:
        return "unknown"
    return "not-trusted" if flags & _TERMINAL else "must-verify"


def _key_name(certificate: StoredCertificate) -> bytes:
    """Under what the key of a certificate lies in key3.db: its public value."""
    spki = certificate.public_key
    return public_value(spki).lstrip(b"\0") if spki else b""


def _orphan(name: bytes) -> OrphanKey:
    # A modulus is even less likely than one in 256 to begin like a point of one of three lengths.
    curves = {65: 256, 97: 384, 133: 521}
    if name[0] == _EC_POINT and len(name) in curves:
        return OrphanKey(name.hex(), "EC", curves[len(name)])
    return OrphanKey(name.hex(), "RSA", len(name) * 8)

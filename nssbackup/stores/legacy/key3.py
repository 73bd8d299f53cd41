"""key3.db: the private keys of Firefox up to 57, each encrypted as a whole.

Format: NSS lib/softoken/legacydb/keydb.c. There are no integrity signatures: a key is protected by
its encryption, and its public half is compared with the certificate's. Keys are stored under their
public value, so no password is needed to find one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from nssbackup.errors import DamagedStoreError, UnsupportedStoreError
from nssbackup.identity import private_keys
from nssbackup.identity.model import OrphanKey, PrivateKey
from nssbackup.stores.legacy.berkeley import read_records
from nssbackup.stores.native import pbe
from nssbackup.stores.native.store import PASSWORD_CHECK

NAME = "key3.db"
_VERSION = 3

_VERSION_RECORD = b"Version"
_SALT_RECORD = b"global-salt"
_CHECK_RECORD = b"password-check"
_PBE_SHA1_3DES = bytes.fromhex("2a864886f70d010c050103")

# Firefox's key for its saved passwords is among the private keys, under a name of 16 bytes. The
# public value of a key pair has at least 28.
_SHORTEST_PUBLIC_VALUE = 28
# How long a salt is if the rounds follow it (nsslowkey_EncodePW).
_SALT_LENGTHS = (20, 28, 32, 48, 64)

# The lengths of uncompressed points, the only form that NSS writes, and the sizes of their curves.
_POINT = 4
_CURVES = {65: 256, 97: 384, 133: 521}


@dataclass(frozen=True, slots=True)
class KeyDatabase:
    """The records of a key3.db: keys by their public value without leading zeros."""

    salt: bytes = b""
    check: bytes | None = field(default=None, repr=False)
    keys: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, data: bytes) -> KeyDatabase:
        """Read a database.

        Args:
            data: the whole file; an empty one counts as a database without contents.

        Raises:
            DamagedStoreError: it is not such a file, or contradicts itself.
            UnsupportedStoreError: it is of another version.
        """
        if not data:
            return cls()
        records = dict(read_records(data, NAME))
        version = records.get(_VERSION_RECORD, b"")
        if version[:1] != bytes([_VERSION]):
            found = version[:4].hex() or "none"
            message = f"`{NAME}` has version {found}, which nssbackup does not know"
            raise UnsupportedStoreError(message)
        # Some have a zero before the public value, as in DER (nsslowkey_KeyForCertExists).
        values = {name.lstrip(b"\0"): record for name, record in records.items()}
        return cls(
            records.get(_SALT_RECORD, b""),
            records.get(_CHECK_RECORD),
            {name: one for name, one in values.items() if len(name) >= _SHORTEST_PUBLIC_VALUE},
        )

    def unlock(self, password: str) -> pbe.IntermediateKey | None:
        """Return the key that a password makes, or None if the password is wrong.

        Raises:
            StoreError: the password record is damaged or of an unknown kind.
        """
        check = _parse_check(self.check or b"")
        key = pbe.intermediate_key(self.salt, password)
        try:
            return key if check.decrypt(key) == PASSWORD_CHECK else None
        except pbe.DecryptionError:
            return None

    def private_key(self, name: bytes, key: pbe.IntermediateKey) -> PrivateKey:
        """Decrypt the private key under a public value, which must be one of `keys`.

        Raises:
            StoreError: it is damaged or encrypted in an unknown way.
            KeyInconsistentError: what was encrypted is not a private key.
            KeyNotExportableError: it is of a type that nssbackup can't handle.
        """
        record = _Record.parse(self.keys[name], "the key")
        ciphertext = pbe.parse_ciphertext(record.payload, "the key")
        try:
            pkcs8 = ciphertext.decrypt(key)
        except pbe.DecryptionError as error:
            message = "the key database is damaged: the key can't be decrypted"
            raise DamagedStoreError(message) from error
        return private_keys.from_pkcs8(pkcs8)


def orphan_key(name: bytes) -> OrphanKey:
    """Return what the public value of a key tells about it; its type is encrypted."""
    # NSS's tools show this digest as the key's CKA_ID.
    identifier = hashlib.sha1(name, usedforsecurity=False).hexdigest()
    # A modulus is odd, and even less likely than one in 256 to begin like a point of one of three
    # lengths. The public value of DSA is any number.
    if name[0] == _POINT and len(name) in _CURVES:
        return OrphanKey(identifier, "EC", _CURVES[len(name)])
    if name[-1] % 2:
        return OrphanKey(identifier, "RSA", int.from_bytes(name, "big").bit_length())
    return OrphanKey(identifier, "unknown", None)


@dataclass(frozen=True, slots=True)
class _Record:
    """A record: its salt and its payload."""

    salt: bytes
    payload: bytes = field(repr=False)

    @classmethod
    def parse(cls, record: bytes, name: str) -> _Record:
        """Parse a record (decode_dbkey).

        Raises:
            DamagedStoreError: it is shorter than it says.
            UnsupportedStoreError: it is of another version.
        """
        header = 3
        # One byte each: version, length of the salt, length of the nickname.
        start = header + record[1] + record[2] if len(record) >= header else header
        if start >= len(record):
            message = f"the key database is damaged: {name} has an impossible length"
            raise DamagedStoreError(message)
        if record[0] != _VERSION:
            message = f"{name} has version {record[0]}, which nssbackup does not know"
            raise UnsupportedStoreError(message)
        return cls(record[header : header + record[1]], record[start:])


def _parse_check(stored: bytes) -> pbe.Ciphertext:
    """Return the password check; its payload is the length of an OID, the OID, the ciphertext."""
    name = "the password record"
    record = _Record.parse(stored, name)
    end = 1 + record.payload[0]
    oid, data = record.payload[1:end], record.payload[end:]
    if oid != _PBE_SHA1_3DES:
        message = f"{name} uses an algorithm that nssbackup does not know ({oid.hex()})"
        raise UnsupportedStoreError(message, hint="a newer nssbackup may know it")
    salt, rounds = _salt_and_rounds(record.salt)
    return pbe.old_ciphertext(salt, rounds, data, name)


def _salt_and_rounds(stored: bytes) -> tuple[bytes, int]:
    """Return the salt, and the rounds, which NSS writes after it if there is more than one."""
    digits = stored[-1] if stored else 0
    length = len(stored) - digits - 1
    if length in _SALT_LENGTHS:
        return stored[:length], int.from_bytes(stored[length:-1], "big")
    return stored, 1

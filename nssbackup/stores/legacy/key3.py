"""key3.db: the private keys of Firefox up to 57, each encrypted as a whole.

Format: NSS lib/softoken/legacydb/keydb.c. There are no integrity signatures: what protects a key
is its encryption, and that its public half is compared with the certificate's. Keys lie under
their public value, so that no password is needed to find one.
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

# Firefox's key for its saved passwords lies among the private keys under a name of 16 bytes; the
# public value of a key pair has 28 and more.
_SHORTEST_PUBLIC_VALUE = 28
# Where the rounds are written behind the salt, this is what remains of it (nsslowkey_EncodePW).
_SALT_LENGTHS = (20, 28, 32, 48, 64)

# Lengths of uncompressed points, the only form that NSS writes, and the sizes of their curves.
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
            data: the whole file; an empty one is a database without contents.

        Raises:
            DamagedStoreError: it is no such file, or one that contradicts itself.
            UnsupportedStoreError: it is of another version.
        """
        if not data:
            return cls()
        records = dict(read_records(data, NAME))
        version = records.get(_VERSION_RECORD, b"")
        if version[:1] != bytes([_VERSION]):
            found = version[:4].hex() or "none"
            message = f"`{NAME}` is of a version that isn't known here ({found})"
            raise UnsupportedStoreError(message)
        # Some have a zero in front of the public value, as in DER (nsslowkey_KeyForCertExists).
        values = {name.lstrip(b"\0"): record for name, record in records.items()}
        return cls(
            records.get(_SALT_RECORD, b""),
            records.get(_CHECK_RECORD),
            {name: one for name, one in values.items() if len(name) >= _SHORTEST_PUBLIC_VALUE},
        )

    def unlock(self, password: str) -> pbe.IntermediateKey | None:
        """The key that a password makes, or None where it is the wrong one.

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
        """The private key under a public value that is there.

        Raises:
            StoreError: it is damaged or encrypted in an unknown way.
            KeyInconsistentError: what was encrypted is no private key.
            KeyNotExportableError: it is of a type that isn't handled.
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
    """What the public value of a key says about it; its type stands where it is encrypted."""
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
    """A record: what stands before its payload, and the payload."""

    salt: bytes
    payload: bytes = field(repr=False)

    @classmethod
    def parse(cls, record: bytes, name: str) -> _Record:
        """Take a record apart (decode_dbkey).

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
            message = f"{name} is of a version that isn't known here ({record[0]})"
            raise UnsupportedStoreError(message)
        return cls(record[header : header + record[1]], record[start:])


def _parse_check(stored: bytes) -> pbe.Ciphertext:
    """The encrypted password check; the payload is the length of an OID, the OID, ciphertext."""
    name = "the password record"
    record = _Record.parse(stored, name)
    end = 1 + record.payload[0]
    oid, data = record.payload[1:end], record.payload[end:]
    if oid != _PBE_SHA1_3DES:
        message = f"{name} uses an algorithm that isn't known here ({oid.hex()})"
        raise UnsupportedStoreError(message, hint="a newer nssbackup may know it")
    salt, rounds = _salt_and_rounds(record.salt)
    return pbe.old_ciphertext(salt, rounds, data, name)


def _salt_and_rounds(stored: bytes) -> tuple[bytes, int]:
    """The salt, and the rounds that NSS writes behind it when they are more than one."""
    digits = stored[-1] if stored else 0
    length = len(stored) - digits - 1
    if length in _SALT_LENGTHS:
        return stored[:length], int.from_bytes(stored[length:-1], "big")
    return stored, 1

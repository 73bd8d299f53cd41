"""The ciphers of a PFX, with the identifiers that name them.

RC2 is hand-written, decryption only, because `cryptography` has it with 128 effective key bits
only: until about 2021, Windows, the macOS Keychain, OpenSSL and NSS encrypted the certificates of a
PFX with 40 bits.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from cryptography.hazmat.decrepit.ciphers import algorithms as decrepit
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.x509 import ObjectIdentifier

from nssbackup.pkcs12 import structure
from nssbackup.pkcs12.kdf import Hash

AES_BLOCK = 16
_3DES_KEY = 24
_RC2_BLOCK = 8

# RFC 2268, section 2: a permutation of all bytes from the digits of pi.
_PITABLE = bytes.fromhex(
    "d978f9c419ddb5ed28e9fd794aa0d89dc67e37832b76538e624c6488448bfba2"
    "179a59f587b34f1361456d8d09817d32bd8f40eb86b77b0bf09521225c6b4e82"
    "54d66593ce60b21c7356c014a78cf1dc1275ca1f3bbee4d1423dd430a33cb626"
    "6fbf0eda4669075727f21d9bbc944303f811c7f690ef3ee706c3d52fc8661ed7"
    "08e8eade8052eef784aa72ac354d6a2a961ad2715a1549744b9fd05e0418a4ec"
    "c2e0416e0f51cbcc2491af50a1f47039997c3a8523b8b47afc02365b25559731"
    "2d5dfa98e38a92ae05df2910676cbac9d300e6cfe19ea82c6316013f58e289a9"
    "0d38341bab33ffb0bb480c5fb9b1cd2ec5f3db47e5a59c770aa62068fe7fc1ad"
)
_ROTATIONS = (1, 2, 3, 5)
_WORD = 0xFFFF
_TABLE = 128


# The name of an algorithm here for which `cryptography` has none.
_RC2 = "RC2"


@dataclass(frozen=True, slots=True)
class CipherKind:
    """A cipher with the lengths of its key and IV in bytes; the IV of a stream cipher is empty."""

    name: str
    cipher: str
    key: int
    iv: int = 8


# RFC 7292, appendix C: PKCS#12 v1.
PKCS12_PBE = {
    ObjectIdentifier(f"1.2.840.113549.1.12.1.{number}"): kind
    for number, kind in (
        (1, CipherKind("RC4-128 (PBE-SHA1)", "ARC4", 16, 0)),
        (2, CipherKind("RC4-40 (PBE-SHA1)", "ARC4", 5, 0)),
        (3, CipherKind("3DES (PBE-SHA1)", "TripleDES", 24)),
        (4, CipherKind("2-key 3DES (PBE-SHA1)", "TripleDES", 16)),
        (5, CipherKind("RC2-128 (PBE-SHA1)", _RC2, 16)),
        (6, CipherKind("RC2-40 (PBE-SHA1)", _RC2, 5)),
    )
}
PBE_SHA1_3DES = ObjectIdentifier("1.2.840.113549.1.12.1.3")
# RFC 8018, A.3: PKCS#5 v1.5.
PKCS5_PBE: dict[ObjectIdentifier, tuple[CipherKind, Hash]] = {
    ObjectIdentifier("1.2.840.113549.1.5.3"): (CipherKind("DES (PBE-MD5)", "TripleDES", 8), "md5"),
    ObjectIdentifier("1.2.840.113549.1.5.6"): (CipherKind("RC2-64 (PBE-MD5)", _RC2, 8), "md5"),
    ObjectIdentifier("1.2.840.113549.1.5.10"): (
        CipherKind("DES (PBE-SHA1)", "TripleDES", 8),
        "sha1",
    ),
    ObjectIdentifier("1.2.840.113549.1.5.11"): (CipherKind("RC2-64 (PBE-SHA1)", _RC2, 8), "sha1"),
}
# RFC 8018, B.2, and RFC 3657: the ciphers of PBES2.
PBES2 = {
    **{
        oid: CipherKind(f"AES-{8 * size}-CBC", "AES", size, AES_BLOCK)
        for size, oid in structure.AES_CBC_OIDS.items()
    },
    ObjectIdentifier("1.2.840.113549.3.7"): CipherKind("3DES-CBC", "TripleDES", 24),
    ObjectIdentifier("1.3.14.3.2.7"): CipherKind("DES-CBC", "TripleDES", 8),
    **{
        ObjectIdentifier(f"1.2.392.200011.61.1.1.1.{number}"): CipherKind(
            f"Camellia-{8 * size}-CBC", "Camellia", size, 16
        )
        for number, size in ((2, 16), (3, 24), (4, 32))
    },
}
# What a PFX may name and nobody here opens (RFC 5084; RFC 7914).
OTHER_NAMES = {
    ObjectIdentifier(dotted): name
    for dotted, name in (
        ("1.2.840.113549.3.2", "RC2-CBC"),
        ("2.16.840.1.101.3.4.1.6", "AES-128-GCM"),
        ("2.16.840.1.101.3.4.1.26", "AES-192-GCM"),
        ("2.16.840.1.101.3.4.1.46", "AES-256-GCM"),
        ("1.3.6.1.4.1.11591.4.11", "scrypt"),
        ("2.16.840.1.101.3.4.2.6", "SHA-512/256"),
    )
}


@dataclass(frozen=True, slots=True)
class CipherKey:
    """A cipher with its key and IV; a block cipher is in CBC mode, padded as in RFC 8018, 6.1.1."""

    kind: CipherKind
    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)

    def encrypt(self, plaintext: bytes) -> bytes:
        """Pad and encrypt with a block cipher."""
        padding = len(self.iv) - len(plaintext) % len(self.iv)
        encryptor = self._cipher().encryptor()
        return encryptor.update(plaintext + bytes([padding]) * padding) + encryptor.finalize()

    def decrypt(self, ciphertext: bytes) -> bytes | None:
        """Decrypt and remove the padding, or return None if the padding is wrong.

        One wrong key in about 256 gives a plausible padding; without one, every key does.
        """
        block = self.kind.iv
        if not ciphertext or (block and len(ciphertext) % block):
            return None
        if self.kind.cipher == _RC2:
            padded = decrypt_rc2(self.key, 8 * self.kind.key, self.iv, ciphertext)
        else:
            decryptor = self._cipher().decryptor()
            padded = decryptor.update(ciphertext) + decryptor.finalize()
        if not block:
            return padded
        padding = padded[-1]
        if not 1 <= padding <= block or padded[-padding:] != bytes([padding]) * padding:
            return None
        return padded[:-padding]

    def cost(self, ciphertext: bytes) -> int:
        """Return what `decrypt` costs in rounds of HMAC-SHA-256: little, but for RC2 in Python."""
        return 400 * (len(ciphertext) // _RC2_BLOCK) if self.kind.cipher == _RC2 else 0

    def _cipher(self) -> Cipher[modes.CBC | None]:
        key = self.key
        if self.kind.cipher == "TripleDES" and self.kind.key < _3DES_KEY:
            # Two keys: the first is used again. DES: all three are the same.
            key = (key * 3)[:_3DES_KEY]
        algorithm = AES if self.kind.cipher == "AES" else getattr(decrepit, self.kind.cipher)
        return Cipher(algorithm(key), modes.CBC(self.iv) if self.kind.iv else None)


def decrypt_rc2(key: bytes, effective_bits: int, iv: bytes, ciphertext: bytes) -> bytes:
    """Decrypt RC2 in CBC mode (RFC 2268); the padding stays.

    Args:
        key: 1 to 128 bytes.
        effective_bits: 1 to 1024.
        iv: 8 bytes.
        ciphertext: a multiple of 8 bytes.
    """
    table = _expanded(key, effective_bits)
    plaintext = bytearray()
    for at in range(0, len(ciphertext), _RC2_BLOCK):
        block = ciphertext[at : at + _RC2_BLOCK]
        decrypted = _rc2_block(table, block)
        plaintext += bytes(a ^ b for a, b in zip(decrypted, iv, strict=True))
        iv = block
    return bytes(plaintext)


def _expanded(key: bytes, effective_bits: int) -> tuple[int, ...]:
    """Expand a key to 64 words (RFC 2268, section 2)."""
    table = bytearray(key)
    size = len(key)
    while len(table) < _TABLE:
        table.append(_PITABLE[(table[-1] + table[-size]) & 0xFF])
    effective = (effective_bits + 7) // 8
    mask = 0xFF >> (8 * effective - effective_bits)
    table[_TABLE - effective] = _PITABLE[table[_TABLE - effective] & mask]
    for at in range(_TABLE - 1 - effective, -1, -1):
        table[at] = _PITABLE[table[at + 1] ^ table[at + effective]]
    return struct.unpack("<64H", table)


def _rc2_block(table: tuple[int, ...], block: bytes) -> bytes:
    """Decrypt a block (RFC 2268, section 4): five, six and five rounds with a mash between."""
    words = list(struct.unpack("<4H", block))
    at = 63
    for step, rounds in enumerate((5, 6, 5)):
        if step:
            for i in (3, 2, 1, 0):
                words[i] = (words[i] - table[words[i - 1] & 63]) & _WORD
        for _ in range(rounds):
            for i in (3, 2, 1, 0):
                right = _ROTATIONS[i]
                word = (words[i] << (16 - right) | words[i] >> right) & _WORD
                mixed = table[at] + (words[i - 1] & words[i - 2])
                words[i] = (word - mixed - (~words[i - 1] & words[i - 3])) & _WORD
                at -= 1
    return struct.pack("<4H", *words)

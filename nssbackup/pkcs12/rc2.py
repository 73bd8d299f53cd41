"""RC2 in CBC mode, decryption only (RFC 2268).

Hand-written because `cryptography` has RC2 with 128 effective key bits only. Until about 2021,
Windows, the macOS Keychain, OpenSSL and NSS encrypted the certificates of a PFX with 40 bits.
"""

from __future__ import annotations

import struct

BLOCK = 8

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


def decrypt_cbc(key: bytes, effective_bits: int, iv: bytes, ciphertext: bytes) -> bytes:
    """Decrypt whole blocks; the padding stays.

    Args:
        key: 1 to 128 bytes.
        effective_bits: 1 to 1024.
        iv: 8 bytes.
        ciphertext: a multiple of 8 bytes.
    """
    table = _expanded(key, effective_bits)
    plaintext = bytearray()
    for at in range(0, len(ciphertext), BLOCK):
        block = ciphertext[at : at + BLOCK]
        decrypted = _decrypted(table, block)
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


def _decrypted(table: tuple[int, ...], block: bytes) -> bytes:
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

"""The key derivation of PKCS#12 (RFC 7292, appendix B) and the password form it takes.

A round costs a hash of 64 bytes, so the loop's own overhead decides: 600,000 rounds of SHA-256
take 0.17 s in Python and 0.045 s in OpenSSL, whose function also lets other threads run. Python's
`_hashlib` is linked with a libcrypto that exports it; where there is none to be found (a static
Python, FIPS mode) the loop here gives the same bytes.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable
from typing import Literal

from nssbackup.errors import UsageError
from nssbackup.secret import Secret

Hash = Literal["sha1", "sha224", "sha256", "sha384", "sha512"]
HASHES: tuple[Hash, ...] = ("sha1", "sha224", "sha256", "sha384", "sha512")

# RFC 7292, B.3: the ID byte says what the bytes are for.
Purpose = Literal[1, 2, 3]
KEY: Purpose = 1
IV: Purpose = 2
MAC: Purpose = 3

_Derivation = Callable[[bytes, bytes, int, Purpose, int, Hash], "bytes | None"]


def utf8(password: Secret) -> bytes:
    """The password as PBES2 and PBMAC1 take it: UTF-8 without a NUL (RFC 8018, section 3).

    Raises:
        UsageError: it is not text (a lone surrogate).
    """
    return _encoded(password, "utf-8")


def bmp(password: Secret) -> bytes:
    """The password as the PKCS#12 KDF takes it (RFC 7292, B.1): UTF-16BE and 00 00.

    A character outside the BMP becomes its surrogate pair, which a BMPString doesn't know and
    NSS, OpenSSL, GnuTLS and Windows write all the same.

    Raises:
        UsageError: it is not text (a lone surrogate).
    """
    return _encoded(password, "utf-16-be") + b"\0\0"


def bmp_forms(password: Secret) -> tuple[bytes, ...]:
    """The forms a reader has to try: the empty password is written as 00 00 or as nothing.

    NSS tries both in this order when it imports.
    """
    return (bmp(password),) if password else (b"\0\0", b"")


def work(rounds: int, length: int, hash_name: Hash) -> int:
    """What it costs to derive `length` bytes, here or by PBKDF2, in rounds of HMAC-SHA-256.

    Each block as long as the hash takes all rounds anew, and the hashes of 64 bits have no
    instructions of their own in most processors.
    """
    size = hashlib.new(hash_name).digest_size
    return rounds * -(-length // size) * (4 if size > 32 else 1)  # noqa: PLR2004 - bytes of SHA-256


def derive(  # noqa: PLR0913 - the six inputs of RFC 7292, B.2
    password: bytes,
    salt: bytes,
    rounds: int,
    *,
    purpose: Purpose,
    length: int,
    hash_name: Hash,
) -> bytes:
    """Derive `length` bytes.

    Args:
        password: as `bmp` gives it.
        salt: of any length.
        rounds: 1 to 2**31 - 1.
        purpose: KEY, IV or MAC.
        length: in bytes.
        hash_name: the hash of the derivation.
    """
    with_openssl = _openssl()
    if with_openssl is not None:
        derived = with_openssl(password, salt, rounds, purpose, length, hash_name)
        if derived is not None:
            return derived
    return derive_with_hashlib(
        password, salt, rounds, purpose=purpose, length=length, hash_name=hash_name
    )


def derive_with_hashlib(  # noqa: PLR0913 - the six inputs of RFC 7292, B.2
    password: bytes,
    salt: bytes,
    rounds: int,
    *,
    purpose: Purpose,
    length: int,
    hash_name: Hash | Literal["md5"],
) -> bytes:
    """`derive` in Python; the letters are those of RFC 7292, B.2."""
    new: Callable[..., hashlib._Hash] = getattr(hashlib, hash_name)
    v = new().block_size
    i = _filled(salt, v) + _filled(password, v)
    derived = b""
    while True:
        a = bytes([purpose]) * v + i
        for _ in range(rounds):
            a = new(a).digest()
        derived += a
        if len(derived) >= length:
            return derived[:length]
        increment = int.from_bytes((a * (v // len(a) + 1))[:v], "big") + 1
        i = b"".join(
            ((int.from_bytes(i[at : at + v], "big") + increment) % (1 << 8 * v)).to_bytes(v, "big")
            for at in range(0, len(i), v)
        )


def _filled(value: bytes, block: int) -> bytes:
    """`value` repeated up to a multiple of `block` bytes; nothing stays nothing."""
    size = -(-len(value) // block) * block
    return (value * (size // len(value) + 1))[:size] if value else b""


def _encoded(password: Secret, encoding: str) -> bytes:
    try:
        return password.reveal().encode(encoding)
    except UnicodeEncodeError:
        # The cause would quote the password.
        message = "the password holds half a character (a lone surrogate)"
        raise UsageError(message) from None


@functools.cache
def _openssl() -> _Derivation | None:
    """OpenSSL's PKCS12_key_gen_uni (crypto/pkcs12/p12_key.c), or None where it can't be reached."""
    try:
        import ctypes

        library = ctypes.CDLL(_libcrypto())
        generate = library.PKCS12_key_gen_uni
        clear_errors = library.ERR_clear_error
        digests = {name: getattr(library, f"EVP_{name}") for name in HASHES}
    except (ImportError, OSError, AttributeError):
        return None
    number, octets = ctypes.c_int, ctypes.c_char_p
    generate.argtypes = [octets, number, octets, *[number] * 4, octets, ctypes.c_void_p]
    generate.restype = number
    clear_errors.argtypes, clear_errors.restype = [], None
    for digest in digests.values():
        digest.argtypes, digest.restype = [], ctypes.c_void_p

    def derive_with_openssl(  # noqa: PLR0913 - the six inputs of RFC 7292, B.2
        password: bytes, salt: bytes, rounds: int, purpose: Purpose, length: int, hash_name: Hash
    ) -> bytes | None:
        derived = ctypes.create_string_buffer(length)
        method = digests[hash_name]()
        done = generate(
            *(password, len(password), salt, len(salt)), purpose, rounds, length, derived, method
        )
        if done == 1:
            return derived.raw
        # FIPS mode knows no PKCS12KDF. What is left in the thread's queue would come up as the
        # reason of somebody else's failure.
        clear_errors()
        return None

    return derive_with_openssl


def _libcrypto() -> str:
    """What to load: on Windows the DLL, elsewhere what refers to it (`dlsym` looks further)."""
    import _hashlib

    extension: str = _hashlib.__file__
    if sys.platform == "win32":
        from pathlib import Path

        for library in Path(extension).resolve().parent.glob("libcrypto-*.dll"):
            return str(library)
        raise OSError(extension)
    return extension

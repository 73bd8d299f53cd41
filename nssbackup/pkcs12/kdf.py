"""Key derivation: the KDF of PKCS#12 (RFC 7292, appendix B), PBKDF2, and what they may cost.

The PKCS#12 KDF is written here because no library offers it. One round hashes 64 bytes, so the
loop's own overhead decides: 600,000 rounds of SHA-256 take 0.17 s in Python and 0.045 s in
OpenSSL, whose function also lets other threads run. Python's `_hashlib` is linked with a libcrypto
that exports it. Without one (a static Python, FIPS mode) the loop here gives the same bytes.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from nssbackup.errors import DamagedBackupError, UnsupportedBackupError, UsageError
from nssbackup.secret import Secret

Hash = Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]
HASHES: tuple[Hash, ...] = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")

# RFC 7292, B.3: the ID byte says what the bytes are for.
Purpose = Literal[1, 2, 3]
KEY: Purpose = 1
IV: Purpose = 2
MAC: Purpose = 3

# Windows imports at most 600,000 rounds and NSS writes as many; a PFX has one or two keys. The
# total counts rounds of HMAC-SHA-256: 24 million take about three seconds.
SALT_BYTES = 1024
ROUNDS = 10_000_000
ROUNDS_IN_ALL = 24_000_000

# MAC, key and certificates: a file rarely needs more derivations.
_THREADS = 3
# Starting a thread takes as long as a thousand rounds.
_SHORT = 10_000

_SHA256_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class Encoded:
    """A password as bytes: `bmp` for the KDF of PKCS#12, `octets` for PBKDF2.

    `note` is what to tell the user if it is not the encoding of the standards.
    """

    bmp: bytes
    octets: bytes
    note: str | None = None

    def __reduce__(self) -> NoReturn:
        message = "an encoded password can't be pickled"
        raise TypeError(message)


def encoded(password: Secret) -> Encoded:
    """Encode a password as the standards say.

    PBKDF2 takes UTF-8 without a NUL (RFC 8018, section 3), the PKCS#12 KDF UTF-16BE and 00 00
    (RFC 7292, B.1). A character outside the BMP becomes a surrogate pair, which a BMPString
    doesn't know and NSS, OpenSSL, GnuTLS and Windows write all the same.

    Raises:
        UsageError: the password is not text (a lone surrogate).
    """
    text = password.reveal()
    try:
        return Encoded(text.encode("utf-16-be") + b"\0\0", text.encode("utf-8"))
    except UnicodeEncodeError:
        # The cause would quote the password.
        message = "the password contains half a character (a lone surrogate)"
        raise UsageError(message) from None


def encodings(password: Secret) -> tuple[Encoded, ...]:
    """Return the encodings that real programs write, in the order to try them.

    Raises:
        UsageError: the password is not text (a lone surrogate).
    """
    standard = encoded(password)
    if not password:
        # Some write the empty password as 00 00 and others as nothing; NSS tries both.
        return standard, Encoded(b"", b"")
    utf8 = standard.octets
    found = [
        standard,
        # NSS before 3.34 gave PBKDF2 the BMPString (Mozilla bug 1399867).
        Encoded(
            standard.bmp,
            standard.bmp,
            "the file has its password in UTF-16 instead of UTF-8, as NSS before 3.34 wrote it",
        ),
        Encoded(
            standard.bmp[:-2],
            utf8 + b"\0",
            "the file has its password with a terminating NUL too many or too few",
        ),
    ]
    stripped = password.reveal().rstrip(" ")
    if stripped and stripped != password.reveal():
        # `echo PASSWORD > FILE` in a Windows shell writes one.
        without = encoded(Secret(stripped))
        note = "the password given ends in a blank, and the one of the file does not"
        found.append(Encoded(without.bmp, without.octets, note))
    if not utf8.isascii():
        # OpenSSL before 1.1.0 took each byte of the terminal's encoding for a character.
        widened = utf8.decode("latin-1").encode("utf-16-be") + b"\0\0"
        note = "the file has its password in UTF-8 taken for Latin-1, as OpenSSL 1.0 wrote it"
        found.append(Encoded(widened, utf8, note))
        with suppress(UnicodeEncodeError):
            latin1 = password.reveal().encode("latin-1")
            note = "the file has its password in Latin-1 instead of UTF-8"
            found.append(Encoded(standard.bmp, latin1, note))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Pkcs12Kdf:
    """The PKCS#12 KDF with its parameters; `length` is in bytes."""

    salt: bytes
    rounds: int
    hash_name: Hash
    purpose: Purpose
    length: int

    @property
    def cost(self) -> int:
        """Its cost in rounds of HMAC-SHA-256."""
        return _cost(self.rounds, self.length, self.hash_name)

    def input(self, password: Encoded) -> bytes:
        """Return the password as this KDF takes it."""
        return password.bmp

    def derive(self, password: bytes) -> bytes:
        """Derive the key; other threads run meanwhile if OpenSSL does the work."""
        generate = _openssl()
        derived = generate(self, password) if generate else None
        return derived or derive_in_python(self, password)


@dataclass(frozen=True, slots=True)
class Pbkdf2:
    """PBKDF2 with its parameters (RFC 8018, 5.2); `length` is in bytes."""

    salt: bytes
    rounds: int
    prf: Hash
    length: int

    @property
    def cost(self) -> int:
        """Its cost in rounds of HMAC-SHA-256."""
        return _cost(self.rounds, self.length, self.prf)

    def input(self, password: Encoded) -> bytes:
        """Return the password as this KDF takes it."""
        return password.octets

    def derive(self, password: bytes) -> bytes:
        """Derive the key; other threads run meanwhile."""
        digest: hashes.HashAlgorithm = getattr(hashes, self.prf.upper())()
        return PBKDF2HMAC(digest, self.length, self.salt, self.rounds).derive(password)


@dataclass(frozen=True, slots=True)
class Pbkdf1:
    """PBKDF1 (RFC 8018, 5.1), which gives as many bytes as the hash has."""

    salt: bytes
    rounds: int
    hash_name: Hash

    @property
    def cost(self) -> int:
        """Its cost in rounds of HMAC-SHA-256: it is done in Python."""
        return 4 * self.rounds

    def input(self, password: Encoded) -> bytes:
        """Return the password as this KDF takes it."""
        return password.octets

    def derive(self, password: bytes) -> bytes:
        """Derive the key."""
        derived = password + self.salt
        for _ in range(self.rounds):
            derived = hashlib.new(self.hash_name, derived).digest()
        return derived


Kdf = Pkcs12Kdf | Pbkdf1 | Pbkdf2


def check_parameters(salt: bytes, rounds: int) -> None:
    """Refuse a salt and a number of rounds that no honest file has.

    Raises:
        DamagedBackupError: less than one round, or a salt of more than 1 KiB.
        UnsupportedBackupError: more than 10 million rounds.
    """
    if rounds < 1 or len(salt) > SALT_BYTES:
        message = "the key derivation parameters of the PFX are impossible"
        raise DamagedBackupError(message)
    if rounds > ROUNDS:
        message = f"the PFX asks for more than {ROUNDS:,} rounds of key derivation"
        raise UnsupportedBackupError(message)


class RoundBudget:
    """How many rounds of HMAC-SHA-256 opening one file may still cost."""

    def __init__(self) -> None:
        self._left = ROUNDS_IN_ALL

    def spend(self, rounds: int) -> None:
        """Take `rounds` from the budget.

        Raises:
            UnsupportedBackupError: not that many are left.
        """
        self._left -= rounds
        if self._left < 0:
            message = f"opening the PFX would take more than {ROUNDS_IN_ALL:,} rounds in all"
            raise UnsupportedBackupError(message)


class Derivations:
    """Derived keys of one file: each is derived once, and long ones run in parallel threads.

    Args:
        name: what the threads are called.
        budget: pays for each derivation before it starts; None for a file of our own.
    """

    def __init__(self, name: str, budget: RoundBudget | None = None) -> None:
        self._name = name
        self._budget = budget
        self._executor: ThreadPoolExecutor | None = None
        self._results: dict[tuple[Kdf, bytes], Future[bytes]] = {}

    def __reduce__(self) -> NoReturn:
        message = "derivations can't be pickled"
        raise TypeError(message)

    def start(self, kdfs: Iterable[Kdf], password: Encoded) -> None:
        """Start derivations; all are paid for before the first one starts.

        Raises:
            UnsupportedBackupError: they cost more than the budget allows.
        """
        pairs = dict.fromkeys((kdf, kdf.input(password)) for kdf in kdfs)
        new = [pair for pair in pairs if pair not in self._results]
        if self._budget is not None:
            self._budget.spend(sum(kdf.cost for kdf, _ in new))
        for kdf, octets in new:
            self._results[kdf, octets] = self._submit(kdf, octets)

    def result(self, kdfs: Iterable[Kdf], password: Encoded) -> tuple[bytes, ...]:
        """Wait for derivations and return their keys; those not started yet are started now.

        Raises:
            UnsupportedBackupError: they cost more than the budget allows.
        """
        kdfs = tuple(kdfs)
        self.start(kdfs, password)
        return tuple(self._results[kdf, kdf.input(password)].result() for kdf in kdfs)

    def finish(self, *, cancel: bool = False) -> None:
        """Let the threads end when their work is done; `cancel` drops what has not started."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=cancel)

    def _submit(self, kdf: Kdf, password: bytes) -> Future[bytes]:
        if kdf.rounds > _SHORT:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(_THREADS, self._name)
            with suppress(RuntimeError):  # no more threads (`ulimit -u`), or `finish` was called
                return self._executor.submit(kdf.derive, password)
        done: Future[bytes] = Future()
        done.set_result(kdf.derive(password))
        return done


def derive_in_python(kdf: Pkcs12Kdf, password: bytes) -> bytes:
    """Derive the key of the PKCS#12 KDF in Python; the letters are those of RFC 7292, B.2."""
    new: Callable[..., hashlib._Hash] = getattr(hashlib, kdf.hash_name)
    v = new().block_size
    i = _filled(kdf.salt, v) + _filled(password, v)
    derived = b""
    while True:
        a = bytes([kdf.purpose]) * v + i
        for _ in range(kdf.rounds):
            a = new(a).digest()
        derived += a
        if len(derived) >= kdf.length:
            return derived[: kdf.length]
        increment = int.from_bytes((a * (v // len(a) + 1))[:v], "big") + 1
        i = b"".join(
            ((int.from_bytes(i[at : at + v], "big") + increment) % (1 << 8 * v)).to_bytes(v, "big")
            for at in range(0, len(i), v)
        )


def _filled(value: bytes, block: int) -> bytes:
    """Repeat `value` up to a multiple of `block` bytes; nothing stays nothing."""
    size = -(-len(value) // block) * block
    return (value * (size // len(value) + 1))[:size] if value else b""


def _cost(rounds: int, length: int, hash_name: Hash) -> int:
    """Return the cost of either KDF in rounds of HMAC-SHA-256.

    Each block of the length of the hash takes all rounds anew. Few processors have instructions
    for the hashes of 64-bit words.
    """
    size = hashlib.new(hash_name).digest_size
    return rounds * -(-length // size) * (4 if size > _SHA256_BYTES else 1)


@functools.cache
def _openssl() -> Callable[[Pkcs12Kdf, bytes], bytes | None] | None:
    """Return OpenSSL's PKCS12_key_gen_uni (crypto/pkcs12/p12_key.c), or None without one."""
    try:
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

    def derive(kdf: Pkcs12Kdf, password: bytes) -> bytes | None:
        derived = ctypes.create_string_buffer(kdf.length)
        inputs = (password, len(password), kdf.salt, len(kdf.salt), kdf.purpose, kdf.rounds)
        if generate(*inputs, kdf.length, derived, digests[kdf.hash_name]()) == 1:
            return derived.raw
        # FIPS mode has no PKCS12KDF. What stays in the thread's queue would be reported as the
        # reason of somebody else's failure.
        clear_errors()
        return None

    return derive


def _libcrypto() -> str:
    """Return what to load: the DLL on Windows, else what is linked with it (`dlsym` looks on)."""
    import _hashlib  # a Python without OpenSSL has no such module

    extension: str = _hashlib.__file__
    if sys.platform == "win32":
        for library in Path(extension).resolve().parent.glob("libcrypto-*.dll"):
            return str(library)
        raise OSError(extension)
    return extension

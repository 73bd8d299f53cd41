"""Firefox's own backup file, `FirefoxBackup_*.html` (Firefox 146 and later), read as a stream.

From the outside in: an HTML page with a MIME document in a comment; in that a JSON document with
the keys, and a ZIP in chunks, each encrypted; in the ZIP the two databases of NSS (Firefox's
browser/components/backup: BackupService, ArchiveEncryption, ArchiveUtils and ArchiveWorker). Only
the databases are kept. The file may have gigabytes, of which one chunk is in memory at a time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nssbackup.errors import (
    DamagedContainerError,
    NotEncryptedError,
    UnreadableStoreError,
    UnsupportedContainerError,
    WrongRecoveryPasswordError,
    reason,
)
from nssbackup.secret import Secret
from nssbackup.system.snapshot import MAX_BYTES

BEGIN = b"<!-- Begin inline MIME --"
_END = b"---- End inline MIME -->"
_VERSIONS = (1, 2)
_CHUNK = 1024 * 1024
_TAG = 16
# A chunk in base64 is one line; the page before it is far shorter.
_LONGEST_LINE = 4 * (_CHUNK + _TAG + 2) // 3 + 4
_MOST_LINES = 100_000
_ROUNDS = 600_000
_LARGEST_KEY = 8192
# What a document of another shape raises where it is taken apart.
_INVALID = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
_FOLDER = "credentials_and_security"
_DATABASES = ("cert9.db", "key4.db")

# PKWARE's APPNOTE: 4.3.7, the local header of a file; its end of the central directory, 4.3.16.
_LOCAL = struct.Struct("<4s2xHH4xLLLHH")
_LOCAL_MAGIC, _END_MAGIC = b"PK\x03\x04", b"PK\x05\x06"
_END_BYTES = 22
_STORED, _DEFLATED = 0, 8
_DESCRIPTOR_OR_ENCRYPTED = 0x09
_ZIP64 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class FirefoxBackup:
    """What a backup says about itself without a password.

    Attributes:
        created: RFC 3339, as Firefox wrote it; None if missing.
        application: as in `firefox-esr 153.8.0`.
        profile: the name of the profile.
        encryption: what the keys are wrapped with; None if it is not encrypted.
        meta: the description as JSON, exactly as it is in the file.
    """

    created: str | None
    application: str
    profile: str
    encryption: dict[str, bytes] | None = field(repr=False)
    meta: str = field(repr=False)


def read_header(path: Path) -> FirefoxBackup:
    """Return what a backup says about itself.

    Raises:
        UnreadableStoreError: it can't be read.
        DamagedContainerError: it is damaged or cut short.
        UnsupportedContainerError: it is of a newer version.
    """
    try:
        with path.open("rb") as file:
            return _header(file, path)
    except OSError as error:
        message = f"`{path}` can't be read: {reason(error)}"
        raise UnreadableStoreError(message) from error


def read_databases(path: Path, password: Secret) -> dict[str, bytes]:
    """Return `cert9.db` and `key4.db` of a backup, after every byte of it was authenticated.

    Args:
        path: the backup.
        password: the recovery password.

    Raises:
        OSError: it can't be read.
        NotEncryptedError: it is not encrypted, and so has no certificate in it.
        WrongRecoveryPasswordError: the password is wrong.
        DamagedContainerError: it is damaged, changed or cut short.
        UnsupportedContainerError: it is of a newer version, or a database is too large.
    """
    with path.open("rb") as file:
        header = _header(file, path)
        key = _archive_key(header, password, path)
        return databases_in(_plaintext(file, key, path), path)


def _header(file: BinaryIO, path: Path) -> FirefoxBackup:
    """Read up to the first chunk."""
    lines = _lines(file, path)
    for line in lines:
        if line == BEGIN:
            break
    if b"multipart/mixed" not in next(lines):
        _damaged(path, "it has no MIME document")
    text = ""
    for line in lines:
        if line.startswith(b"{"):
            text = line.decode("utf-8", "replace")
        elif line.startswith(b"Content-Transfer-Encoding: base64"):
            break
    for line in lines:
        if not line:
            break
    try:
        return _parsed(text, path)
    except _INVALID as error:
        message = f"the Firefox backup `{path.name}` is damaged: its description can't be read"
        raise DamagedContainerError(message) from error


def _parsed(text: str, path: Path) -> FirefoxBackup:
    document: dict[str, Any] = json.loads(text)
    if document["version"] not in _VERSIONS:
        message = (
            f"the Firefox backup `{path.name}` has version {document['version']}: only"
            f" {' and '.join(map(str, _VERSIONS))} are known"
        )
        raise UnsupportedContainerError(message)
    meta = document["meta"]
    encryption = document["encConfig"]
    values = encryption and {
        name: base64.b64decode(encryption[name], validate=True)
        for name in (
            *("wrappedSecrets", "wrappedArchiveKeyMaterial"),
            *("salt", "nonce", "confirmation"),
        )
    }
    application = f"{meta.get('appName', 'Firefox')} {meta.get('appVersion', '')}".strip()
    return FirefoxBackup(
        created=meta.get("date"),
        application=application,
        profile=str(meta.get("profileName", "")),
        encryption=values or None,
        meta=_text_of("meta", text, meta),
    )


def _text_of(name: str, text: str, value: object) -> str:
    """Return the JSON text of a member as it stands; it is what the confirmation covers."""
    begin = end = 0
    found: object = None
    while not end or found != value:
        begin = text.index(f'"{name}":', begin) + len(name) + 3
        found, end = json.JSONDecoder().raw_decode(text, begin)
    return text[begin:end]


def _archive_key(header: FirefoxBackup, password: Secret, path: Path) -> AESGCM:
    """Return the key of the chunks; the confirmation is checked with it."""
    config = header.encryption
    if config is None:
        message = f"the Firefox backup `{path.name}` is not encrypted, so no certificate is in it"
        raise NotEncryptedError(message)
    secret = password.reveal().encode("utf-8", "surrogatepass")
    derived = hashlib.pbkdf2_hmac("sha256", secret, config["salt"], _ROUNDS)
    auth, enc = (_hkdf(derived, None, f"backupkey-{use}") for use in ("auth", "enc-key"))
    try:
        # Firefox's nonce has 96 bytes where 96 bits were meant.
        secrets = AESGCM(enc).decrypt(config["nonce"], config["wrappedSecrets"], None)
    except InvalidTag:
        message = f"the recovery password of `{path.name}` is wrong"
        raise WrongRecoveryPasswordError(message) from None
    except ValueError:  # a nonce of a length that can't be
        _damaged(path, "its key can't be unwrapped")
    try:
        private_key = _rsa_key(json.loads(secrets)["privateKey"])
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        material = private_key.decrypt(config["wrappedArchiveKeyMaterial"], oaep)
    except _INVALID:
        _damaged(path, "its key can't be unwrapped")
    expected = hmac.digest(
        _hkdf(material, auth, "archive-auth-key"), header.meta.encode(), "sha256"
    )
    if not hmac.compare_digest(expected, config["confirmation"]):
        _damaged(path, "its description was changed")
    return AESGCM(_hkdf(material, auth, "archive-enc-key"))


def _hkdf(key: bytes, salt: bytes | None, info: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info.encode()).derive(key)


def _rsa_key(jwk: dict[str, str]) -> rsa.RSAPrivateKey:
    """Return an RSA key from a JWK (RFC 7518, 6.3)."""
    n, e, d, p, q, dp, dq, qi = (
        int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "=="), "big")
        for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi")
    )
    if n.bit_length() > _LARGEST_KEY:
        raise ValueError(n.bit_length())
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n)).private_key()


def _plaintext(file: BinaryIO, key: AESGCM, path: Path) -> Iterator[bytes]:
    """Yield the decrypted chunks of the ZIP; the file stands at the first one."""
    lines = _lines(file, path)
    number, line = 0, next(lines)
    while line:
        following = next(lines)
        try:
            chunk = base64.b64decode(line, validate=True)
        except binascii.Error:
            _damaged(path, f"chunk {number} is not Base64")
        # Firefox marks the last chunk only if it is shorter than the others.
        marks = (1, 0) if not following else (0,)
        for mark in marks:
            try:
                iv = struct.pack(">B3xQ", mark, number)
                yield key.decrypt(iv, chunk, None)
                break
            except InvalidTag:
                continue
        else:
            _damaged(path, f"chunk {number} was changed")
        number, line = number + 1, following
    for line in lines:
        if line == _END:
            return


def _lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield lines without their ends; a file that ends before its own end is cut short."""
    for _ in range(_MOST_LINES):
        line = file.readline(_LONGEST_LINE + 1)
        if not line.endswith(b"\n"):
            if len(line) > _LONGEST_LINE:
                _damaged(path, "a line is too long")
            if line.rstrip() != _END:
                _damaged(path, "it is cut short")
        yield line.rstrip(b"\r\n")
    _damaged(path, "it has too many lines")


class _Stream:
    """Reads bytes out of chunks."""

    def __init__(self, chunks: Iterator[bytes], path: Path) -> None:
        self._chunks = chunks
        self._path = path
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Return so many bytes."""
        while len(self._rest) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                _damaged(self._path, "its ZIP is cut short")
            self._rest += chunk
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def skip(self, size: int) -> None:
        """Pass over so many bytes."""
        while size > 0:
            size -= len(self.read(min(size, _CHUNK)))

    def tail(self, size: int) -> bytes:
        """Read to the end and return the last bytes."""
        last = self._rest
        for chunk in self._chunks:
            last = (last + chunk)[-size:]
        return last[-size:]


def databases_in(chunks: Iterator[bytes], path: Path) -> dict[str, bytes]:
    """Return the databases in the chunks of a ZIP, and read it to its end.

    Raises:
        DamagedContainerError: it is damaged or cut short.
        UnsupportedContainerError: a database is too large.
    """
    stream = _Stream(chunks, path)
    found: dict[str, bytes] = {}
    while (magic := stream.read(4)) == _LOCAL_MAGIC:
        _, flags, method, crc, packed, size, name_bytes, extra_bytes = _LOCAL.unpack(
            magic + stream.read(_LOCAL.size - 4)
        )
        name = stream.read(name_bytes).decode("utf-8", "replace")
        extra = stream.read(extra_bytes)
        if flags & _DESCRIPTOR_OR_ENCRYPTED:
            _damaged(path, "its ZIP is of a kind that Firefox does not write")
        packed, size = _sizes(packed, size, extra)
        folder, _, base = name.partition("/")
        if folder != _FOLDER or base not in _DATABASES or base in found:
            stream.skip(packed)
            continue
        if max(packed, size) > MAX_BYTES:
            message = f"`{base}` in `{path.name}` is too large ({size:,} bytes)"
            raise UnsupportedContainerError(message)
        data = stream.read(packed)
        if method == _DEFLATED:
            data = _inflated(data, size)
        elif method != _STORED:
            _damaged(path, "its ZIP is of a kind that Firefox does not write")
        if len(data) != size or zlib.crc32(data) != crc:
            _damaged(path, f"`{base}` in it is not whole")
        found[base] = data
    if not stream.tail(_END_BYTES).startswith(_END_MAGIC):
        _damaged(path, "its ZIP is cut short")
    return found


def _inflated(data: bytes, size: int) -> bytes:
    """Return the bytes of a deflated file, or none if they can't be had."""
    try:
        return zlib.decompressobj(-15).decompress(data, size + 1)
    except zlib.error:
        return b""


def _sizes(packed: int, size: int, extra: bytes) -> tuple[int, int]:
    """Return the sizes of a file of 4 GiB or more from its ZIP64 field (APPNOTE, 4.5.3)."""
    at = 0
    while _ZIP64 in (packed, size) and at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1 and length >= 16:  # noqa: PLR2004 - two sizes of eight bytes
            size, packed = struct.unpack_from("<QQ", extra, at + 4)
            break
        at += 4 + length
    return packed, size


def _damaged(path: Path, why: str) -> NoReturn:
    message = f"the Firefox backup `{path.name}` is damaged: {why}"
    raise DamagedContainerError(message)

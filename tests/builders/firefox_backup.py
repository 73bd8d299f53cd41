"""Firefox backups as Firefox writes them, with the parts that a test wants to choose."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.builders.store import rsa_key

CHUNK = 1024 * 1024
PASSWORD = "the recovery password"
META = {"date": "2026-11-30T10:00:00.000Z", "appName": "firefox", "appVersion": "153.0"}


def archive(files: Mapping[str, bytes], size: int | None = None) -> bytes:
    """Return a ZIP of these files, filled up with one more to a size in bytes."""

    def packed(filler: int) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(zipfile.ZipInfo("filler"), os.urandom(filler))
            for name, data in files.items():
                file.writestr(name, data)
        return buffer.getvalue()

    made = packed(0)
    return made if size is None else packed(size - len(made))


def firefox_backup(
    plaintext: bytes,
    password: str = PASSWORD,
    *,
    version: int = 2,
    encrypted: bool = True,
    mark_full: bool = False,
    meta: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the file for the plaintext of an archive.

    Args:
        plaintext: the ZIP.
        password: the recovery password.
        version: of the format.
        encrypted: whether there are keys in it.
        mark_full: whether the last chunk is marked although it is full, which Firefox forgets.
        meta: the description.
    """
    secret, salt = os.urandom(32), os.urandom(32) + b"backupkey-v1"
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 600_000)
    auth, enc = (_hkdf(derived, None, f"backupkey-{use}") for use in ("auth", "enc-key"))
    nonce, key = os.urandom(96), rsa_key(0)
    numbers = key.private_numbers()
    public = numbers.public_numbers
    parts = {
        "n": public.n,
        "e": public.e,
        "d": numbers.d,
        "p": numbers.p,
        "q": numbers.q,
        "dp": numbers.dmp1,
        "dq": numbers.dmq1,
        "qi": numbers.iqmp,
    }
    jwk = {"kty": "RSA"} | {name: _url(value) for name, value in parts.items()}
    wrapped = json.dumps({"privateKey": jwk, "OSKeyStoreSecret": "x"}).encode()
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    described = json.dumps(meta or META, ensure_ascii=False, separators=(",", ":"))
    config = {
        "wrappedSecrets": AESGCM(enc).encrypt(nonce, wrapped, None),
        "wrappedArchiveKeyMaterial": key.public_key().encrypt(secret, oaep),
        "salt": salt,
        "nonce": nonce,
        "confirmation": hmac.digest(
            _hkdf(secret, auth, "archive-auth-key"), described.encode(), "sha256"
        ),
    }
    shown = {name: base64.b64encode(value).decode() for name, value in config.items()}
    keys = json.dumps(shown if encrypted else None, separators=(",", ":"))
    manifest = f'{{"version":{version},"encConfig":{keys},"meta":{described}}}'
    chunks = [plaintext[at : at + CHUNK] for at in range(0, len(plaintext), CHUNK)]
    cipher, lines = AESGCM(_hkdf(secret, auth, "archive-enc-key")), []
    for number, chunk in enumerate(chunks):
        last = number == len(chunks) - 1 and (mark_full or len(chunk) < CHUNK)
        lines.append(
            base64.b64encode(cipher.encrypt(struct.pack(">B3xQ", last, number), chunk, None))
        )
    return b"\n".join(
        (
            b"<!DOCTYPE html>\n<!-- Version: 1 -->\n<html><body>A page for people</body></html>",
            b'<!-- Begin inline MIME --\nContent-Type: multipart/mixed; boundary="--b"\n\n----b',
            b"Content-Type: application/json; charset=utf-8\n",
            manifest.encode() + b"\n----b",
            b"Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n",
            *lines,
            b"\n----b\n---- End inline MIME -->\n",
        )
    )


def of_profile(profile: Path) -> dict[str, bytes]:
    """Return the databases of a profile as a backup has them, with files that are none of ours."""
    inside = {
        f"credentials_and_security/{name}": (profile / name).read_bytes()
        for name in ("cert9.db", "key4.db")
    }
    return {"credentials_and_security/logins.json": b"{}", **inside, "preferences/prefs.js": b""}


def _hkdf(key: bytes, salt: bytes | None, info: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info.encode()).derive(key)


def _url(value: int) -> str:
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

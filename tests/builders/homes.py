"""Homes of many users, made in a moment of copies of the fixtures; and what a batch left behind."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from nssbackup.pkcs12 import PfxContents, open_pfx
from nssbackup.secret import Secret
from tests import PROFILES

ROOTS = {
    "linux": ".mozilla/firefox",
    "darwin": "Library/Application Support/Firefox",
    "win32": "AppData/Roaming/Mozilla/Firefox",
}
JANE = "nss387-nopassword"  # a valid WIPO identity of one Jane Doe
LOCKED = "nss387-password"  # hers again, behind a primary password
PRIMARY = "correct horse 7"
JANES_FILE = "Jane Doe-WIPO Customer CA G2-2056-05-01.pfx"


def add_home(
    top: Path, user: str, *fixtures: str, platform: str = "linux", listed: bool = True
) -> Path:
    """A home with a profile for each fixture, the first one the default; returns the home."""
    home = top / user
    root = home / ROOTS[platform]
    root.mkdir(parents=True)
    sections = ["[General]\nVersion=2\n"]
    for number, fixture in enumerate(fixtures):
        folder = profile_in(home, number, platform)
        shutil.copytree(PROFILES / fixture, folder)
        mark = "" if number else "Default=1\n"
        path = folder.relative_to(root).as_posix()
        sections.append(f"[Profile{number}]\nName=p{number}\nIsRelative=1\nPath={path}\n{mark}")
    if listed:
        (root / "profiles.ini").write_text("\n".join(sections), encoding="utf-8")
    return home


def profile_in(home: Path, number: int = 0, platform: str = "linux") -> Path:
    """Where a profile of such a home lies."""
    below = "" if platform == "linux" else "Profiles"
    return home / ROOTS[platform] / below / f"{number:08d}.p{number}"


@dataclass(frozen=True, slots=True)
class Left:
    """A backup as it lies in the batch's folder, and what the records say about it."""

    path: Path
    contents: PfxContents


def backups(folder: Path) -> list[Path]:
    """Every file with a final name."""
    return sorted(folder.glob("*/*.pfx"))


def opened(
    folder: Path, key: rsa.RSAPrivateKey | None = None, certificate: x509.Certificate | None = None
) -> list[Left]:
    """Every backup in the folder, opened with the password that is kept for just this file."""
    # The files first: a worker may still be at work, and its passwords are there before its files.
    written = [(path, path.read_bytes()) for path in backups(folder)]
    passwords = kept_passwords(folder, key, certificate)
    return [
        Left(path, open_pfx(data, Secret(passwords[sha256_of(data)]))) for path, data in written
    ]


def sha256_of(data: bytes) -> str:
    """The fingerprint of a file."""
    return hashlib.sha256(data).hexdigest()


def kept_passwords(
    folder: Path, key: rsa.RSAPrivateKey | None = None, certificate: x509.Certificate | None = None
) -> Mapping[str, str]:
    """The password of each file, by its SHA-256: from escrow with a key, else from the list."""
    if key is not None and certificate is not None:
        found = {}
        for message in folder.glob("escrow/*/*.p7m"):
            text = pkcs7.pkcs7_decrypt_der(message.read_bytes(), certificate, key, [])
            entry = json.loads(text)
            found[entry["sha256"]] = entry["password"]
        return found
    return {row["sha256"]: row["password"] for row in password_rows(folder)}


def password_rows(folder: Path) -> list[dict[str, str]]:
    """The lines of `passwords.csv`."""
    path = folder / "passwords.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def report_of(folder: Path) -> dict[str, Any]:
    """The report as it lies in the folder."""
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def everything(top: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """All there is to know of what lies below a folder: modes, sizes, times and bytes."""
    return {
        str(path): (found.st_mode, found.st_size, found.st_mtime_ns, _bytes(path))
        for path in _walk(top)
        for found in [path.lstat()]
    }


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b""


def _walk(top: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(top):
        yield from (Path(folder, name) for name in (*folders, *files))

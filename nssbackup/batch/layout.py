"""The layout of the output folder: what the folders and files in it are called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from itertools import count

from nssbackup.system.files import safe_name

STATE_FOLDER = ".nssbackup"
"""Beside the folders of the users: what one run leaves for the next."""

ESCROW_FOLDER = "escrow"
PASSWORDS_FILE = "passwords.csv"
PASSWORDS_ELSEWHERE = "passwords-elsewhere"
"""A mark, in the state folder and in the escrow, that passwords are kept on another machine."""

REPORT_FILES = ("report.json", "report.csv", "report.html")
_RESERVED = frozenset({ESCROW_FOLDER, PASSWORDS_FILE, *REPORT_FILES})

# Windows appends the version of a roaming profile to the user's name, since Vista.
_ROAMING = re.compile(r"\.V[2-6]$", re.IGNORECASE)

# As many digits of a fingerprint as tell one person's certificates apart.
_DIGITS = (8, 16, 32)


def user_of_home(folder: str) -> str:
    """Return the user of a home's name: `jane` for the roaming profile `jane.V6` too."""
    return _ROAMING.sub("", folder) or folder


def folder_of_user(user: str) -> str:
    """Return the name of a user's folder; users of one spelling share it.

    The files of two people who share a folder are told apart by their certificates.
    """
    name = safe_name(user)
    return f"{name}_" if name.casefold() in _RESERVED else name


def folded(folder: str) -> str:
    """Return a text that is the same for all names that some file system takes for one."""
    if folder.isascii():
        return folder.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", folder).casefold())


def unused_name(name: str, fingerprint: str, taken: Collection[str]) -> str:
    """Return a file name that isn't taken, with digits of the fingerprint appended if need be.

    Args:
        name: with its ending, such as `Jane Doe-WIPO-2028-03-01.pfx`.
        fingerprint: of the certificate, in hex.
        taken: the names that may not be used, case-folded.
    """
    return next(one for one in _candidates(name, fingerprint) if one.casefold() not in taken)


def _candidates(name: str, fingerprint: str) -> Iterator[str]:
    yield name
    stem, dot, ending = name.rpartition(".")
    for digits in _DIGITS:
        yield f"{stem}-{fingerprint[:digits]}{dot}{ending}"
    for number in count(2):
        yield f"{stem}-{fingerprint[: _DIGITS[0]]}-{number}{dot}{ending}"

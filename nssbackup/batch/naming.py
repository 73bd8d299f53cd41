"""Naming: what the folders of users and the files in them are called, each once."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from itertools import count

from nssbackup.system.files import safe_name

# What lies beside the folders of the users; `state` for what a night leaves for the next.
STATE_FOLDER = ".nssbackup"
ESCROW_FOLDER = "escrow"
PASSWORDS_FILE = "passwords.csv"
# In the folder of the state: the passwords that were made up are not to be looked for here.
PASSWORDS_ELSEWHERE = "passwords-elsewhere"
REPORT_FILES = ("report.json", "report.csv", "report.html")
_RESERVED = frozenset({ESCROW_FOLDER, PASSWORDS_FILE, *REPORT_FILES})

# Windows puts the version of a roaming profile behind the user's name, since Vista.
_ROAMING = re.compile(r"\.V[2-6]$", re.IGNORECASE)

# As many digits of a fingerprint as tell a person's own certificates apart beyond doubt, and no
# more than a file name has room for.
_DIGITS = (8, 16, 32)


def user_of_home(folder: str) -> str:
    """The user whose home is called so: `jane` for the roaming profile `jane.V6` too."""
    return _ROAMING.sub("", folder) or folder


def folder_of_user(user: str) -> str:
    """The name of a user's folder, in one spelling where file systems know but one.

    Two users who share it share the folder: their files are told apart by the certificates.
    """
    name = safe_name(user)
    return f"{name}_" if name.casefold() in _RESERVED else name


def alike(folder: str) -> str:
    """What is the same for names that some file system takes for one."""
    if folder.isascii():
        return folder.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", folder).casefold())


def unused_name(name: str, fingerprint: str, taken: Collection[str]) -> str:
    """A file name that isn't taken: the name itself, else with the fingerprint behind it.

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

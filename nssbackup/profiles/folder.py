"""A folder: which one it is, and what lies in it.

The questions are answered from names and file modes; no file is opened. They never raise: what
this user may not see is not there.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from nssbackup.identity.model import StoreKind

# Either file of a pair counts: "Refresh Firefox" leaves a profile with `key4.db` alone, and that
# is worth telling. (mozilla/gecko-dev:browser/components/migration/FirefoxProfileMigrator.sys.mjs)
DATABASES: dict[StoreKind, tuple[str, str]] = {
    "sqlite": ("cert9.db", "key4.db"),
    "legacy": ("cert8.db", "key3.db"),
}

# The lists of profiles, which make a folder a root.
PROFILES_LIST = "profiles.ini"
INSTALLS_LIST = "installs.ini"


def folder_identity(folder: Path) -> str:
    """A text that is the same for all paths of one folder."""
    return os.path.normcase(os.path.realpath(folder))


def without_climbing(folder: Path) -> Path:
    """The same folder by a path without `..`.

    Any other path is left as it is: people know their folders by the path they chose. Where a link
    is on the way, only the file system knows what `..` is, so it is asked.
    """
    return Path(os.path.realpath(folder)) if ".." in folder.parts else folder


def is_folder(path: Path) -> bool:
    """Whether there is a folder at `path`; links are followed."""
    return stat.S_ISDIR(_mode(path))


def is_root(folder: Path) -> bool:
    """Whether a list of profiles lies in the folder."""
    return any(stat.S_ISREG(_mode(folder / name)) for name in (PROFILES_LIST, INSTALLS_LIST))


def store_in(folder: Path) -> StoreKind | None:
    """Which databases lie in the folder, the newer kind where both do; None for none."""
    for kind, names in DATABASES.items():
        if any(stat.S_ISREG(_mode(folder / name)) for name in names):
            return kind
    return None


def is_closed(folder: Path) -> bool:
    """Whether this user lacks the permission to look into the folder."""
    try:
        with os.scandir(folder):
            return False
    except OSError as error:
        return isinstance(error, PermissionError)


def _mode(path: Path) -> int:
    # Not Path.is_dir() and the like: until Python 3.14 they raise for a lack of permission.
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # ValueError: what can't be a path, as with a NUL in it
        return 0

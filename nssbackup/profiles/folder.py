"""Folders: what is in one, told from names and file modes. No file is opened.

Nothing here raises: what this user can't see counts as missing.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from nssbackup.errors import UnreadableStoreError
from nssbackup.identity.model import StoreKind
from nssbackup.profiles.system import System
from nssbackup.system.ownership import refusal_hint

# Either file of a pair counts: *Refresh Firefox* leaves a profile with `key4.db` alone.
# (mozilla/gecko-dev:browser/components/migration/FirefoxProfileMigrator.sys.mjs)
DATABASES: dict[StoreKind, tuple[str, str]] = {
    "sqlite": ("cert9.db", "key4.db"),
    "legacy": ("cert8.db", "key3.db"),
}

# The lists of profiles, which make a folder a root.
PROFILES_LIST = "profiles.ini"
INSTALLS_LIST = "installs.ini"

# Subfolders of a root that applications use for other things.
_NO_PROFILES = frozenset(
    {"Crash Reports", "Pending Pings", "Background Tasks Profiles", "Profile Groups"}
)

# A root has a handful of folders; this stops the scan of a data dump.
SCAN_LIMIT = 10_000


def folder_identity(folder: Path) -> str:
    """Return a text that is the same for every path of one folder."""
    return os.path.normcase(os.path.realpath(folder))


def without_climbing(folder: Path) -> Path:
    """Return the folder by a path without `..`; any other path is returned unchanged.

    People know their folders by the path they chose. With a link on the way, only the file system
    knows what `..` is, so it is asked.
    """
    return Path(os.path.realpath(folder)) if ".." in folder.parts else folder


def is_root(folder: Path) -> bool:
    """Return whether a list of profiles is in the folder."""
    return any(os.path.isfile(folder / name) for name in (PROFILES_LIST, INSTALLS_LIST))


def store_in(folder: Path) -> StoreKind | None:
    """Return which databases are in the folder, the newer kind if both are; None if none."""
    for kind, names in DATABASES.items():
        if any(os.path.isfile(folder / name) for name in names):
            return kind
    return None


def is_closed(folder: Path) -> bool:
    """Return whether this user lacks the permission to look into the folder."""
    try:
        with os.scandir(folder):
            return False
    except OSError as error:
        return isinstance(error, PermissionError)


def closed_folder(folder: Path) -> UnreadableStoreError:
    """Return the error for a folder that this user may not look into."""
    message = f"this user may not look into the folder `{folder}`"
    return UnreadableStoreError(message, hint=refusal_hint(folder))


def subfolders(parent: Path, system: System) -> list[Path]:
    """Return the folders in `parent` that may be profiles, links last; [] if unreadable.

    A link may lead out of another user's home: check before looking into it.
    """
    if not system.holds(parent):
        return []
    try:
        with os.scandir(parent) as entries:
            folders = [
                (entry.is_symlink(), entry.name)
                for entry in islice(entries, SCAN_LIMIT)
                if entry.name not in _NO_PROFILES and _is_folder(entry)
            ]
    except OSError:
        return []
    # Sorted, because the first path to a folder is the one shown.
    return [parent / name for _, name in sorted(folders)]


def leads_out(folder: Path, system: System) -> bool:
    """Return whether the folder, or a link in it, leads out of another user's home."""
    if system.confined_to is None:
        return False
    if not system.holds(folder):
        return True
    try:
        with os.scandir(folder) as entries:
            seen = list(islice(entries, SCAN_LIMIT + 1))
            links = [Path(entry.path) for entry in seen if entry.is_symlink()]
    except OSError:
        return False  # nothing in it can be reached
    return len(seen) > SCAN_LIMIT or not all(system.holds(link) for link in links)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links, for example
        return False

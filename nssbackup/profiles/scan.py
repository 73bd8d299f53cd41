"""Looking through folders: always to a limit, and never out of another user's home."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from nssbackup.profiles.system import System

# Folders of a root that applications fill with other things.
_NO_PROFILES = frozenset(
    {"Crash Reports", "Pending Pings", "Background Tasks Profiles", "Profile Groups"}
)

# A root has a handful of folders; this ends the scan of one that is a data dump.
SCAN_LIMIT = 10_000


def subfolders(parent: Path, system: System) -> list[Path]:
    """The folders in `parent` that may be profiles, links to folders last; [] if unreadable.

    Those behind links may lie outside another user's home, into which one is looked no further.
    """
    if not system.holds(parent):
        return []
    try:
        with os.scandir(parent) as entries:
            folders = [
                (entry.is_symlink(), entry.name)
                for entry in islice(entries, SCAN_LIMIT)
                if entry.name not in _NO_PROFILES and _is_folder_entry(entry)
            ]
    except OSError:
        return []
    # In an order of its own, because the first path to a folder is the one shown.
    return [parent / name for _, name in sorted(folders)]


def leads_out(folder: Path, system: System) -> bool:
    """Whether the folder, or a link in it, leads out of another user's home."""
    if system.confined_to is None:
        return False
    if not system.holds(folder):
        return True
    try:
        with os.scandir(folder) as entries:
            seen = list(islice(entries, SCAN_LIMIT + 1))
            links = [Path(entry.path) for entry in seen if entry.is_symlink()]
    except OSError:
        return False  # what may not be looked into leads nowhere
    return len(seen) > SCAN_LIMIT or not all(system.holds(link) for link in links)


def _is_folder_entry(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in circles, for one
        return False

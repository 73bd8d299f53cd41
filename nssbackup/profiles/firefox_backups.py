"""Locate the backup files that Firefox itself makes (Firefox 146 and later), by their names.

Firefox puts them into the folder `Restore Firefox`, in OneDrive if there is one, else in Documents
(browser/components/backup/BackupService.sys.mjs); its settings say so if it is another place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from nssbackup.identity.model import FoundBackup, Profile
from nssbackup.profiles.locate import onedrives, user_folders
from nssbackup.profiles.settings import read_preferences
from nssbackup.profiles.system import System

_FOLDER = "Restore Firefox"
_LOCATION = "browser.backup.location"
_NAME = re.compile(r"FirefoxBackup_(.+?)(?:_[0-9a-f]{8})?_(\d{8}-\d{6})\.\d{3}\.html")
# Firefox keeps one file for each profile.
_MOST_FILES = 10_000


def find_firefox_backups(
    profiles: Iterable[Profile], system: System | None = None
) -> tuple[FoundBackup, ...]:
    """Return the Firefox backups of this user, the newest first.

    Args:
        profiles: whose settings may name a folder.
        system: where to look.
    """
    system = system or System.current()
    found = {one.path: one for folder in _folders(profiles, system) for one in _in(folder, system)}
    return tuple(sorted(found.values(), key=lambda one: one.created, reverse=True))


def _folders(profiles: Iterable[Profile], system: System) -> Iterator[Path]:
    home = Path(system.home)
    places = [home / "Documents", *user_folders("DOCUMENTS", system)]
    if system.platform == "win32":
        for folder in onedrives(system):
            places += [folder, folder / "Documents"]
    for place in dict.fromkeys(places):
        yield place / _FOLDER
    for profile in profiles:
        location = read_preferences(profile.path).get(_LOCATION)
        if isinstance(location, str) and system.path(location).is_absolute():
            yield Path(location)


def _in(folder: Path, system: System) -> Iterator[FoundBackup]:
    if not system.holds(folder):
        return
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _MOST_FILES)]
    except OSError:
        return
    for name in names:
        if match := _NAME.fullmatch(name):
            created = datetime.strptime(match[2], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
            yield FoundBackup(folder / name, created, match[1])

"""The user's desktop: the folders that it may be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from nssbackup.profiles.scan import subfolders
from nssbackup.profiles.system import System
from nssbackup.profiles.user_folders import user_folders

# Windows moves the desktop into OneDrive at the press of a button, and OneDrive has a folder for
# each account, `OneDrive - Company`. What the desktop is called in there depends on the language.
_ONEDRIVE_VARIABLES = ("OneDrive", "OneDriveCommercial", "OneDriveConsumer")
_ONEDRIVE = "onedrive"
_FOLDERS_IN_ONEDRIVE = 100


def desktops(system: System) -> Iterator[Path]:
    """Each folder that may be the desktop, which need not exist; a folder may come repeatedly."""
    home = Path(system.home)
    yield home / "Desktop"
    if system.platform == "linux":
        yield from user_folders("DESKTOP", system)
    if system.platform == "win32":
        for folder in _onedrives(system):
            yield from islice(subfolders(folder, system), _FOLDERS_IN_ONEDRIVE)


def _onedrives(system: System) -> Iterator[Path]:
    for name in _ONEDRIVE_VARIABLES:
        path = system.path(system.environment.get(name, ""))
        if path.is_absolute():
            yield Path(path)
    for folder in subfolders(Path(system.home), system):
        if folder.name.casefold().startswith(_ONEDRIVE):
            yield folder

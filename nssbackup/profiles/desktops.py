"""The user's desktop: the folders that it may be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from nssbackup.profiles.bases import CONFIG
from nssbackup.profiles.bounded import read_bounded
from nssbackup.profiles.folder import is_folder
from nssbackup.profiles.scan import subfolders
from nssbackup.profiles.system import System, path_text

# The XDG user directories: `XDG_DESKTOP_DIR="$HOME/Bureau"`, as xdg-user-dirs writes it and
# mozilla/gecko-dev:xpcom/io/SpecialSystemDirectory.cpp reads it.
_USER_FOLDERS = "user-dirs.dirs"
_DESKTOP = re.compile(
    rb'^[ \t]*XDG_DESKTOP_DIR[ \t]*=[ \t]*"(\$HOME)?((?:/(?:\\.|[^"\\\n])*)?)"', re.MULTILINE
)
_SIZE_LIMIT = 1 << 16

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
        yield from _in_user_folders(system)
    if system.platform == "win32":
        for folder in _onedrives(system):
            yield from islice(subfolders(folder, system), _FOLDERS_IN_ONEDRIVE)


def _in_user_folders(system: System) -> Iterator[Path]:
    for folder in CONFIG.folders(system):
        path = Path(folder) / _USER_FOLDERS
        try:
            text = read_bounded(path, _SIZE_LIMIT) if system.holds(path) else b""
        except OSError:
            continue
        for from_home, value in _DESKTOP.findall(text):
            name = path_text(re.sub(rb"\\(.)", rb"\1", value))
            named = system.home / name.lstrip("/") if from_home else system.path(name)
            desktop = system.brought_home(named) if named.is_absolute() else None
            if desktop is not None and is_folder(desktop):
                yield desktop


def _onedrives(system: System) -> Iterator[Path]:
    for name in _ONEDRIVE_VARIABLES:
        path = system.path(system.environment.get(name, ""))
        if path.is_absolute():
            yield Path(path)
    for folder in subfolders(Path(system.home), system):
        if folder.name.casefold().startswith(_ONEDRIVE):
            yield folder

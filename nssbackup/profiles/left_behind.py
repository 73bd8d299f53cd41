"""The old profiles that *Refresh Firefox* put on the desktop or in the home folder.

A refresh makes a new profile, takes `key4.db` along and leaves `cert9.db`, so only the old profile
has the certificate and its key together. It is moved into a folder called *Old Firefox Data* in the
user's language, on the desktop, or in the home folder if there is no desktop
(mozilla/gecko-dev:browser/components/migration/FirefoxProfileMigrator.sys.mjs and the test of the
refresh). So it is recognised by its files and not by a name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from nssbackup.identity.model import Profile
from nssbackup.profiles.folder import DATABASES, folder_identity, subfolders
from nssbackup.profiles.locate import find_profiles, unlisted_profile
from nssbackup.profiles.roots import CONFIG, application_in
from nssbackup.profiles.system import System, path_text
from nssbackup.system.reading import read_bounded

_APPLICATION = "Firefox"

# Nobody has this many old profiles, and somebody waits for the search.
PLACE_LIMIT = 2_000
CONTAINER_LIMIT = 500
TOTAL_LIMIT = 20_000

# A profile without certificates is no help, so only these are looked for.
_CERTIFICATES = tuple(names[0] for names in DATABASES.values())

# The largest folders of a home; a refresh puts nothing there.
_NOT_IN_HOME = frozenset({"AppData", "Library"})

# Windows moves the desktop into OneDrive if the user agrees to it. OneDrive has a folder for each
# account, `OneDrive - Company`; what the desktop is called in it depends on the language.
_ONEDRIVE_VARIABLES = ("OneDrive", "OneDriveCommercial", "OneDriveConsumer")
_FOLDERS_IN_ONEDRIVE = 100

_USER_DIRS = "user-dirs.dirs"
_USER_DIRS_LIMIT = 1 << 16


def find_left_behind(system: System | None = None) -> tuple[Profile, ...]:
    """Return every profile that a refresh left behind, the one last used first.

    Profiles that `find_profiles` returns are not among them. Links to folders are not followed.
    """
    system = system or System.current()
    known = {folder_identity(profile.path) for profile in find_profiles(system)}
    found: dict[str, Profile] = {}
    for container, folder in islice(_candidates(system), TOTAL_LIMIT):
        # As text, because there may be thousands of them.
        if not any(os.path.isfile(os.path.join(folder, name)) for name in _CERTIFICATES):  # noqa: PTH118
            continue
        path = Path(folder)
        # Windows has junctions besides links, so the home is checked once more.
        if system.holds(path) and (key := folder_identity(path)) not in known:
            application = application_in(container) or _APPLICATION
            found.setdefault(key, unlisted_profile(path, application, system))
    return tuple(sorted(found.values(), key=lambda one: -(one.last_used or 0.0)))


def _candidates(system: System) -> Iterator[tuple[str, str]]:
    """Yield each folder that may be an old profile, with the name of the folder that it is in."""
    seen: set[str] = set()
    for place in (*_desktops(system), Path(system.home)):
        if (key := folder_identity(place)) in seen:
            continue
        seen.add(key)
        for container in _folders(place, PLACE_LIMIT, system):
            # The refresh wants the user to see the data, so it is in no hidden folder.
            if container.name.startswith(".") or container.name in _NOT_IN_HOME:
                continue
            for folder in _folders(Path(container.path), CONTAINER_LIMIT, system):
                yield container.name, folder.path


def _folders(parent: Path, limit: int, system: System) -> list[os.DirEntry[str]]:
    """Return the folders in `parent` without links; [] if unreadable."""
    if not system.holds(parent):
        return []
    try:
        with os.scandir(parent) as entries:
            return [one for one in islice(entries, limit) if one.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _desktops(system: System) -> Iterator[Path]:
    """Yield each folder that may be the desktop; it need not exist, and may come repeatedly."""
    home = Path(system.home)
    yield home / "Desktop"
    if system.platform == "linux":
        yield from user_folders("DESKTOP", system)
    if system.platform == "win32":
        for folder in _onedrives(system):
            yield from islice(subfolders(folder, system), _FOLDERS_IN_ONEDRIVE)


def _onedrives(system: System) -> Iterator[Path]:
    for name in _ONEDRIVE_VARIABLES:
        path = system.path(system.variable(name))
        if path.is_absolute():
            yield Path(path)
    for folder in subfolders(Path(system.home), system):
        if folder.name.casefold().startswith("onedrive"):
            yield folder


def user_folders(name: str, system: System) -> Iterator[Path]:
    """Yield each existing folder that a Linux desktop calls DESKTOP, DOCUMENTS and so on.

    The file has lines like `XDG_DESKTOP_DIR="$HOME/Bureau"`; `$HOME` at the beginning is the only
    variable in the format (mozilla/gecko-dev:xpcom/io/SpecialSystemDirectory.cpp).
    """
    line = re.compile(
        rb'^[ \t]*XDG_%b_DIR[ \t]*=[ \t]*"(\$HOME)?((?:/(?:\\.|[^"\\\n])*)?)"' % name.encode(),
        re.MULTILINE,
    )
    for folder in CONFIG.folders(system):
        path = Path(folder) / _USER_DIRS
        try:
            text = read_bounded(path, _USER_DIRS_LIMIT) if system.holds(path) else b""
        except OSError:
            continue
        for from_home, value in line.findall(text):
            unescaped = path_text(re.sub(rb"\\(.)", rb"\1", value))
            named = system.home / unescaped.lstrip("/") if from_home else system.path(unescaped)
            found = system.translate(named) if named.is_absolute() else None
            if found is not None and os.path.isdir(found):
                yield found

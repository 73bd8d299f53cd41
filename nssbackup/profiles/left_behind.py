"""What *Refresh Firefox* left behind: the old profiles, on the desktop or in the home folder.

A refresh makes a new profile, takes `key4.db` along and leaves `cert9.db`, so that the certificate
with its key is in the old profile alone. That one goes into a folder called *Old Firefox Data* in
the user's language, on the desktop, or in the home folder where there is no desktop
(mozilla/gecko-dev:browser/components/migration/FirefoxProfileMigrator.sys.mjs and the test of
the refresh). So it is told by what lies in it and not by a name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from nssbackup.identity.model import Profile
from nssbackup.profiles.desktops import desktops
from nssbackup.profiles.folder import DATABASES, folder_identity
from nssbackup.profiles.locate import find_profiles, unlisted_profile
from nssbackup.profiles.roots import application_in
from nssbackup.profiles.system import System

_APPLICATION = "Firefox"

# Whoever has many more folders on the desktop, or more old profiles in one of them, has other
# folders there; and somebody waits for this. The whole is looked through in the order of places.
PLACE_LIMIT = 2_000
CONTAINER_LIMIT = 500
TOTAL_LIMIT = 20_000

# A profile without certificates is no help, so the others need not be looked for. Looked for they
# are in thousands of folders.
_CERTIFICATES = tuple(names[0] for names in DATABASES.values())

# In a home folder the large ones by far, in which no refresh puts anything.
NOT_IN_HOME = frozenset({"AppData", "Library"})


def find_left_behind(system: System | None = None) -> tuple[Profile, ...]:
    """Every profile that a refresh left behind, the one last used first; () for none.

    Profiles that `find_profiles` gives are not among them. Links to folders are not followed.
    """
    system = system or System.current()
    known = {folder_identity(profile.path) for profile in find_profiles(system)}
    found: dict[str, Profile] = {}
    for container, folder in islice(_candidates(system), TOTAL_LIMIT):
        if not _has_certificates(folder):
            continue
        path = Path(folder)
        # Windows has junctions besides links, which is why the home is asked once more.
        if system.holds(path) and (key := folder_identity(path)) not in known:
            application = application_in(container) or _APPLICATION
            found.setdefault(key, unlisted_profile(path, application, system))
    return tuple(sorted(found.values(), key=lambda one: -(one.last_used or 0.0)))


def _candidates(system: System) -> Iterator[tuple[str, str]]:
    """Each folder that may be a left profile, behind the name of the folder that it is in."""
    seen: set[str] = set()
    for place in (*desktops(system), Path(system.home)):
        if (key := folder_identity(place)) in seen:
            continue
        seen.add(key)
        for container in _folders(place, PLACE_LIMIT, system):
            # Not one that a program hides from the user: the refresh wants the data to be seen.
            if container.name.startswith(".") or container.name in NOT_IN_HOME:
                continue
            for folder in _folders(Path(container.path), CONTAINER_LIMIT, system):
                yield container.name, folder.path


def _folders(parent: Path, limit: int, system: System) -> list[os.DirEntry[str]]:
    """The folders in `parent`, links left out; [] if unreadable."""
    if not system.holds(parent):
        return []
    try:
        with os.scandir(parent) as entries:
            return [one for one in islice(entries, limit) if one.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _has_certificates(folder: str) -> bool:
    # Without a Path for each of so many.
    return any(os.path.isfile(os.path.join(folder, name)) for name in _CERTIFICATES)  # noqa: PTH113, PTH118 - text is quicker

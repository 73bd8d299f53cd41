"""What *Refresh Firefox* left behind: the old profiles, on the desktop or in the home folder.

A refresh makes a new profile, takes `key4.db` along and leaves `cert9.db`, so that the certificate
with its key is in the old profile alone. That one goes into a folder called *Old Firefox Data* in
the user's language, on the desktop, or in the home folder where there is no desktop
(mozilla/gecko-dev:browser/components/migration/FirefoxProfileMigrator.sys.mjs and the test of
the refresh). So it is told by what lies in it and not by a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nssbackup.model import Profile
from nssbackup.profiles.folder import folder_identity, store_in
from nssbackup.profiles.locate import find_profiles, subfolders, unlisted_profile
from nssbackup.profiles.system import System

_APPLICATION = "Firefox"


def find_left_behind(system: System | None = None) -> tuple[Profile, ...]:
    """Every profile that a refresh left behind, the one last used first; () for none.

    Profiles that `find_profiles` gives are not among them.
    """
    system = system or System.current()
    known = {folder_identity(profile.path) for profile in find_profiles(system)}
    found: dict[str, Profile] = {}
    for folder in _candidates(system):
        if store_in(folder) is not None and (key := folder_identity(folder)) not in known:
            found.setdefault(key, unlisted_profile(folder, _APPLICATION))
    return tuple(sorted(found.values(), key=lambda one: -(one.last_used or 0.0)))


def _candidates(system: System) -> Iterator[Path]:
    for place in (Path(system.home) / "Desktop", Path(system.home)):
        for folder in subfolders(place):
            yield from subfolders(folder)

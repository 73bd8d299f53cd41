"""Every profile of every root: what the lists name, and what lies there unlisted.

No list is complete: members of a Firefox profile group stand in none that is read here, a restored
folder stands in none at all, and lists get lost. So the folders of a root are looked at too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path

from nssbackup.model import Profile
from nssbackup.profiles.folder import folder_identity, is_folder, store_in, without_climbing
from nssbackup.profiles.lists import read_lists
from nssbackup.profiles.lock import is_in_use, last_start
from nssbackup.profiles.roots import Root, candidate_roots
from nssbackup.profiles.system import System

# Folders of a root that applications fill with other things.
_NO_PROFILES = frozenset(
    {"Crash Reports", "Pending Pings", "Background Tasks Profiles", "Profile Groups"}
)

# A root has a handful of folders; this ends the scan of one that is a data dump.
SCAN_LIMIT = 10_000


def find_profiles(system: System | None = None) -> tuple[Profile, ...]:
    """Every profile of this user (or of `system`), the likeliest first; () for none.

    The order is: in use now, last started, the default of an installation, `Default=1`, the rest;
    then by name. A listed profile without a folder is left out. What can't be read is passed over.
    """
    system = system or System.current()
    return profiles_of(candidate_roots(system), system)


def profiles_of(roots: Iterable[Root], system: System) -> tuple[Profile, ...]:
    """Every profile of these roots, each folder once, in the order of `find_profiles`."""
    identity = cache(folder_identity)  # lists and scan meet the same folders
    found: dict[str, _Found] = {}
    seen: set[str] = set()
    for root in roots:
        if (key := identity(Path(root.path))) in seen:
            continue
        seen.add(key)
        for one in _found_in(root, system):
            key = identity(one.path)
            found[key] = found[key].joined(one) if key in found else one
    ranked = [(one, one.profile()) for one in found.values()]
    ranked.sort(key=lambda pair: pair[0].rank(pair[1]))
    return tuple(profile for _, profile in ranked)


def unlisted_profile(folder: Path, application: str) -> Profile:
    """The profile that a folder is, when nothing is known but the folder."""
    return _Found(folder, application).profile()


@dataclass(frozen=True, slots=True)
class _Found:
    """A folder, and what the places that led to it say about it."""

    path: Path
    application: str
    name: str = ""
    listed: bool = False
    default: bool = False
    install_default: bool = False
    marked_default: bool = False

    def joined(self, other: _Found) -> _Found:
        """The same folder with what another place says; where they disagree, this one is right."""
        return replace(
            self,
            name=self.name or other.name,
            listed=self.listed or other.listed,
            default=self.default or other.default,
            install_default=self.install_default or other.install_default,
            marked_default=self.marked_default or other.marked_default,
        )

    def profile(self) -> Profile:
        """The profile, with what its folder tells about itself."""
        return Profile(
            path=self.path,
            name=self.name or self.path.name or str(self.path),
            application=self.application,
            default=self.default,
            in_use=is_in_use(self.path),
            store=store_in(self.path),
            listed=self.listed,
            last_used=last_start(self.path),
        )

    def rank(self, profile: Profile) -> tuple[bool, float, bool, bool, str, str]:
        """What `profile`, made of this, is ordered by: the smallest is the likeliest."""
        return (
            profile.in_use is not True,
            -(profile.last_used or 0.0),
            not self.install_default,
            not self.marked_default,
            profile.name,
            str(profile.path),
        )


def _found_in(root: Root, system: System) -> Iterator[_Found]:
    """What a root's lists name and then what its folders hold; a folder may come repeatedly."""
    folder = Path(root.path)
    yield from _listed_in(folder, root.application, system)
    for parent in (folder, folder / "Profiles"):
        for child in subfolders(parent):
            if store_in(child) is not None:
                yield _Found(child, root.application)


def _listed_in(root: Path, application: str, system: System) -> Iterator[_Found]:
    listed = [(Path(one.path), one) for one in read_lists(root, system)]
    listed = [(path, one) for path, one in listed if is_folder(path)]
    # As nsToolkitProfileService.cpp chooses: an install's default, else the one marked, else the
    # only one there is. Which install will be started can't be known, so each one's counts.
    by_install = any(one.install_default for _, one in listed)
    by_mark = any(one.marked_default for _, one in listed)
    alone = len({path for path, _ in listed}) == 1
    for path, one in listed:
        if by_install:
            default = one.install_default
        elif by_mark:
            default = one.marked_default
        else:
            default = alone
        yield _Found(
            path=without_climbing(path),
            application=application,
            name=one.name,
            listed=True,
            default=default,
            install_default=one.install_default,
            marked_default=one.marked_default,
        )


def subfolders(parent: Path) -> list[Path]:
    """The folders in `parent` that may be profiles, links to folders last; [] if unreadable."""
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


def _is_folder_entry(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in circles, for one
        return False

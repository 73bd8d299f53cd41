"""Every profile of every root: what the lists and groups name, and what lies there unlisted.

No list is complete: the members of a group stand in no `profiles.ini`, a restored folder stands in
none at all, and lists get lost. So the folders of a root are looked at too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePath

from nssbackup.identity.model import Profile
from nssbackup.profiles.folder import folder_identity, is_folder, store_in, without_climbing
from nssbackup.profiles.groups import GROUPS_FOLDER, read_group_members
from nssbackup.profiles.lists import ListedProfile, read_lists
from nssbackup.profiles.lock import is_in_use, last_start
from nssbackup.profiles.roots import Root, find_roots
from nssbackup.profiles.scan import leads_out, subfolders
from nssbackup.profiles.system import System


def find_profiles(system: System | None = None) -> tuple[Profile, ...]:
    """Every profile of this user (or of `system`), the likeliest first; () for none.

    The order is: in use now, last started, the default of an installation, `Default=1`, the rest;
    then by name. A listed profile without a folder is left out. What can't be read is passed over.
    """
    system = system or System.current()
    return profiles_of(find_roots(system), system)


@dataclass(frozen=True, slots=True)
class Search:
    """What a search through another user's home came upon.

    Attributes:
        profiles: in the order of `find_profiles`.
        strays: the ones whose folder, or a file in it, is a link out of the home, which nobody
            follows; only their names are known.
        elsewhere: the folders that lists name and that are not of the home, with the application.
        absent: those that would be, and are not there.
    """

    profiles: tuple[Profile, ...]
    strays: tuple[Profile, ...]
    elsewhere: Mapping[PurePath, str]
    absent: tuple[Path, ...]


def search_home(system: System) -> Search:
    """The same as `find_profiles` for another user's home, and what it has to leave out."""
    missing: dict[PurePath, str] = {}
    ranked, strays = _searched(find_roots(system), system, missing)
    scanned = {one.path for one in strays}
    links, absent, elsewhere = [], [], {}
    for path, name in missing.items():
        if not system.names(path):
            elsewhere[path] = name
        elif system.holds(folder := Path(path)):
            absent.append(folder)
        elif folder not in scanned:
            links.append(_Found(folder, name).stray)
    profiles = tuple(profile for _, profile in ranked)
    return Search(profiles, (*strays, *links), elsewhere, tuple(absent))


def profiles_of(roots: Iterable[Root], system: System) -> tuple[Profile, ...]:
    """Every profile of these roots, each folder once, in the order of `find_profiles`."""
    return tuple(profile for profile, _ in profiles_and_names(roots, system))


def profiles_and_names(
    roots: Iterable[Root], system: System
) -> tuple[tuple[Profile, tuple[str, ...]], ...]:
    """The same, each with all the names that lists and groups have for it, which may be none."""
    return tuple((profile, one.names) for one, profile in _searched(roots, system)[0])


def _searched(
    roots: Iterable[Root], system: System, missing: dict[PurePath, str] | None = None
) -> tuple[list[tuple[_Found, Profile]], tuple[Profile, ...]]:
    missing = {} if missing is None else missing
    identity = cache(folder_identity)  # lists and scan meet the same folders
    found: dict[str, _Found] = {}
    seen: set[str] = set()
    for root in roots:
        if (key := identity(root.path)) in seen:
            continue
        seen.add(key)
        for one in _found_in(root, system, missing):
            key = identity(one.path)
            found[key] = found[key].joined(one) if key in found else one
    ranked, strays = [], []
    for one in found.values():
        profile = one.profile(system) if system.holds(one.path) else None
        if profile is not None:
            ranked.append((one, profile))
        if profile is None or (profile.store is None and store_in(one.path) is not None):
            strays.append(one.stray)
    ranked.sort(key=lambda pair: pair[0].rank(pair[1]))
    return ranked, tuple(strays)


def unlisted_profile(folder: Path, application: str, system: System) -> Profile:
    """The profile that a folder is, when nothing is known but the folder."""
    return _Found(folder, application).profile(system)


@dataclass(frozen=True, slots=True)
class _Found:
    """A folder, and what the places that led to it say about it; the first name is shown."""

    path: Path
    application: str
    names: tuple[str, ...] = ()
    listed: bool = False
    default: bool = False
    install_default: bool = False
    marked_default: bool = False

    def joined(self, other: _Found) -> _Found:
        """The same folder with what another place says; where they disagree, this one is right."""
        return replace(
            self,
            names=tuple(dict.fromkeys((*self.names, *other.names))),
            listed=self.listed or other.listed,
            default=self.default or other.default,
            install_default=self.install_default or other.install_default,
            marked_default=self.marked_default or other.marked_default,
        )

    def profile(self, system: System) -> Profile:
        """The profile, with what its folder tells about itself."""
        # A link in place of a database would have another user's opened under this one's name.
        store = None if leads_out(self.path, system) else store_in(self.path)
        return Profile(
            path=self.path,
            name=next(iter(self.names), self.path.name or str(self.path)),
            application=self.application,
            default=self.default,
            in_use=is_in_use(self.path),
            store=store,
            listed=self.listed,
            last_used=last_start(self.path),
        )

    @property
    def stray(self) -> Profile:
        """The profile, where nothing in its folder may be looked at."""
        name = next(iter(self.names), self.path.name)
        return Profile(self.path, name, self.application, listed=self.listed)

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


def _found_in(root: Root, system: System, missing: dict[PurePath, str]) -> Iterator[_Found]:
    """What a root's lists name and then what its folders hold; a folder may come repeatedly.

    What lists name and is not there is put into `missing`, with the application.
    """
    if root.bare:
        if store_in(root.path) is not None:
            yield _Found(root.path, root.application)
        return
    # First, because where both name a folder, the group's name is the one that Firefox shows.
    yield from _members_in(root, system, missing)
    yield from _listed_in(root, system, missing)
    for parent in (root.path, root.path / "Profiles"):
        for child in subfolders(parent, system):
            if store_in(child) is not None:
                yield _Found(child, root.application)


def _members_in(root: Root, system: System, missing: dict[PurePath, str]) -> Iterator[_Found]:
    if leads_out(root.path / GROUPS_FOLDER, system):
        return
    for path, one in _there(read_group_members(root.path, system), root, system, missing):
        yield _Found(without_climbing(path), root.application, _names(one), listed=True)


def _listed_in(root: Root, system: System, missing: dict[PurePath, str]) -> Iterator[_Found]:
    listed = _there(read_lists(root.path, system), root, system, missing)
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
            application=root.application,
            names=_names(one),
            listed=True,
            default=default,
            install_default=one.install_default,
            marked_default=one.marked_default,
        )


def _names(listed: ListedProfile) -> tuple[str, ...]:
    return (listed.name,) if listed.name else ()


def _there(
    listed: Sequence[ListedProfile], root: Root, system: System, missing: dict[PurePath, str]
) -> list[tuple[Path, ListedProfile]]:
    """The entries whose folders exist, with these."""
    found = []
    for one in listed:
        path = system.brought_home(one.path)
        if path is not None and is_folder(path):
            found.append((path, one))
        else:
            missing[one.path] = root.application
    return found

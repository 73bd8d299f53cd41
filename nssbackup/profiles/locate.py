"""Locate: every profile of every root, listed or not, and those that *Refresh Firefox* left behind.

No list is complete: the members of a group are in no `profiles.ini`, a restored folder is in none
at all, and lists get lost. So the folders of a root are searched too.

A refresh makes a new profile, takes `key4.db` along and leaves `cert9.db`, so only the old profile
has the certificate and its key together. It is moved into a folder called *Old Firefox Data* in the
user's language, on the desktop, or in the home folder if there is no desktop
(mozilla/gecko-dev:browser/components/migration/FirefoxProfileMigrator.sys.mjs and the test of the
refresh). So it is recognised by its files and not by a name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path, PurePath

from nssbackup.identity.model import Profile
from nssbackup.profiles.folder import (
    DATABASES,
    folder_identity,
    is_closed,
    is_in_use,
    last_start,
    leads_out,
    store_in,
    subfolders,
    without_climbing,
)
from nssbackup.profiles.lists import (
    GROUPS_FOLDER,
    ListedProfile,
    read_group_members,
    read_lists,
)
from nssbackup.profiles.roots import CONFIG, Root, application_in, find_roots
from nssbackup.profiles.system import System, path_text
from nssbackup.system.reading import read_bounded

# What a folder outside all known roots belongs to: only its databases are known.
UNKNOWN_APPLICATION = "NSS"

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


def find_profiles(system: System | None = None) -> tuple[Profile, ...]:
    """Return every profile of this user (or of `system`), the likeliest first.

    The order is: in use now, last started, the default of an installation, `Default=1`, the rest;
    then by name. A listed profile without a folder is left out, and so is what can't be read.
    """
    system = system or System.current()
    return search_roots(find_roots(system), system).profiles


@dataclass(frozen=True, slots=True)
class Search:
    """The result of a search.

    Attributes:
        profiles: in the order of `find_profiles`.
        names: of each profile, by its folder, all that lists and groups have for it.
        links_out: profiles in another user's home whose folder, or a file in it, is a link out of
            that home; only their names are known.
        elsewhere: listed folders outside that home, with their application.
    """

    profiles: tuple[Profile, ...]
    names: Mapping[Path, tuple[str, ...]]
    links_out: tuple[Profile, ...]
    elsewhere: Mapping[PurePath, str]


def search_home(system: System) -> Search:
    """Search another user's home for profiles, and say what had to be left out."""
    return search_roots(find_roots(system), system)


def search_roots(roots: Iterable[Root], system: System) -> Search:
    """Search these roots for profiles; each folder is found once."""
    missing: dict[PurePath, str] = {}
    ranked: list[tuple[_Found, Profile]] = []
    links_out: list[Profile] = []
    for one in _each_once(roots, system, missing):
        profile = one.profile(system) if system.holds(one.path) else None
        if profile is not None:
            ranked.append((one, profile))
        if profile is None or (profile.store is None and store_in(one.path) is not None):
            links_out.append(one.unread())
    ranked.sort(key=lambda pair: pair[0].rank(pair[1]))
    profiles = tuple(profile for _, profile in ranked)
    names = {one.path: one.names for one, _ in ranked}
    elsewhere = {}
    if system.confined_to is not None:
        scanned = {one.path for one in links_out}
        for path, application in missing.items():
            if not system.confined_to.names(path):
                elsewhere[path] = application
            elif (folder := Path(path)) not in scanned and not system.holds(folder):
                links_out.append(_Found(folder, application).unread())
    return Search(profiles, names, tuple(links_out), elsewhere)


def _each_once(
    roots: Iterable[Root], system: System, missing: dict[PurePath, str]
) -> Iterable[_Found]:
    """Return what is in the roots, with all that is said of each folder."""
    identity = cache(partial(folder_identity, system=system))  # lists and scan meet the same
    found: dict[str, _Found] = {}
    seen: set[str] = set()
    for root in roots:
        if (key := identity(root.path)) in seen:
            continue
        seen.add(key)
        for one in _found_in(root, system, missing):
            key = identity(one.path)
            found[key] = found[key].joined(one) if key in found else one
    return found.values()


def unlisted_profile(folder: Path, application: str, system: System) -> Profile:
    """Return the profile in a folder about which nothing else is known."""
    return _Found(folder, application).profile(system)


@dataclass(frozen=True, slots=True)
class _Found:
    """A folder, and what the lists that led to it say about it; the first name is shown."""

    path: Path
    application: str
    names: tuple[str, ...] = ()
    listed: bool = False
    default: bool = False
    install_default: bool = False
    marked_default: bool = False

    def joined(self, other: _Found) -> _Found:
        """Return the folder with what another list says; if they disagree, this one counts."""
        return replace(
            self,
            names=tuple(dict.fromkeys((*self.names, *other.names))),
            listed=self.listed or other.listed,
            default=self.default or other.default,
            install_default=self.install_default or other.install_default,
            marked_default=self.marked_default or other.marked_default,
        )

    def profile(self, system: System) -> Profile:
        """Return the profile, with what its folder tells."""
        # With a link in place of a database, another user's would be opened under this one's name.
        out = leads_out(self.path, system)
        store = None if out else store_in(self.path)
        return Profile(
            path=self.path,
            name=next(iter(self.names), self.path.name or str(self.path)),
            application=self.application,
            default=self.default,
            in_use=is_in_use(self.path),
            store=store,
            listed=self.listed,
            last_used=last_start(self.path),
            closed=store is None and not out and is_closed(self.path),
        )

    def unread(self) -> Profile:
        """Return the profile without looking into its folder."""
        name = next(iter(self.names), self.path.name)
        return Profile(self.path, name, self.application, listed=self.listed)

    def rank(self, profile: Profile) -> tuple[bool, float, bool, bool, str, str]:
        """Return the sort key of `profile`, which was made of this: the smallest is likeliest."""
        return (
            profile.in_use is not True,
            -(profile.last_used or 0.0),
            not self.install_default,
            not self.marked_default,
            profile.name,
            str(profile.path),
        )


def _found_in(root: Root, system: System, missing: dict[PurePath, str]) -> Iterator[_Found]:
    """Yield what the lists of a root name, then what its folders hold; folders may repeat.

    Listed folders that don't exist are added to `missing`, with the application.
    """
    if root.bare:
        if store_in(root.path) is not None:
            yield _Found(root.path, root.application)
        return
    # Groups first: if both name a folder, Firefox shows the group's name.
    yield from _members_in(root, system, missing)
    yield from _listed_in(root, system, missing)
    for parent in (root.path, root.path / "Profiles"):
        for child in subfolders(parent, system):
            if store_in(child) is not None:
                yield _Found(child, root.application)


def _members_in(root: Root, system: System, missing: dict[PurePath, str]) -> Iterator[_Found]:
    if leads_out(root.path / GROUPS_FOLDER, system):
        return
    for path, one in _existing(read_group_members(root.path, system), root, system, missing):
        yield _found(path, root, one, system)


def _listed_in(root: Root, system: System, missing: dict[PurePath, str]) -> Iterator[_Found]:
    listed = _existing(read_lists(root.path, system), root, system, missing)
    # As nsToolkitProfileService.cpp chooses: an install's default, else the one marked, else the
    # only one. Which install will be started is unknown, so each one's default counts.
    by_install = any(one.install_default for _, one in listed)
    by_mark = any(one.marked_default for _, one in listed)
    alone = len({path for path, _ in listed}) == 1
    for path, one in listed:
        found = _found(path, root, one, system)
        marked = found.marked_default if by_mark else alone
        yield replace(found, default=found.install_default if by_install else marked)


def _found(path: Path, root: Root, listed: ListedProfile, system: System) -> _Found:
    return _Found(
        path=without_climbing(path, system),
        application=root.application,
        names=(listed.name,) if listed.name else (),
        listed=True,
        install_default=listed.install_default,
        marked_default=listed.marked_default,
    )


def _existing(
    listed: Sequence[ListedProfile], root: Root, system: System, missing: dict[PurePath, str]
) -> list[tuple[Path, ListedProfile]]:
    """Return the entries whose folders exist, with these folders."""
    found = []
    for one in listed:
        path = system.translate(one.path)
        if path is not None and os.path.isdir(path):
            found.append((path, one))
        else:
            missing[one.path] = root.application
    return found


def find_left_behind(system: System | None = None) -> tuple[Profile, ...]:
    """Return every profile that a refresh left behind and no list names, the last used first.

    Links to folders are not followed.
    """
    system = system or System.current()
    known = {folder_identity(profile.path, system) for profile in find_profiles(system)}
    found: dict[str, Profile] = {}
    for container, folder in islice(_candidates(system), TOTAL_LIMIT):
        # As text, because there may be thousands of them.
        if not any(os.path.isfile(os.path.join(folder, name)) for name in _CERTIFICATES):
            continue
        path = Path(folder)
        # Windows has junctions besides links, so the home is checked once more.
        if system.holds(path) and (key := folder_identity(path, system)) not in known:
            application = application_in(container) or _APPLICATION
            found.setdefault(key, unlisted_profile(path, application, system))
    return tuple(sorted(found.values(), key=lambda one: -(one.last_used or 0.0)))


def _candidates(system: System) -> Iterator[tuple[str, str]]:
    """Yield each folder that may be an old profile, with the name of the folder that it is in."""
    seen: set[str] = set()
    for place in (*_desktops(system), Path(system.home)):
        if (key := folder_identity(place, system)) in seen:
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
        for folder in onedrives(system):
            yield from islice(subfolders(folder, system), _FOLDERS_IN_ONEDRIVE)


def onedrives(system: System) -> Iterator[Path]:
    """Yield each folder that may be a OneDrive; it need not exist, and may come repeatedly."""
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

"""Resolve: the profiles that `--profile NAME|PATH` names, and the profile to restore to."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nssbackup.errors import NoProfileError, NoStoreError, UnreadableStoreError
from nssbackup.identity.model import Profile
from nssbackup.profiles.folder import (
    DATABASES,
    INSTALLS_LIST,
    PROFILES_LIST,
    closed_folder,
    folder_identity,
    is_closed,
    is_root,
    store_in,
    without_climbing,
)
from nssbackup.profiles.locate import (
    UNKNOWN_APPLICATION,
    Search,
    find_profiles,
    search_roots,
    unlisted_profile,
)
from nssbackup.profiles.roots import Root, find_roots
from nssbackup.profiles.system import System

_DATABASE_NAMES = frozenset(name for names in DATABASES.values() for name in names)
_LIST_NAMES = frozenset({PROFILES_LIST, INSTALLS_LIST})

# How far below a folder profiles are looked for, such as on another disk.
_LEVELS, _MOST_FOLDERS = 10, 10_000

# More names than this would not fit a hint of one line.
_NAMES_IN_HINT = 8


def resolve_profiles(
    texts: Iterable[str], system: System | None = None, *, need_store: bool = True
) -> tuple[Profile, ...]:
    """Return the profiles that texts name, each once, in their order.

    A text is the first of these that fits:

    1. the name of a profile that `find_profiles` finds, or of its folder; all that have it are
       returned. A profile with one name in its group and another in `profiles.ini` has both;
    2. a path to a folder with NSS databases, or to one of the databases;
    3. a path to a root or to its `profiles.ini`, which means all the profiles of that root;
    4. a path to a folder above profiles, up to ten levels, which means all of them.

    A relative path starts in the current folder (`./work` is never a name), and a leading `~` is
    the home folder. A folder that `find_profiles` finds is returned as found there. Unless
    `need_store`, a folder without an NSS database, or one that may not be read, is a profile too.

    Raises:
        NoProfileError: nothing fits; the hint names the profiles that were found.
        NoStoreError: what fits holds no NSS database.
        UnreadableStoreError: what fits is a folder that this user may not look into.
    """
    system = system or System.current()
    roots = list(find_roots(system))
    search = search_roots(roots, system)
    known = {folder_identity(profile.path, system): profile for profile in search.profiles}
    resolver = _Resolver(system, roots, search, known, need_store)
    found = (profile for text in texts for profile in resolver.named_by(text))
    return tuple({profile.path: profile for profile in found}.values())


def find_targets(name_or_path: str | None, system: System | None = None) -> tuple[Profile, ...]:
    """Return the profiles that can be restored to: those named, or by default the default ones.

    They need not have databases. Firefox's default profiles win over those of other applications.

    Raises:
        NoProfileError: nothing fits.
    """
    if name_or_path is not None:
        return resolve_profiles([name_or_path], system, need_store=False)
    known = find_profiles(system)
    defaults = [one for one in known if one.default]
    of_firefox = [one for one in defaults if one.application == "Firefox"]
    if found := of_firefox or defaults or list(known):
        return tuple(found)
    message = "no profile was found"
    hint = "start Firefox once, which makes one, or name a folder with `--profile PATH`"
    raise NoProfileError(message, hint=hint)


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Finds what texts name among the profiles of one search."""

    system: System
    roots: Sequence[Root]
    search: Search
    known: Mapping[str, Profile]
    need_store: bool

    def named_by(self, text: str) -> Sequence[Profile]:
        """Return the profiles that a text names, in the order of the search."""
        if not text:
            raise self._nothing_fits(text)
        if named := self._with_name(text):
            return self._with_store(named)
        path = Path(os.path.expanduser(text)).absolute()
        folder, as_root = _pointed_at(path)
        if not os.path.isdir(folder):
            raise self._nothing_fits(text)
        return self._in_folder(without_climbing(folder, self.system), as_root=as_root)

    def _with_name(self, text: str) -> list[Profile]:
        wanted = _composed(text)
        return [
            one
            for one in self.search.profiles
            if wanted in map(_composed, (one.name, one.path.name, *self.search.names[one.path]))
        ]

    def _in_folder(self, folder: Path, *, as_root: bool) -> Sequence[Profile]:
        """Return the profile in a folder, or with `as_root` the profiles below it."""
        application = self._application_of(folder)
        inside: Sequence[Profile] = ()
        if as_root:
            inside = search_roots((Root(application, folder),), self.system).profiles
            if all(one.store is None for one in inside):
                below = _with_databases(folder)
                found = tuple(unlisted_profile(one, application, self.system) for one in below)
                inside = found or inside
        if not inside:
            inside = (unlisted_profile(folder, application, self.system),)
        return self._with_store(
            [self.known.get(folder_identity(one.path, self.system), one) for one in inside]
        )

    def _application_of(self, folder: Path) -> str:
        """Return the application of the innermost root that holds the folder."""
        inner = Path(folder_identity(folder, self.system))
        roots = [
            (Path(folder_identity(root.path, self.system)), root.application) for root in self.roots
        ]
        around = [(len(top.parts), name) for top, name in roots if inner.is_relative_to(top)]
        return max(around, default=(0, UNKNOWN_APPLICATION), key=lambda one: one[0])[1]

    def _with_store(self, profiles: Sequence[Profile]) -> Sequence[Profile]:
        """Return the profiles if any of them has databases, or need not have any."""
        if self.need_store and all(one.store is None for one in profiles):
            raise _no_store(profiles[0].path)
        return profiles

    def _nothing_fits(self, text: str) -> NoProfileError:
        message = f"no profile is called `{text}`, and no folder has this path"
        names = list(dict.fromkeys(one.name for one in self.search.profiles))
        if not names:
            hint = "no profile was found for this user; give the path of the folder that holds one"
            return NoProfileError(message, hint=hint)
        listing = ", ".join(f"`{name}`" for name in names[:_NAMES_IN_HINT])
        more = len(names) - _NAMES_IN_HINT
        hint = f"these were found: {listing}" + (f" and {more} more" if more > 0 else "")
        return NoProfileError(message, hint=hint)


def _with_databases(top: Path) -> Iterator[Path]:
    """Yield the folders with databases below a folder; no link is followed."""
    deepest = len(top.parts) + _LEVELS
    for folder, folders, files in islice(os.walk(top), _MOST_FOLDERS):
        if not _DATABASE_NAMES.isdisjoint(files):
            yield Path(folder)
            folders.clear()
        elif len(Path(folder).parts) >= deepest:
            folders.clear()


def _composed(name: str) -> str:
    # macOS decomposes umlauts in the names of folders, keyboards don't.
    return unicodedata.normalize("NFC", name)


def _pointed_at(path: Path) -> tuple[Path, bool]:
    """Return the folder that a path means, and whether it means all the profiles in it."""
    if not os.path.isdir(path):
        if path.name in _DATABASE_NAMES:
            return path.parent, False
        if path.name in _LIST_NAMES:
            return path.parent, True
    # A tool that was run in the wrong folder may have made a store in a root.
    return path, is_root(path) or store_in(path) is None


def _no_store(folder: Path) -> NoStoreError | UnreadableStoreError:
    if is_closed(folder):
        return closed_folder(folder)
    message = f"there is no NSS database in `{folder}`"
    hint = "give the folder that holds `cert9.db` and `key4.db`, or leave `--profile` out"
    return NoStoreError(message, hint=hint)

"""The users whose homes and profiles lie under the roots.

Nothing is opened here; their profiles are searched for later, user by user.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from nssbackup.batch.layout import folded, folder_of_user, user_of_home
from nssbackup.batch.obstacles import obstacles, unreadable
from nssbackup.batch.options import Roots
from nssbackup.errors import NoProfileError, NssBackupError
from nssbackup.profiles.folder import is_root, store_in
from nssbackup.profiles.roots import candidate_roots, find_roots
from nssbackup.profiles.system import Confinement, System

# Folders beside the homes that belong to nobody: of Windows, macOS, ext4, and automounters.
_NO_HOMES = frozenset(
    {
        *("public", "default", "default user", "all users", "defaultuser0", "wdagutilityaccount"),
        *("shared", "guest", "lost+found"),
    }
)
# Nobody has more homes in one place; this ends the listing of a data dump.
_MOST_CHILDREN = 1_000_000
# The folders between a home and the profiles of an application.
_APPLICATION_FOLDERS = frozenset(
    {
        *("appdata", "roaming", "local", "library", "application support"),
        *("mozilla", ".mozilla", "firefox", "thunderbird", ".thunderbird"),
    }
)
_APPDATA = "AppData/Roaming"
_MOUNT_POINT = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT in winnt.h


@dataclass(frozen=True, slots=True)
class Source:
    """A home, or a profile folder named by itself.

    Attributes:
        is_application: whether the folder is not a whole home but the one of an application, with
            its list of profiles, as in %APPDATA% that is redirected to a share.
        inside: the user's folder around it, which no link may lead out of; None for the folder
            itself.
    """

    user: str
    path: Path
    is_home: bool
    root: str = ""
    is_application: bool = False
    inside: Path | None = None

    @property
    def owned(self) -> Path:
        """The folder whose owner's rights are taken: root's would protect from nothing."""
        try:
            return self.inside if self.inside and self.inside.stat().st_uid else self.path
        except OSError:
            return self.path

    @property
    def system(self) -> System:
        """What the search for profiles has to know."""
        if not self.is_application:
            return System.of_home(self.path)
        # The variable holds a path of this machine, whose system has to read it.
        system = System.of_home(self.path, "win32" if sys.platform == "win32" else None)
        return replace(
            system,
            environment=MappingProxyType({"MOZ_APP_DATA": str(self.path)}),
            confined_to=Confinement(self.inside or self.path),
        )


@dataclass(frozen=True, slots=True)
class User:
    """Everything whose files go into one folder: a user's homes and profiles.

    Homes of the same name count as one user's: a local one and one on a share, say. If they are
    two people's, their files are still told apart by the certificates. `roots` are all those of
    this run that could be read.
    """

    folder: str
    sources: tuple[Source, ...]
    roots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnusableRoot:
    """A root that can't be read, or that holds no home and no profile."""

    path: Path
    error: NssBackupError


def find_users(
    roots: Roots, known: Iterable[str] = (), exclude: Iterable[str] = ()
) -> tuple[tuple[User, ...], tuple[UnusableRoot, ...]]:
    """Return the users under some roots, in the order of their folders, and the unusable roots.

    Args:
        roots: where to look.
        known: the user folders that exist already, whose spelling is kept.
        exclude: in any letter case.
    """
    found: dict[str, Source] = {}
    usable: list[str] = []
    unusable: list[UnusableRoot] = []
    excluded = {name.casefold() for name in exclude}
    for given, sources_in in (
        *((path, _recognised) for path in roots.any_kind),
        *((path, _home) for path in roots.homes),
        *((path, _homes) for path in roots.parents),
    ):
        path = normalised(given)
        try:
            for source in sources_in(path):
                if source.user.casefold() not in excluded:
                    under = replace(source, root=str(path))
                    found.setdefault(os.path.normcase(source.path), under)
            usable.append(str(path))
        except OSError as error:
            unusable.append(UnusableRoot(path, unreadable(path, error)))
        except NssBackupError as error:
            unusable.append(UnusableRoot(path, error))
    return _grouped(found.values(), known, tuple(usable)), tuple(unusable)


def normalised(path: Path) -> Path:
    """Return a path that is absolute and without `..`; links stay as they are."""
    return Path(os.path.abspath(path))


def _grouped(
    sources: Iterable[Source], known: Iterable[str], roots: tuple[str, ...]
) -> tuple[User, ...]:
    spelling = {folded(folder): folder for folder in sorted(known, reverse=True)}
    groups: dict[str, list[Source]] = {}
    for source in sources:
        folder = folder_of_user(source.user)
        key = folded(folder)
        spelling.setdefault(key, folder)
        groups.setdefault(key, []).append(source)
    return tuple(User(spelling[key], tuple(group), roots) for key, group in sorted(groups.items()))


def _home(path: Path) -> Iterator[Source]:
    with os.scandir(path):  # raises if it can't be read
        yield Source(user_of_home(path.name) or str(path), path, is_home=True)


def _homes(path: Path) -> Iterator[Source]:
    homes = [
        child
        for child in _folders(path)
        if child.name.casefold() not in _NO_HOMES and not child.name.startswith(".")
    ]
    if not homes:
        message = f"there is no home in `{path}`"
        raise NoProfileError(message, hint="is the share connected, and the image mounted?")
    for home in homes:
        yield Source(user_of_home(home.name), home, is_home=True)


def _recognised(path: Path) -> Iterator[Source]:
    """Yield what a root is: a profile, a home, or the profiles and homes in it."""
    found = _sources_at(path)
    if found:
        yield from found
        return
    inside = [
        source
        for child in _folders(path)
        if child.name.casefold() not in _NO_HOMES
        for source in _sources_in(child)
    ]
    if not inside:
        message = f"`{path}` is neither a home nor a profile, and contains none"
        hint = "name a home without profiles with `--home`, a folder of homes with `--homes`"
        raise NoProfileError(message, hint=hint)
    yield from inside


def _sources_in(path: Path) -> list[Source]:
    try:
        return _sources_at(path)
    except (OSError, NssBackupError):  # reported when it is this one's turn
        return [Source(user_of_home(path.name), path, is_home=True)]


def _sources_at(path: Path) -> list[Source]:
    """Return what a folder itself is: a profile, an application's folder, a home or an AppData."""
    with os.scandir(path):  # raises if it can't be read
        pass
    name = user_of_home(path.name) or str(path)
    if store_in(path) is not None:
        return [Source(path.name or str(path), path, is_home=False)]
    if is_root(path):
        around = _user_folder(path)
        user = user_of_home(around.name) or str(path)
        return [Source(user, path, is_home=True, is_application=True, inside=around)]
    home = Source(name, path, is_home=True)
    # A folder that can't be looked into may hide a profile.
    if next(find_roots(home.system), None) is not None or obstacles(home.system):
        return [home]
    windows = System.of_home(path, "win32")
    return [
        Source(name, path / one.below, is_home=True, is_application=True, inside=path)
        for one in candidate_roots(windows)
        if one.base == windows.home / _APPDATA and is_root(path / one.below)
    ]


def _user_folder(path: Path) -> Path:
    """Return `anna` of `anna/Mozilla/Firefox`: the first not called like an application."""
    around = (path, *path.parents)
    named = (one for one in around if one.name and one.name.casefold() not in _APPLICATION_FOLDERS)
    return next(named, path)


def _folders(path: Path) -> Sequence[Path]:
    """Return the folders in a folder by name, without links (and junctions, on Windows)."""
    with os.scandir(path) as entries:
        names = [
            entry.name
            for entry in islice(entries, _MOST_CHILDREN)
            if entry.is_dir(follow_symlinks=False) and not _is_junction(entry)
        ]
    return [path / name for name in sorted(names)]


def _is_junction(entry: os.DirEntry[str]) -> bool:
    # os.DirEntry.is_junction came with Python 3.12.
    if not hasattr(os.stat_result, "st_reparse_tag"):
        return False
    return getattr(entry.stat(follow_symlinks=False), "st_reparse_tag", 0) == _MOUNT_POINT

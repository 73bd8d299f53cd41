"""Watch: the paths that a user's profiles were found by, and those that kept us out.

As long as none of these folders and lists is touched, the same profiles are there, and nobody has
to look for them again.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from itertools import takewhile
from pathlib import Path

from nssbackup.identity.model import Profile
from nssbackup.profiles.folder import DATABASES, INSTALLS_LIST, PROFILES_LIST, store_in
from nssbackup.profiles.groups import GROUPS_FOLDER
from nssbackup.profiles.left_behind import NOT_IN_HOME, desktops, settings_files
from nssbackup.profiles.roots import candidate_roots
from nssbackup.profiles.system import System

_JOURNALS = ("", "-journal", "-wal")
# Folders and links that a home may have thousands of: such a home is looked through every night.
MOST_PATHS = 1_000


@dataclass(slots=True)
class Watch:
    """What the search for the profiles of a home depends on.

    Attributes:
        system: the home's.
        paths: folders and files; any of them may be missing.
        closed: the folders that could not be looked into, with the reason.
        outside: the links on the way that lead out of the home, with the applications whose
            profiles may be behind them.
    """

    system: System
    paths: dict[str, None] = field(default_factory=dict)
    closed: dict[str, OSError] = field(default_factory=dict)
    outside: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of_search(cls, system: System) -> Watch:
        """What `find_profiles` looks at."""
        watch = cls(system)
        seen: set[tuple[str, str]] = set()
        for candidate in candidate_roots(system):
            watch.paths[str(candidate.base)] = None
            steps = candidate.below.split("/")
            way_out = watch._follow(str(candidate.base), steps, seen)
            for link in way_out:
                watch.outside.setdefault(link, set()).add(candidate.application)
        return watch

    def add_left_behind(self) -> None:
        """What `find_left_behind` looks at as well."""
        if self.system.platform == "linux":
            self.paths.update(dict.fromkeys(map(str, settings_files(self.system))))
        for place in {os.fspath(one): None for one in (*desktops(self.system), self.system.home)}:
            self.paths[place] = None
            for child in self._folders(place):
                name = os.path.basename(child)  # noqa: PTH119 - as text
                if not name.startswith(".") and name not in NOT_IN_HOME:
                    self.paths[child] = None

    @property
    def small(self) -> bool:
        """Whether it is less work to look at these than to search."""
        return len(self.paths) <= MOST_PATHS

    def _follow(self, path: str, below: list[str], seen: set[tuple[str, str]]) -> Iterator[str]:
        """Note the folders on the way to a root, as far as they are there, and then the root.

        Yields the links that lead out of the home instead.
        """
        key = (path, "/".join(below))
        if key in seen:
            return
        if not self._is_folder(path):
            if self._leads_out(path, below):
                yield path
            return
        seen.add(key)
        self.paths[path] = None
        if not below:
            self._root(path)
            return
        name, rest = below[0], below[1:]
        if not name:
            yield from self._follow(path, rest, seen)
        elif _is_pattern(name):
            fits = re.compile(translate(name), re.IGNORECASE).match
            for child in self._folders(path):
                if fits(os.path.basename(child)):  # noqa: PTH119 - as text
                    yield from self._follow(child, rest, seen)
        else:
            yield from self._follow(os.path.join(path, name), rest, seen)  # noqa: PTH118 - as text

    def _leads_out(self, path: str, below: list[str]) -> bool:
        """Whether a link leads out of the home to what may be a root, or nowhere at present."""
        if not os.path.islink(path) or self.system.holds(Path(path)):  # noqa: PTH114 - as text
            return False
        known = takewhile(lambda name: not _is_pattern(name), below)
        return not os.path.exists(path) or os.path.isdir(os.path.join(path, *known))  # noqa: PTH110, PTH112, PTH118 - as text

    def _root(self, path: str) -> None:
        groups = os.path.join(path, GROUPS_FOLDER)  # noqa: PTH118 - as text
        lists = (os.path.join(path, name) for name in (PROFILES_LIST, INSTALLS_LIST))  # noqa: PTH118 - as text
        self.paths.update(dict.fromkeys((*lists, groups, *self._files(groups))))
        for parent in (path, os.path.join(path, "Profiles")):  # noqa: PTH118 - as text
            if self._is_folder(parent):
                self.paths[parent] = None
                for child in self._folders(parent):
                    # Firefox makes and removes files in a profile all the time; of a profile
                    # that has them, the databases are watched.
                    if store_in(Path(child)) is None:
                        self.paths[child] = None
                        self._entered(child)

    def _entered(self, path: str) -> None:
        """Note a folder that may be a profile if it can't be looked into."""
        if self.system.holds(Path(path)):
            try:
                with os.scandir(path):
                    pass
            except OSError as error:
                self.closed[path] = error

    def _folders(self, path: str) -> list[str]:
        return [child for child, is_folder in self._entries(path) if is_folder]

    def _files(self, path: str) -> list[str]:
        return [child for child, is_folder in self._entries(path) if not is_folder]

    def _entries(self, path: str) -> Iterator[tuple[str, bool]]:
        if not self.system.holds(Path(path)):
            return
        try:
            with os.scandir(path) as entries:
                for _, entry in zip(range(MOST_PATHS), entries, strict=False):
                    yield entry.path, entry.is_dir(follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            self.closed[path] = error

    def _is_folder(self, path: str) -> bool:
        try:
            found = stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - as text
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return False
        except OSError as error:
            if self.system.holds(Path(path)):
                self.closed[os.path.dirname(path)] = error  # noqa: PTH120 - as text
            return False
        return found and self.system.holds(Path(path))


def _is_pattern(name: str) -> bool:
    return "*" in name or "[" in name


def databases_of(profiles: Iterable[Profile]) -> Iterator[str]:
    """The files whose change is a change of what the profiles hold, with those that may come."""
    for profile in profiles:
        folder = str(profile.path)
        if profile.store is None:
            yield folder
        for names in DATABASES.values():
            for name in names:
                for journal in _JOURNALS:
                    yield os.path.join(folder, name + journal)  # noqa: PTH118 - as text
            if profile.store == "sqlite":
                break  # the older pair is not read where the current one is

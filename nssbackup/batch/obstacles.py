"""What keeps the search out of a home: closed folders, and links that lead out of it.

The search passes over both. A batch reports them, because a profile may be behind them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache
from itertools import islice
from pathlib import Path

from nssbackup.errors import NssBackupError, UnreadableStoreError, reason
from nssbackup.profiles.folder import store_in
from nssbackup.profiles.roots import candidate_roots
from nssbackup.profiles.system import System
from nssbackup.system.ownership import refusal_hint

# Among the modes of paths: a link out of the home.
_LEADS_OUT = -1
# This ends the search of a folder that is a data dump.
_MOST_CHILDREN = 1_000


@dataclass(slots=True)
class Obstacles:
    """The folders and links of a home that may hide a profile.

    Attributes:
        closed: folders that can't be looked into, with the reason.
        links_out: links out of the home, with the applications whose profiles may be behind them.
    """

    system: System
    closed: dict[Path, OSError] = field(default_factory=dict)
    links_out: dict[Path, set[str]] = field(default_factory=dict)
    _modes: dict[str, int] = field(default_factory=dict)
    _roots: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.closed or self.links_out)

    def follow(self, path: str, below: tuple[str, ...], application: str) -> None:
        """Walk from a folder of the home down to the roots that names and patterns lead to."""
        # As text: there are some fifty places in each of thousands of homes.
        for number, name in enumerate(below):
            if not stat.S_ISDIR(self._mode(path, below[number:], application)):
                return
            if _is_pattern(name):
                fits = re.compile(translate(name), re.IGNORECASE).match
                for child in self._folders(path):
                    if fits(child):
                        self.follow(os.path.join(path, child), below[number + 1 :], application)
                return
            path = os.path.join(path, name)
        if stat.S_ISDIR(self._mode(path, (), application)) and path not in self._roots:
            self._roots.add(path)
            self._look_into_root(Path(path))

    def _mode(self, path: str, below: Sequence[str], application: str) -> int:
        """Return the mode of what lies at a path; 0 if nothing does, or nothing of this home."""
        if path not in self._modes:
            self._modes[path] = self._asked_mode(path)
        if self._modes[path] == _LEADS_OUT:
            if _may_lead_to_profiles(Path(path), below):
                self.links_out.setdefault(Path(path), set()).add(application)
            return 0
        return self._modes[path]

    def _asked_mode(self, path: str) -> int:
        try:
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                return mode
            return os.stat(path).st_mode if self.system.holds(Path(path)) else _LEADS_OUT
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return 0
        except OSError as error:
            self.closed[Path(path).parent] = error
            return 0

    def _look_into_root(self, root: Path) -> None:
        for parent in (root, root / "Profiles"):
            if self.system.holds(parent):
                for child in self._folders(str(parent)):
                    if store_in(parent / child) is None:
                        self._folders(str(parent / child))

    def _folders(self, path: str) -> list[str]:
        """Return the names of the folders in a folder, without links; note it if it is closed."""
        try:
            with os.scandir(path) as entries:
                return [
                    entry.name
                    for entry in islice(entries, _MOST_CHILDREN)
                    if entry.is_dir(follow_symlinks=False)
                ]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.closed[Path(path)] = error
            return []


def obstacles(system: System) -> Obstacles:
    """Return what may hide profiles in another user's home."""
    found = Obstacles(system)
    holds = cache(system.holds)
    for candidate in candidate_roots(system):
        base = Path(candidate.base)
        if base == system.home or holds(base.parent):
            below = tuple(name for name in candidate.below.split("/") if name)
            found.follow(str(base), below, candidate.application)
    return found


def unreadable(path: Path, error: OSError) -> NssBackupError:
    """Return what to say of a folder that the operating system keeps us out of."""
    message = f"`{path}` can't be read: {reason(error)}"
    hint = None
    if isinstance(error, PermissionError):
        hint = refusal_hint(path)
    elif isinstance(error, FileNotFoundError):
        hint = "is the share connected, and the image mounted?"
    return UnreadableStoreError(message, hint=hint)


def leads_out(path: Path) -> NssBackupError:
    """Return what to say of a link that is not followed."""
    message = f"`{path}`, or a file in it, is a link out of the home, and was not followed"
    return UnreadableStoreError(message, hint="name the folder that it leads to as another ROOT")


def _may_lead_to_profiles(path: Path, below: Sequence[str]) -> bool:
    """Tell whether a link leads to what may be a root, or nowhere at present."""
    if not os.path.islink(path):
        return False
    known = below[: next((n for n, name in enumerate(below) if _is_pattern(name)), len(below))]
    return not os.path.exists(path) or os.path.isdir(path.joinpath(*known))


def _is_pattern(name: str) -> bool:
    return "*" in name or "[" in name

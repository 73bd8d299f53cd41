"""What keeps the search out of a home: closed folders, and links that lead out of it.

The search passes over both. A batch reports them, because a profile may be behind them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
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
    _seen: set[tuple[Path, tuple[str, ...]]] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.closed or self.links_out)

    def follow(self, path: Path, below: tuple[str, ...], application: str) -> None:
        """Walk from a folder of the home down to the roots that names and patterns lead to."""
        if (path, below) in self._seen:
            return
        self._seen.add((path, below))
        if not stat.S_ISDIR(self._mode(path, below, application)):
            return
        if not below:
            self._look_into_root(path)
        elif _is_pattern(below[0]):
            fits = re.compile(translate(below[0]), re.IGNORECASE).match
            for child in self._folders(path):
                if fits(child.name):
                    self.follow(child, below[1:], application)
        else:
            self.follow(path / below[0], below[1:], application)

    def _mode(self, path: Path, below: Sequence[str], application: str) -> int:
        """Return the mode of what lies at a path; 0 if nothing does, or nothing of this home."""
        try:
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode):
                return mode
            if self.system.holds(path):
                return path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return 0
        except OSError as error:
            self.closed[path.parent] = error
            return 0
        if _may_lead_to_profiles(path, below):
            self.links_out.setdefault(path, set()).add(application)
        return 0

    def _look_into_root(self, root: Path) -> None:
        for parent in (root, root / "Profiles"):
            if self.system.holds(parent):
                for child in self._folders(parent):
                    if store_in(child) is None:
                        list(self._folders(child))

    def _folders(self, path: Path) -> Iterator[Path]:
        """Yield the folders in a folder, without links; note it if it is closed."""
        try:
            with os.scandir(path) as entries:
                found = [
                    entry.name
                    for entry in islice(entries, _MOST_CHILDREN)
                    if entry.is_dir(follow_symlinks=False)
                ]
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self.closed[path] = error
            return
        yield from (path / name for name in found)


def obstacles(system: System) -> Obstacles:
    """Return what may hide profiles in another user's home."""
    found = Obstacles(system)
    holds = cache(system.holds)
    for candidate in candidate_roots(system):
        base = Path(candidate.base)
        if base == system.home or holds(base.parent):
            below = tuple(name for name in candidate.below.split("/") if name)
            found.follow(base, below, candidate.application)
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
    if not os.path.islink(path):  # noqa: PTH114 - Path's own raises for a NUL in it
        return False
    known = below[: next((n for n, name in enumerate(below) if _is_pattern(name)), len(below))]
    return not os.path.exists(path) or os.path.isdir(path.joinpath(*known))  # noqa: PTH110, PTH112 - as above


def _is_pattern(name: str) -> bool:
    return "*" in name or "[" in name

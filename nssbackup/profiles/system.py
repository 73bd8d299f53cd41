"""System: what the search has to know about the machine, as one value.

The search takes it as a parameter, so that the rules of all three systems run on any of them, and
so that the home folder may be another user's: one on this machine, in a backup, on a mounted disk.
What such a home says of itself is not trusted: nothing outside it is looked into.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Literal

from nssbackup.profiles.folder import is_folder

Platform = Literal["linux", "darwin", "win32"]

# Folders by which a home tells whose rules apply to it. `AppData` or `Library` alone would not do:
# people have folders of their own by such names.
_MARKS: tuple[tuple[Platform, str], ...] = (
    ("win32", "AppData/Roaming"),
    ("win32", "AppData/Local"),
    ("darwin", "Library/Application Support"),
    ("darwin", "Library/Preferences"),
    ("darwin", "Library/Thunderbird"),
)

# A profile's folder lies a handful of folders below its home.
_TAIL_LIMIT = 40


@dataclass(frozen=True, slots=True)
class System:
    """A platform, a user's home folder and that user's environment.

    Attributes:
        platform: whose rules apply; "linux" stands for every Unix but macOS.
        home: the user's home folder. Its class decides how paths are written: a
            `PureWindowsPath` gives Windows paths anywhere, for looking at but not for opening.
        environment: the environment variables.
        ansi: the codec of Windows' ANSI code page, which old lists were written in. Python has
            "mbcs" on Windows only; no other platform asks for it.
        confined_to: for another user's home, the real path of it, out of which nothing may lead;
            None for the home of the user who runs this.
    """

    platform: Platform
    home: PurePath
    environment: Mapping[str, str]
    ansi: str = "mbcs"
    confined_to: str | None = None

    @classmethod
    def current(cls) -> System:
        """The machine, user and environment of this process."""
        # Not Path.home(): that raises where no home is known, and this merely finds nothing.
        home = Path(os.path.expanduser("~")).absolute()  # noqa: PTH111
        return cls(_platform(sys.platform), home, MappingProxyType(dict(os.environ)))

    @classmethod
    def of_home(cls, home: Path, platform: Platform | None = None) -> System:
        """The system of whoever owns a home folder; `platform` None: told from what it holds.

        The environment is empty, because that user's is not known and this one's is another's.
        """
        home = home.absolute()
        return cls(
            platform=platform or _platform_of(home),
            home=home,
            environment=MappingProxyType({}),
            # Elsewhere than on Windows that user's code page is not known; this one is the widest
            # spread, and it has a letter for nearly every byte.
            ansi="mbcs" if sys.platform == "win32" else "cp1252",
            confined_to=os.path.realpath(home),
        )

    def path(self, text: str) -> PurePath:
        """`text` as a path of this system."""
        if self.confined_to is None:
            return type(self.home)(text)
        return PureWindowsPath(text) if self.platform == "win32" else PurePosixPath(text)

    def holds(self, path: Path) -> bool:
        """Whether a path may be looked at; False for what leads out of another user's home."""
        if self.confined_to is None:
            return True
        try:
            # Nothing is asked about a path that says itself where it leads: on Windows that may be
            # another computer.
            return self.names(path) and _is_below(os.path.realpath(path), self.confined_to)
        except (OSError, ValueError):  # ValueError: what can't be a path, as with a NUL in it
            return False

    def brought_home(self, path: PurePath) -> Path | None:
        """Where the folder lies that a list names; None for nowhere that may be looked at.

        In another user's home an absolute path means the machine that it was written on. Where it
        doesn't name a folder in the home as it stands, ever shorter ends of it are tried there.
        """
        if self.confined_to is None:
            return Path(path)
        candidates = (one for one in self._candidates(path) if self.holds(one) and is_folder(one))
        return next(candidates, None)

    def _candidates(self, path: PurePath) -> Iterator[Path]:
        ours = isinstance(path, PureWindowsPath) == (os.name == "nt")
        if ours and path.is_absolute() and self.names(path):
            yield Path(path)
            return
        names = path.parts[1:] if path.anchor else path.parts
        if ".." in names:
            names = names[len(names) - names[::-1].index("..") :]
        for start in range(max(0, len(names) - _TAIL_LIMIT), len(names)):
            yield Path(self.home).joinpath(*names[start:])

    def names(self, path: PurePath) -> bool:
        """Whether a path is one of a place in another user's home, links aside."""
        lexically = os.path.abspath(path)  # noqa: PTH100 - it follows no link
        return any(_is_below(lexically, top) for top in (str(self.home), self.confined_to or ""))


def path_text(raw: bytes) -> str:
    """The bytes of a Unix path as the text by which Python opens it."""
    # On Windows os.fsdecode raises for what is not UTF-8, and another user's home may be of Linux.
    return raw.decode("utf-8", "replace") if os.name == "nt" else os.fsdecode(raw)


def _is_below(path: str, top: str) -> bool:
    return Path(os.path.normcase(path)).is_relative_to(os.path.normcase(top))


def _platform_of(home: Path) -> Platform:
    return next((platform for platform, mark in _MARKS if is_folder(home / mark)), "linux")


def _platform(name: str) -> Platform:
    if name == "win32":
        return "win32"
    if name == "darwin":
        return "darwin"
    return "linux"

"""System: the platform, home folder and environment whose profiles are searched.

The search takes it as a parameter. So the rules of all three platforms can run on any of them, and
the home may be another user's: on this machine, in a backup, or on a mounted disk. Such a home is
not trusted: nothing outside it is opened.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Literal

Platform = Literal["linux", "darwin", "win32"]

_PLATFORMS: Mapping[str, Platform] = {"win32": "win32", "darwin": "darwin"}

# Folders that show which platform a home is from. `AppData` or `Library` alone would not do: people
# have folders of their own with such names.
_MARKS: tuple[tuple[Platform, str], ...] = (
    ("win32", "AppData/Roaming"),
    ("win32", "AppData/Local"),
    ("darwin", "Library/Application Support"),
    ("darwin", "Library/Preferences"),
    ("darwin", "Library/Thunderbird"),
)

# A profile is a handful of folders below its home.
_MAX_DEPTH = 40


@dataclass(frozen=True, slots=True)
class System:
    """A platform, a user's home folder and that user's environment.

    Attributes:
        platform: whose rules apply; "linux" stands for every Unix but macOS.
        home: the user's home folder. Its class decides how paths are written: a
            `PureWindowsPath` gives Windows paths anywhere, to look at but not to open.
        environment: the environment variables.
        ansi: the codec of Windows' ANSI code page, which old lists were written in. Python has
            "mbcs" on Windows only; no other platform asks for it.
        confined_to: the real path of another user's home, which nothing may lead out of; None for
            the home of the user who runs nssbackup.
    """

    platform: Platform
    home: PurePath
    environment: Mapping[str, str]
    ansi: str = "mbcs"
    confined_to: str | None = None

    @classmethod
    def current(cls) -> System:
        """Return the machine, user and environment of this process."""
        # Not Path.home(): it raises if the home is unknown; this way nothing is found.
        home = Path(os.path.expanduser("~")).absolute()  # noqa: PTH111
        return cls(_PLATFORMS.get(sys.platform, "linux"), home, MappingProxyType(dict(os.environ)))

    @classmethod
    def of_home(cls, home: Path, platform: Platform | None = None) -> System:
        """Return the system of the owner of a home folder, without an environment.

        If `platform` is None, the folders in the home tell.
        """
        home = home.absolute()
        marked = next((name for name, mark in _MARKS if os.path.isdir(home / mark)), None)
        return cls(
            platform=platform or marked or "linux",
            home=home,
            environment=MappingProxyType({}),
            # Outside Windows that user's code page is unknown. This one is the most common, and
            # maps nearly every byte.
            ansi="mbcs" if sys.platform == "win32" else "cp1252",
            confined_to=os.path.realpath(home),
        )

    def variable(self, name: str) -> str:
        """Return an environment variable; empty if it is not set.

        Windows' names ignore case, and `os.environ` has them in upper case.
        """
        if self.platform != "win32":
            return self.environment.get(name, "")
        values = (value for key, value in self.environment.items() if key.upper() == name.upper())
        return next(values, "")

    def path(self, text: str) -> PurePath:
        """Return `text` as a path of this system."""
        if self.confined_to is None:
            return type(self.home)(text)
        return PureWindowsPath(text) if self.platform == "win32" else PurePosixPath(text)

    def holds(self, path: Path) -> bool:
        """Return whether a path may be opened: False if it leads out of another user's home."""
        if self.confined_to is None:
            return True
        try:
            # A path that says itself that it leads out is not resolved: on Windows, asking about
            # it may contact another computer.
            return self.is_inside(path) and _is_below(os.path.realpath(path), self.confined_to)
        # ValueError: not a path, for example because of a NUL. RecursionError: Python's realpath
        # calls itself for each link of a chain.
        except (OSError, ValueError, RecursionError):
            return False

    def is_inside(self, path: PurePath) -> bool:
        """Return whether a path, taken literally, is in another user's home."""
        literal = os.path.abspath(path)  # noqa: PTH100 - unlike Path.resolve it follows no link
        return any(_is_below(literal, top) for top in (str(self.home), self.confined_to or ""))

    def translate(self, path: PurePath) -> Path | None:
        """Return where the folder is that a list names, or None if it can't be opened here.

        In another user's home, an absolute path is one of the machine that it was written on. If
        it is not in the home as it stands, ever shorter ends of it are tried there.
        """
        if self.confined_to is None:
            return Path(path)
        candidates = (p for p in self._candidates(path) if self.holds(p) and os.path.isdir(p))
        return next(candidates, None)

    def _candidates(self, path: PurePath) -> Iterator[Path]:
        ours = isinstance(path, PureWindowsPath) == (os.name == "nt")
        if ours and path.is_absolute() and self.is_inside(path):
            yield Path(path)
            return
        names = path.parts[1:] if path.anchor else path.parts
        if ".." in names:
            names = names[len(names) - names[::-1].index("..") :]
        for start in range(max(0, len(names) - _MAX_DEPTH), len(names)):
            yield Path(self.home).joinpath(*names[start:])


def path_text(raw: bytes) -> str:
    """Return the bytes of a Unix path as the text by which Python opens it."""
    # On Windows os.fsdecode raises on what is not UTF-8, and another user's home may be from Linux.
    return raw.decode("utf-8", "replace") if os.name == "nt" else os.fsdecode(raw)


def _is_below(path: str, top: str) -> bool:
    # As text: Path compares ten times slower, and a home has hundreds of such paths.
    path, top = os.path.normcase(path), os.path.normcase(top)
    return path == top or path.startswith(top.rstrip(os.sep) + os.sep)

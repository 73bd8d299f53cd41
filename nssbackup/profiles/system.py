"""System: the platform, home folder and environment whose profiles are searched.

The search takes it as a parameter. So the rules of all three platforms can run on any of them, and
the home may be another user's: on this machine, in a backup, or on a mounted disk. Such a home is
not trusted: nothing outside it is opened. Its owner may still rearrange it between that check and
the reading, for which root takes the owner's rights (`system.ownership`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Literal

from nssbackup.errors import UnreadableStoreError
from nssbackup.system.reading import Budget

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
# As many links as Linux follows on one path.
_MAX_LINKS = 40
# Each folder on a path is held open while it is followed.
_MAX_OPEN = 100

# What following the paths of one home may cost: names, of which a path counts for three more, and
# processor time. Two thousand profiles with a link in each take 40,000.
_MAX_NAMES = 100_000
_PATH = 3
_SECONDS = 3.0

# Windows has no such calls. O_PATH, of Linux, needs no right to list the folder.
_CAN_WALK = os.open in os.supports_dir_fd and os.readlink in os.supports_dir_fd
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class Confinement:
    """Another user's home, which no path may lead out of.

    Links are followed one by one, from one open folder to the next: the answer is right at that
    moment, and neither a chain of links nor a list of thousands of paths takes long.
    """

    def __init__(self, home: Path) -> None:
        self._home = str(home)
        # Lists and links may name the home by either path.
        self._tops = (self._home, os.path.realpath(home))
        self._known: dict[str, str | None] = {}
        self._budget = Budget(_SECONDS, _MAX_NAMES)

    def names(self, path: PurePath) -> bool:
        """Return whether a path, taken literally, is in the home."""
        literal = os.path.abspath(path)
        return any(_is_below(literal, top) for top in self._tops)

    def resolve(self, path: Path) -> str | None:
        """Return the path in the home that this one leads to; None if it leads out.

        A missing or closed folder and a circle of links lead nowhere: they stay as they are.

        Raises:
            UnreadableStoreError: the paths of this home are too much work.
        """
        text = str(path)
        if text not in self._known:
            try:
                with self._budget:
                    self._take(_PATH)
                    self._known[text] = self._walk(text) if _CAN_WALK else self._asked(path)
            except (ValueError, IndexError, OSError):
                self._known[text] = None
        return self._known[text]

    def _walk(self, path: str) -> str:
        """Raise ValueError if the path leads out, or has a NUL, and IndexError if it climbs out."""
        todo = self._below(path)
        real: list[str] = []
        folders: list[int] = []  # the home, and what was entered by the first of these names
        links = 0
        try:
            with suppress(OSError):
                folders.append(os.open(self._home, _FOLDER))
            while todo:
                self._take()
                name = todo.pop()
                if name in ("", "."):
                    continue
                entered = len(folders) > len(real) and links < _MAX_LINKS
                if name == "..":
                    real.pop()
                elif entered and (target := _enter(name, folders)):
                    links += 1
                    if target.startswith("/"):
                        real.clear()
                        todo += self._below(target)
                    else:
                        todo += target.split("/")[::-1]
                else:
                    real.append(name)
                if len(real) > _MAX_OPEN:
                    raise ValueError(path)
                while len(folders) > len(real) + 1:
                    os.close(folders.pop())
        finally:
            for folder in folders:
                os.close(folder)
        return os.path.join(self._home, *real)

    def _asked(self, path: Path) -> str | None:
        # A path that says itself that it leads out is not resolved: asking about it may contact
        # another computer.
        real = os.path.realpath(path) if self.names(path) else ""
        return real if _is_below(real, self._tops[1]) else None

    def _below(self, path: str) -> list[str]:
        """Return the names of a path below the home, the last one first."""
        for top in self._tops:
            if _is_below(path, top):
                return path[len(top) :].split("/")[::-1]
        raise ValueError(path)

    def _take(self, names: int = 1) -> None:
        self._budget.take(names)
        if self._budget.is_spent():
            message = f"the links and lists in `{self._home}` lead through too many folders"
            hint = "if a profile is there, name its folder as a ROOT of its own"
            raise UnreadableStoreError(message, hint=hint)


def _enter(name: str, folders: list[int]) -> str | None:
    """Enter a folder in the last of those, or return where the link of that name leads."""
    try:
        folders.append(os.open(name, _FOLDER | _NO_LINK, dir_fd=folders[-1]))
    except OSError:
        with suppress(OSError):
            return os.readlink(name, dir_fd=folders[-1])
    return None


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
        confined_to: another user's home, which nothing may lead out of; None for the home of the
            user who runs nssbackup.
    """

    platform: Platform
    home: PurePath
    environment: Mapping[str, str]
    ansi: str = "mbcs"
    confined_to: Confinement | None = None

    @classmethod
    def current(cls) -> System:
        """Return the machine, user and environment of this process."""
        # Not Path.home(): it raises if the home is unknown; this way nothing is found.
        home = Path(os.path.expanduser("~")).absolute()
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
            confined_to=Confinement(home),
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
        return self.confined_to is None or self.confined_to.resolve(path) is not None

    def real(self, path: Path) -> str:
        """Return the one path of what several paths lead to."""
        if self.confined_to is not None:
            return self.confined_to.resolve(path) or str(path)
        try:
            return os.path.realpath(path)
        except (OSError, RecursionError):  # a link went away; it calls itself for each of a chain
            return str(path)

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
        if ours and path.is_absolute() and self.confined_to and self.confined_to.names(path):
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

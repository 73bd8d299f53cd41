"""The table of roots: in which folders which application keeps its `profiles.ini`.

A root is a candidate only: most machines have one or two of them. Another application, or another
place for one, is another row; nothing else changes.

Sources: mozilla/enterprise-firefox:toolkit/xre/nsXREDirProvider.cpp for the folders and for the
XDG rule (since Firefox 147); the XDG Base Directory Specification for ignoring relative variables.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from nssbackup.errors import UsageError
from nssbackup.profiles.system import Platform, System


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that may hold `profiles.ini`, and the application that would have put it there."""

    application: str
    path: PurePath


@dataclass(frozen=True, slots=True)
class _Base:
    """A folder that rows start from: what `variable` says, else `below_home`.

    A `below_home` of None means that there is no such folder without the variable.
    """

    variable: str | None
    below_home: tuple[str, ...] | None

    def folder(self, system: System) -> PurePath | None:
        """The folder on that system, or None."""
        if self.variable is not None:
            value = system.environment.get(self.variable, "")
            # A relative value would make the result depend on the current folder.
            if system.path(value).is_absolute():
                return system.path(value)
        if self.below_home is None:
            return None
        return system.home.joinpath(*self.below_home)


@dataclass(frozen=True, slots=True)
class _Row:
    application: str
    platform: Platform
    base: _Base
    parts: tuple[str, ...]


_HOME = _Base(variable=None, below_home=())
_XDG_CONFIG = _Base(variable="XDG_CONFIG_HOME", below_home=None)
_ROAMING = _Base(variable="APPDATA", below_home=("AppData", "Roaming"))

_ROWS = (
    # Firefox itself uses one of the three Linux folders, and which one depends on what existed when
    # it first ran. `~/.config` is looked at beside the variable, because the variable of this shell
    # need not be that of the desktop session.
    _Row("Firefox", "linux", _HOME, (".mozilla", "firefox")),
    _Row("Firefox", "linux", _XDG_CONFIG, ("mozilla", "firefox")),
    _Row("Firefox", "linux", _HOME, (".config", "mozilla", "firefox")),
    _Row("Firefox", "darwin", _HOME, ("Library", "Application Support", "Firefox")),
    _Row("Firefox", "win32", _ROAMING, ("Mozilla", "Firefox")),
)


def applications_named(names: Iterable[str]) -> frozenset[str]:
    """The applications that texts name, letter case, blanks and hyphens aside.

    Raises:
        UsageError: there is none of a name; the hint has all there are.
    """
    known = {_folded(row.application): row.application for row in _ROWS}
    unknown = [name for name in names if _folded(name) not in known]
    if unknown:
        message = f"there is no application `{unknown[0]}`"
        raise UsageError(message, hint=f"known are {', '.join(sorted(known.values()))}")
    return frozenset(known[_folded(name)] for name in names)


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def candidate_roots(system: System) -> tuple[Root, ...]:
    """Every root the table has for a system, in the table's order, each path once.

    None of them need exist; the file system is not looked at.
    """
    roots: dict[PurePath, Root] = {}
    for row in _ROWS:
        if row.platform != system.platform:
            continue
        folder = row.base.folder(system)
        if folder is not None:
            path = folder.joinpath(*row.parts)
            roots.setdefault(path, Root(row.application, path))
    return tuple(roots.values())

"""Root works in another user's home with that user's rights, not with root's.

What lies in a home is its owner's to arrange, and to rearrange while it is read: links of both
kinds, folders that change places. Checking a path says nothing about what is opened a moment
later. With the owner's rights it does not have to: no trick in a home opens what its owner could
not open anyway, and the operating system sees to that.

The effective user of a process is the same for all of its threads, so nothing else may be at work
in it meanwhile: this is for worker processes and for commands that do one thing.
"""

from __future__ import annotations

import codecs
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from nssbackup.errors import is_held

# linux/prctl.h
_PR_SET_DUMPABLE = 4


class Owner(NamedTuple):
    """The user and group whose rights are taken, by their numbers."""

    user: int
    group: int


# What may be in a home. Python loads a codec when it is first used, and the owner of the home need
# not be allowed to read Python's own files (an installation in the home of root).
_CODECS = ("utf-8-sig", "utf-16", "utf-16-le", "cp1252")

# The homes that are read, by their paths; None where no rights are taken.
_homes: ContextVar[Mapping[str, Owner | None]] = ContextVar("_homes", default=MappingProxyType({}))
_acting: ContextVar[bool] = ContextVar("_acting", default=False)


@contextmanager
def homes_of(folders: Iterable[str | Path]) -> Iterator[None]:
    """Name the homes that are read while this lasts; `as_owner` takes the rights of their owners.

    None are taken for a home of root's, or if this process is not root's. The same holds for a copy
    or an image that its owner can't reach: nobody can rearrange what he can't reach.
    """
    for name in _CODECS:
        codecs.lookup(name)
    homes = {os.fspath(folder): _owner_of(folder) for folder in folders} if _is_root() else {}
    token = _homes.set(homes)
    try:
        reached = {home: owner if _can_reach(home) else None for home, owner in homes.items()}
        # Lists may name a home by the other path.
        _homes.set(
            {os.path.realpath(home): owner for home, owner in reached.items() if owner} | reached
        )
        yield
    finally:
        _homes.reset(token)


@contextmanager
def as_owner(path: str | Path) -> Iterator[None]:
    """Have only the rights of the owner of the home that holds the path while this lasts.

    Each home has its own owner: two homes may be read in turn that are not one person's. Nothing
    changes outside `homes_of`, or if the process may not change its user (a container without the
    capability).
    """
    owner = _rights_for(os.fspath(path))
    if sys.platform == "win32" or owner is None or not _is_root():
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    token = _acting.set(True)
    try:
        try:
            os.setgroups([owner.group])
            os.setegid(owner.group)
            os.seteuid(owner.user)
        except OSError:  # not allowed, or no user of this container
            pass
        yield
    finally:
        _acting.reset(token)
        # In this order: only root may do the rest. Raises if it can't be undone.
        os.seteuid(0)
        os.setegid(group)
        if os.getgroups() != groups:
            os.setgroups(groups)


def _owner_of(folder: str | Path) -> Owner | None:
    """Return the owner of a folder; None if it is root, or the folder can't be entered."""
    try:
        facts = os.stat(folder)
    except (OSError, ValueError):
        return None
    return Owner(facts.st_uid, facts.st_gid) if facts.st_uid else None


def _rights_for(path: str) -> Owner | None:
    homes = _homes.get()
    around = [home for home in homes if f"{path}/".startswith(f"{home.rstrip('/')}/")]
    if around:
        return homes[max(around, key=len)]
    # Somewhere else: never with more rights than the owner of one of the homes has.
    return min(filter(None, homes.values()), default=None)


def _can_reach(home: str) -> bool:
    with as_owner(home):
        try:
            os.stat(home)
        except PermissionError:
            return False
        except (OSError, ValueError):
            pass
    return True


def refusal_hint(path: Path) -> str:
    """Return what this user can do about a path that the operating system does not let us read."""
    if is_held(os.fspath(path)):
        return "close the program that has it open, and try again"
    if _acting.get():
        return "root takes the rights of the home's owner there, and they do not suffice"
    closed = path
    if sys.platform != "win32":
        while not os.path.lexists(closed) and closed != closed.parent:  # a folder above is closed
            closed = closed.parent
        if is_own(closed):
            name = shlex.quote(str(closed))
            return f"it is yours: allow yourself to read it with `chmod -R u+rX {name}`"
    owner = owner_name(closed)
    who = f"`{owner}`" if owner else "the user whose profile it is"
    return (
        f"run nssbackup as {who} or as an administrator; if the profile is yours, change its owner"
        " back to you"
    )


def owner_name(path: Path) -> str | None:
    """Return the name of a path's owner, its number if it has no name, or None if unknown."""
    if sys.platform == "win32":
        return None
    try:
        return path.owner()
    except KeyError:  # a number from another machine, or of a removed user
        with suppress(OSError):
            return f"number {path.stat().st_uid}"
    except OSError:
        pass
    return None


def is_own(path: Path) -> bool:
    """Return whether this user owns the path; False on Windows, which has access lists."""
    if sys.platform == "win32":
        return False
    try:
        return path.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def keep_memory_private() -> None:
    """Prevent core dumps and, on Linux, that anybody but root reads this process's memory.

    The limit stops the kernel from writing a file, but not from piping the memory to a program
    such as systemd-coredump (core(5)). It doesn't do that for a process that is not dumpable. Other
    processes of the same user can't attach to such a process either, nor read its
    `/proc/PID/environ` and `/proc/PID/mem` (prctl(2), ptrace(2)). Child processes inherit the limit
    but have to ask again not to be dumpable.

    Never raises: what the system can't do is skipped.
    """
    if sys.platform == "win32":
        return
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)

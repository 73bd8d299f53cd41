"""Ownership: root works in another user's home with that user's rights, not with root's.

What lies in a home is its owner's to arrange, and to rearrange while it is being looked at: links
of both kinds, folders that change places. A check of a path says nothing about what is opened a
moment later. With the owner's rights it need not: no trick in a home opens what its owner could
not open anyway, and the operating system sees to that.

The effective user of a process is one for all of its threads, so nothing else may be at work in
it meanwhile: this is for worker processes and for commands that do one thing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple


class Owner(NamedTuple):
    """Whose rights are taken: user and group, by their numbers."""

    user: int
    group: int


_owner: ContextVar[Owner | None] = ContextVar("_owner", default=None)
_acting: ContextVar[bool] = ContextVar("_acting", default=False)


def owner_of(folders: Iterable[str | Path]) -> Owner | None:
    """The one owner of some folders; None where there are several, or it is root.

    A folder that can't be looked at is passed over: nothing will be read in it either.
    """
    found: set[Owner] = set()
    for folder in folders:
        try:
            facts = os.stat(folder)  # noqa: PTH116 - of homes, thousands of them
        except (OSError, ValueError):
            continue
        found.add(Owner(facts.st_uid, facts.st_gid))
    if len({one.user for one in found}) != 1:
        return None
    owner = min(found)
    return owner if owner.user else None


@contextmanager
def as_owner() -> Iterator[None]:
    """Have the rights of the owner that `homes_of` found while this lasts, and no others.

    Without one, or where the process may not change its user (a container without the
    capability), all stays as it is.
    """
    owner = _owner.get()
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
        # In this order: only root may do the rest. What can't be undone must not go unnoticed.
        os.seteuid(0)
        os.setegid(group)
        if os.getgroups() != groups:
            os.setgroups(groups)


@contextmanager
def homes_of(folders: Iterable[str | Path]) -> Iterator[None]:
    """Say whose homes are looked into while this lasts: `as_owner` takes that user's rights.

    Where they are root's own, or those of several users, nothing is taken on, and where this
    process is not root's nothing needs to be. Neither in a copy or an image that lies where its
    owner can't get to: what he can't reach he can't rearrange.
    """
    folders = tuple(folders)
    token = _owner.set(owner_of(folders) if _is_root() else None)
    try:
        if _owner.get() is not None and not _can_be_reached(folders):
            _owner.set(None)
        yield
    finally:
        _owner.reset(token)


@as_owner()
def _can_be_reached(folders: Iterable[str | Path]) -> bool:
    """Whether the owner of some folders has the rights for the way to each."""
    for folder in folders:
        try:
            os.stat(folder)  # noqa: PTH116 - see above
        except PermissionError:
            return False
        except (OSError, ValueError):
            continue
    return True


def refusal_hint(otherwise: str) -> str:
    """What to advise where something may not be read: while root acts for an owner, not to be root.

    Args:
        otherwise: the advice for everybody else.
    """
    if _acting.get():
        return "it is not its owner's to read: root takes on the rights of the home's owner there"
    return otherwise


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0

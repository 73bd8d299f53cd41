"""Users: whose profiles there are under the roots, told by what the roots hold.

Nothing is opened here; the profiles themselves are looked for later, user by user.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nssbackup.batch.naming import alike, folder_of_user, user_of_home
from nssbackup.errors import NoProfileError, NssBackupError, UnreadableStoreError, reason
from nssbackup.system.ownership import refusal_hint

if TYPE_CHECKING:
    from nssbackup.profiles.system import System

# Folders beside the homes that are nobody's: of Windows, of macOS, of ext4, and of automounters.
_NO_HOMES = frozenset(
    {
        *("public", "default", "default user", "all users", "defaultuser0", "wdagutilityaccount"),
        *("shared", "guest", "lost+found"),
    }
)
# Nobody has more homes in one place; this ends the listing of what is a data dump.
_MOST_CHILDREN = 1_000_000


@dataclass(frozen=True, slots=True)
class Member:
    """A home, or a plain profile folder (`home` is False), and whose it is."""

    user: str
    path: Path
    home: bool


@dataclass(frozen=True, slots=True)
class User:
    """Everything whose files go into one folder: a user's homes and profiles.

    Two homes of one name are taken for one user's: a local one and one on a share, say. Should
    they be two people's, their files are told apart by their certificates all the same.
    """

    folder: str
    members: tuple[Member, ...]

    @property
    def places(self) -> tuple[str, ...]:
        """The paths of the homes and folders."""
        return tuple(str(one.path) for one in self.members)

    def to_wire(self) -> dict[str, object]:
        """The user as JSON."""
        members = [[one.user, str(one.path), one.home] for one in self.members]
        return {"folder": self.folder, "members": members}

    @classmethod
    def from_wire(cls, document: dict[str, Any]) -> User:
        """The user that `to_wire` gave."""
        members = (Member(user, Path(path), home) for user, path, home in document["members"])
        return cls(document["folder"], tuple(members))


@dataclass(frozen=True, slots=True)
class Places:
    """What the user named.

    Attributes:
        roots: homes, folders of homes, profile folders, or folders of those.
        homes: each a home.
        parents: each a folder whose children are homes.
    """

    roots: tuple[Path, ...] = ()
    homes: tuple[Path, ...] = ()
    parents: tuple[Path, ...] = ()

    @property
    def all(self) -> tuple[Path, ...]:
        """Every path of them."""
        return (*self.roots, *self.homes, *self.parents)


@dataclass(frozen=True, slots=True)
class UnusableRoot:
    """A root that can't be looked into, or that holds nothing of the kind."""

    path: Path
    error: NssBackupError


def users_in(
    places: Places, known: Iterable[str] = ()
) -> tuple[tuple[User, ...], tuple[UnusableRoot, ...]]:
    """The users under some roots, in the order of their folders, and the roots of no use.

    Args:
        places: the roots.
        known: the folders of users that are there already: their spelling is kept.
    """
    found: dict[str, Member] = {}
    unusable: list[UnusableRoot] = []
    for path, tell in (
        *((path, _told) for path in places.roots),
        *((path, _home) for path in places.homes),
        *((path, _children) for path in places.parents),
    ):
        try:
            for member in tell(path.absolute()):
                found.setdefault(os.path.normcase(member.path), member)
        except OSError as error:
            unusable.append(UnusableRoot(path, unreadable(path, error)))
        except NssBackupError as error:
            unusable.append(UnusableRoot(path, error))
    return _grouped(found.values(), known), tuple(unusable)


def _grouped(members: Iterable[Member], known: Iterable[str]) -> tuple[User, ...]:
    spelling = {alike(folder): folder for folder in sorted(known, reverse=True)}
    groups: dict[str, list[Member]] = {}
    for member in members:
        folder = folder_of_user(member.user)
        key = alike(folder)
        spelling.setdefault(key, folder)
        groups.setdefault(key, []).append(member)
    return tuple(User(spelling[key], tuple(group)) for key, group in sorted(groups.items()))


def _home(path: Path) -> Iterator[Member]:
    with os.scandir(path):  # whether it can be looked into
        yield Member(user_of_home(path.name) or str(path), path, home=True)


def _children(path: Path) -> Iterator[Member]:
    homes = [
        child
        for child in _folders(path)
        if child.name.casefold() not in _NO_HOMES and not child.name.startswith(".")
    ]
    if not homes:
        message = f"`{path}` holds no home"
        raise NoProfileError(message, hint="is the share connected, and the image mounted?")
    for home in homes:
        yield Member(user_of_home(home.name), home, home=True)


def _told(path: Path) -> Iterator[Member]:
    """What a root is: a profile, a home, or a folder of either."""
    one = _profile_or_home(path)
    if one is not None:
        yield one
        return
    inside = [
        member
        for child in _folders(path)
        if child.name.casefold() not in _NO_HOMES and (member := _child(child)) is not None
    ]
    if not inside:
        message = f"`{path}` is neither a home nor a profile, and holds none"
        hint = "a home is looked into with `--home`, all the homes in a folder with `--homes`"
        raise NoProfileError(message, hint=hint)
    yield from inside


def _child(path: Path) -> Member | None:
    try:
        return _profile_or_home(path)
    except OSError:  # to be told of in the report, when it is this one's turn
        return Member(user_of_home(path.name), path, home=True)


def _profile_or_home(path: Path) -> Member | None:
    from nssbackup.profiles.folder import store_in
    from nssbackup.profiles.roots import find_roots
    from nssbackup.profiles.system import System

    with os.scandir(path):
        pass
    if store_in(path) is not None:
        return Member(path.name or str(path), path, home=False)
    system = System.of_home(path)
    if next(find_roots(system), None) is not None or _keeps_out(system):
        return Member(user_of_home(path.name) or str(path), path, home=True)
    return None


def _keeps_out(system: System) -> bool:
    """Whether something of a home can't be looked into: a profile may be in it."""
    from nssbackup.batch.watch import Watch

    watch = Watch.of_search(system)
    return bool(watch.closed or watch.outside)


def _folders(path: Path) -> Sequence[Path]:
    """The folders in a folder by name; links to elsewhere (on Windows: junctions) left out."""
    with os.scandir(path) as entries:
        names = [
            entry.name
            for _, entry in zip(range(_MOST_CHILDREN), entries, strict=False)
            if entry.is_dir(follow_symlinks=False) and not _is_junction(entry)
        ]
    return [path / name for name in sorted(names)]


def _is_junction(entry: os.DirEntry[str]) -> bool:
    # os.DirEntry.is_junction came with Python 3.12; the tag is IO_REPARSE_TAG_MOUNT_POINT.
    if not hasattr(os.stat_result, "st_reparse_tag"):
        return False
    facts = entry.stat(follow_symlinks=False)
    return getattr(facts, "st_reparse_tag", 0) == 0xA0000003  # noqa: PLR2004 - winnt.h's number


def unreadable(path: Path, error: OSError) -> NssBackupError:
    """What to say of a folder that the operating system keeps us out of."""
    message = f"`{path}` can't be looked into: {reason(error)}"
    hint = None
    if isinstance(error, PermissionError):
        hint = refusal_hint("run nssbackup as an administrator, who may read the homes of others")
    elif isinstance(error, FileNotFoundError):
        hint = "is the share connected, and the image mounted?"
    return UnreadableStoreError(message, hint=hint)

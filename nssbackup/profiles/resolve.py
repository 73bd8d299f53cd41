"""What `--profile NAME|PATH` means: a text to profiles."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from nssbackup.errors import NoProfileError, NoStoreError, UnreadableStoreError
from nssbackup.identity.model import Profile
from nssbackup.profiles.folder import (
    DATABASES,
    INSTALLS_LIST,
    PROFILES_LIST,
    folder_identity,
    is_closed,
    is_folder,
    is_root,
    store_in,
    without_climbing,
)
from nssbackup.profiles.locate import profiles_and_names, profiles_of, unlisted_profile
from nssbackup.profiles.roots import Root, find_roots
from nssbackup.profiles.system import System

# Of a folder that no known root holds, nothing can be said but what it contains.
UNKNOWN_APPLICATION = "NSS"

_DATABASE_NAMES = frozenset(name for names in DATABASES.values() for name in names)
_LIST_NAMES = frozenset({PROFILES_LIST, INSTALLS_LIST})

# A hint is a line; beyond this it says how many more there are.
_NAMES_IN_HINT = 8


def resolve_profile(name_or_path: str, system: System | None = None) -> tuple[Profile, ...]:
    """The profiles that a text names, in the order of `find_profiles`; never ().

    The text is, and the first that fits is taken:

    1. the name or the folder's name of a profile that was found; all that have it are returned.
       A profile that its group shows by one name and `profiles.ini` by another has both;
    2. a path to a folder with NSS databases, or to one of its databases;
    3. a path to a root or to its `profiles.ini`, which stands for all the profiles of that root.

    A relative path starts in the current folder (`./work` is never a name), and a leading `~` is
    the home folder. A folder that `find_profiles` knows comes back as it knows it.

    Raises:
        NoProfileError: nothing fits; the hint names the profiles there are.
        NoStoreError: what fits is there and holds no NSS database.
        UnreadableStoreError: what fits is a folder that this user may not look into.
    """
    system = system or System.current()
    found = profiles_and_names(find_roots(system), system)
    known = tuple(profile for profile, _ in found)
    if not name_or_path:
        raise _nothing_fits(name_or_path, known)
    if named := _named(name_or_path, found):
        return _with_store(named)
    path = Path(os.path.expanduser(name_or_path)).absolute()  # noqa: PTH111
    folder, as_root = _pointed_at(path)
    if not is_folder(folder):
        raise _nothing_fits(name_or_path, known)
    return _in_folder(without_climbing(folder), known, system, as_root=as_root)


def _named(text: str, found: Iterable[tuple[Profile, Sequence[str]]]) -> tuple[Profile, ...]:
    """The profiles found that bear a name, or lie in a folder that does."""
    wanted = _composed(text)
    return tuple(
        one for one, names in found if wanted in map(_composed, (one.name, one.path.name, *names))
    )


def _composed(name: str) -> str:
    # macOS decomposes umlauts in the names of folders, and keyboards don't.
    return unicodedata.normalize("NFC", name)


def _pointed_at(path: Path) -> tuple[Path, bool]:
    """The folder that a path means, and whether as a root: as the place of several profiles."""
    if not is_folder(path):
        if path.name in _DATABASE_NAMES:
            return path.parent, False
        if path.name in _LIST_NAMES:
            return path.parent, True
    # A store may lie in a root by accident: a tool that was run in the wrong folder makes one.
    return path, is_root(path) or store_in(path) is None


def _in_folder(
    folder: Path, known: Sequence[Profile], system: System, *, as_root: bool
) -> tuple[Profile, ...]:
    """The profile that a folder is, or with `as_root` the profiles in it."""
    by_folder = {folder_identity(one.path): one for one in known}
    application = _application_of(folder, system)
    if as_root:
        inside = profiles_of((Root(application, folder),), system)
    elif store_in(folder) is not None:
        inside = (unlisted_profile(folder, application, system),)
    else:
        inside = ()
    if not inside:
        raise _no_store(folder)
    return _with_store([by_folder.get(folder_identity(one.path), one) for one in inside])


def _application_of(folder: Path, system: System) -> str:
    """The application in whose root the folder lies, the innermost of them where roots nest."""
    inner = Path(folder_identity(folder))
    roots = [(Path(folder_identity(root.path)), root.application) for root in find_roots(system)]
    around = [(len(top.parts), name) for top, name in roots if inner.is_relative_to(top)]
    return max(around, default=(0, UNKNOWN_APPLICATION), key=lambda one: one[0])[1]


def _with_store(profiles: Sequence[Profile]) -> tuple[Profile, ...]:
    """The same profiles, if there is anything to be read in any of them."""
    if all(one.store is None for one in profiles):
        raise _no_store(profiles[0].path)
    return tuple(profiles)


def _no_store(folder: Path) -> NoStoreError | UnreadableStoreError:
    if is_closed(folder):
        return UnreadableStoreError(
            f"the folder `{folder}` may not be read by this user",
            hint="run the command as the user whose profile it is",
        )
    return NoStoreError(
        f"no NSS database is in `{folder}`",
        hint="give the folder that holds `cert9.db` and `key4.db`, or leave `--profile` out",
    )


def _nothing_fits(text: str, known: Sequence[Profile]) -> NoProfileError:
    if known:
        names = list(dict.fromkeys(one.name for one in known))
        listing = ", ".join(f"`{name}`" for name in names[:_NAMES_IN_HINT])
        more = len(names) - _NAMES_IN_HINT
        hint = f"found were {listing}" + (f" and {more} more" if more > 0 else "")
    else:
        hint = "no profile was found for this user; give the path of the folder that holds one"
    return NoProfileError(
        f"no profile is called `{text}`, and it is no path of a profile's folder", hint=hint
    )

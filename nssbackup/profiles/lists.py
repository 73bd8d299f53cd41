"""The lists of a root: what its `profiles.ini` and `installs.ini` say.

Format facts from mozilla/enterprise-firefox:toolkit/profile/nsToolkitProfileService.cpp; what is
relative to what from xpcom/io/nsLocalFileCommon.cpp and, for absolute paths, from the functions
Get/SetPersistentDescriptor of nsLocalFileUnix, nsLocalFileWin and nsLocalFileOSX.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from nssbackup.profiles.folder import INSTALLS_LIST, PROFILES_LIST
from nssbackup.profiles.ini import Sections, read_ini
from nssbackup.profiles.system import System, path_text


@dataclass(frozen=True, slots=True)
class ListedProfile:
    """One entry of a list.

    Attributes:
        path: the folder, which need not exist; it may contain `..`.
        name: the profile's name; empty where the entry has none.
        install_default: whether an installation of the application starts with it.
        marked_default: whether it bears `Default=1`, which counts where no install default does.
    """

    path: PurePath
    name: str = ""
    install_default: bool = False
    marked_default: bool = False


def read_lists(root: Path, system: System) -> tuple[ListedProfile, ...]:
    """Every entry of a root's lists; a folder may occur in several of them.

    A list that is missing, unreadable or no list is an empty one: the scan of the root's folders
    does not depend on it.
    """
    profiles = _read(root / PROFILES_LIST, system)
    return (*_profiles(profiles, root, system), *_install_defaults(profiles, root, system))


def _read(path: Path, system: System) -> Sections:
    try:
        return read_ini(path) if system.holds(path) else {}
    except OSError:
        return {}


def _profiles(sections: Sections, root: Path, system: System) -> Iterator[ListedProfile]:
    # Firefox stops at the first gap in Profile0, Profile1, ...; what stands behind a gap is a
    # profile nevertheless, and the one with the certificate may be it.
    for section, entry in sections.items():
        if not section.startswith("Profile"):
            continue
        path = listed_path(
            entry.get("Path", ""), root, system, relative=entry.get("IsRelative") == "1"
        )
        if path is not None:
            marked = entry.get("Default") == "1"
            yield ListedProfile(path, entry.get("Name", ""), marked_default=marked)


def _install_defaults(sections: Sections, root: Path, system: System) -> Iterator[ListedProfile]:
    installs = [entry for section, entry in sections.items() if section.startswith("Install")]
    if not installs:
        # The backup of those sections, for a Firefox before 67 that rewrote `profiles.ini`
        # without them. While they are there, the backup is possibly older than they are.
        installs = list(_read(root / INSTALLS_LIST, system).values())
    for entry in installs:
        value = entry.get("Default", "")
        # Written like the profile's `Path`, but without an `IsRelative` beside it.
        relative = not system.path(value).is_absolute()
        path = listed_path(value, root, system, relative=relative)
        if path is not None:
            yield ListedProfile(path, install_default=True)


def listed_path(value: str, root: PurePath, system: System, *, relative: bool) -> PurePath | None:
    """The folder that a list's value names, or None where it can't be told.

    A relative value is relative to the root, has `/` on every platform and may climb with `../`.
    An absolute one is the platform's own; on macOS it may be a base64 alias record of the old file
    manager, which is not decoded here: the scan finds those inside the root.
    """
    if not value:
        return None
    native = _native(value, system)
    if relative:
        # On Windows a step such as `D:x` would lead to the current folder of another drive.
        foreign = system.platform == "win32" and ":" in native
        return None if foreign else root.joinpath(*native.strip("/").split("/"))
    if native.startswith("~/") and system.platform == "darwin":
        return system.home.joinpath(native[2:])
    path = system.path(native)
    return path if path.is_absolute() else None


def _native(value: str, system: System) -> str:
    """A value of the INI file as the text by which Python opens the path."""
    raw = value.encode("utf-8", "surrogateescape")
    if system.platform != "win32":
        # The bytes are the path, in whatever encoding the file system has it.
        return path_text(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode(system.ansi, "replace")

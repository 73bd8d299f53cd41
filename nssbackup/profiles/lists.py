"""The lists of a root: the entries of its `profiles.ini` and `installs.ini`.

The format is that of mozilla/enterprise-firefox:toolkit/profile/nsToolkitProfileService.cpp, of
xpcom/io/nsLocalFileCommon.cpp for relative paths, and of Get/SetPersistentDescriptor in
nsLocalFileUnix, nsLocalFileWin and nsLocalFileOSX for absolute ones.
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
        name: the profile's name; empty if the entry has none.
        install_default: whether an installation of the application starts with it.
        marked_default: whether it has `Default=1`, which counts if there is no install default.
    """

    path: PurePath
    name: str = ""
    install_default: bool = False
    marked_default: bool = False


def read_lists(root: Path, system: System) -> tuple[ListedProfile, ...]:
    """Return every entry of a root's lists; a folder may occur repeatedly.

    A list that is missing or unreadable counts as empty.
    """
    profiles = _read(root / PROFILES_LIST, system)
    return (*_profiles(profiles, root, system), *_install_defaults(profiles, root, system))


def _read(path: Path, system: System) -> Sections:
    try:
        return read_ini(path) if system.holds(path) else {}
    except OSError:
        return {}


def _profiles(sections: Sections, root: Path, system: System) -> Iterator[ListedProfile]:
    # Firefox stops at the first gap in Profile0, Profile1, ...; the profile with the certificate
    # may be behind one.
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
        # The copy of those sections, kept because a Firefox before 67 rewrites `profiles.ini`
        # without them. It may be older than the sections.
        installs = list(_read(root / INSTALLS_LIST, system).values())
    for entry in installs:
        value = entry.get("Default", "")
        # Written like the profile's `Path`, but without an `IsRelative` beside it.
        relative = not system.path(value).is_absolute()
        path = listed_path(value, root, system, relative=relative)
        if path is not None:
            yield ListedProfile(path, install_default=True)


def listed_path(value: str, root: PurePath, system: System, *, relative: bool) -> PurePath | None:
    """Return the folder that a list's value names, or None if that is unknown.

    A relative value is relative to the root, has `/` on every platform and may climb with `../`.
    An absolute one is in the platform's form; on macOS it may be a base64 alias record of the old
    file manager, which is not decoded here: the scan finds those inside the root.
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
    """Return a value of the INI file as the text by which Python opens the path."""
    raw = value.encode("utf-8", "surrogateescape")
    if system.platform != "win32":
        # The bytes are the path, in the encoding of the file system.
        return path_text(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode(system.ansi, "replace")

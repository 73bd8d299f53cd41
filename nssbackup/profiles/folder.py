"""Folders: what is in one, told from names, modes and locks.

Nothing here raises: what this user can't see counts as missing.

The locks are those of mozilla/gecko-dev:toolkit/profile/nsProfileLock.cpp. That a lock file exists
means nothing: `.parentlock` and `parent.lock` are never removed, so their modification time is that
of the last start. Asking has no effect on the locks, with one trap on POSIX: closing a file drops
the locks that *this* process holds on it, so a program that locks profiles itself must not ask
about those.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
import sys
from itertools import islice
from pathlib import Path
from typing import Literal

from nssbackup.errors import UnreadableStoreError
from nssbackup.identity.model import StoreKind
from nssbackup.profiles.system import System
from nssbackup.system.ownership import refusal_hint

# Either file of a pair counts: *Refresh Firefox* leaves a profile with `key4.db` alone.
# (mozilla/gecko-dev:browser/components/migration/FirefoxProfileMigrator.sys.mjs)
DATABASES: dict[StoreKind, tuple[str, str]] = {
    "sqlite": ("cert9.db", "key4.db"),
    "legacy": ("cert8.db", "key3.db"),
}

# The lists of profiles, which make a folder a root.
PROFILES_LIST = "profiles.ini"
INSTALLS_LIST = "installs.ini"

# Subfolders of a root that applications use for other things.
_NO_PROFILES = frozenset(
    {"Crash Reports", "Pending Pings", "Background Tasks Profiles", "Profile Groups"}
)

# A root has a handful of folders; this stops the scan of a data dump.
SCAN_LIMIT = 10_000

_UNIX_LOCK = ".parentlock"
_WINDOWS_LOCK = "parent.lock"

# On file systems without `fcntl` locks (some network ones), the lock is a symbolic link to
# `<address>:<pid>`: on Linux with this name, on macOS in place of `.parentlock`. Linux also makes
# one beside a `fcntl` lock, with a `+` before the pid.
_LINK_LOCKS = ("lock", _UNIX_LOCK)
_LINK_TARGET = re.compile(r"(\d+\.\d+\.\d+\.\d+):(\+?)(\d{1,10})", re.ASCII)
# All of 127.0.0.0/8: the address is what the machine's name resolves to, on Debian 127.0.1.1.
_THIS_MACHINE = "127."

# Errors of Windows' CreateFileW.
_FILE_NOT_FOUND, _PATH_NOT_FOUND, _SHARING_VIOLATION = 2, 3, 32

# The lock file is missing, is a link, or is nothing that can be opened.
_NO_LOCK_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO})

# `struct flock` of the C library: its format, and which of the five fields is l_type. On any other
# system only the links are looked at.
FLOCK_LAYOUTS = {
    "linux": ("hhqqi0q", 0),  # l_type, l_whence, l_start, l_len, l_pid, padding
    "darwin": ("qqihh", 3),  # l_start, l_len, l_pid, l_type, l_whence
}


def folder_identity(folder: Path, system: System) -> str:
    """Return a text that is the same for every path of one folder."""
    return os.path.normcase(system.real(folder))


def without_climbing(folder: Path, system: System) -> Path:
    """Return the folder by a path without `..`; any other path is returned unchanged.

    People know their folders by the path they chose. With a link on the way, only the file system
    knows what `..` is, so it is asked.
    """
    return Path(system.real(folder)) if ".." in folder.parts else folder


def is_root(folder: Path) -> bool:
    """Return whether a list of profiles is in the folder."""
    return any(os.path.isfile(folder / name) for name in (PROFILES_LIST, INSTALLS_LIST))


def store_in(folder: Path) -> StoreKind | None:
    """Return which databases are in the folder, the newer kind if both are; None if none."""
    for kind, names in DATABASES.items():
        if any(os.path.isfile(folder / name) for name in names):
            return kind
    return None


def is_closed(folder: Path) -> bool:
    """Return whether this user lacks the permission to look into the folder."""
    try:
        with os.scandir(folder):
            return False
    except OSError as error:
        return isinstance(error, PermissionError)


def closed_folder(folder: Path) -> UnreadableStoreError:
    """Return the error for a folder that this user may not look into."""
    message = f"this user may not look into the folder `{folder}`"
    return UnreadableStoreError(message, hint=refusal_hint(folder))


def subfolders(parent: Path, system: System) -> list[Path]:
    """Return the folders in `parent` that may be profiles, links last; [] if unreadable.

    A link may lead out of another user's home: check before looking into it.
    """
    if not system.holds(parent):
        return []
    try:
        with os.scandir(parent) as entries:
            folders = [
                (entry.is_symlink(), entry.name)
                for entry in islice(entries, SCAN_LIMIT)
                if entry.name not in _NO_PROFILES and _is_folder(entry)
            ]
    except OSError:
        return []
    # Sorted, because the first path to a folder is the one shown.
    return [parent / name for _, name in sorted(folders)]


def leads_out(folder: Path, system: System) -> bool:
    """Return whether the folder, or a link in it, leads out of another user's home."""
    if system.confined_to is None:
        return False
    if not system.holds(folder):
        return True
    try:
        with os.scandir(folder) as entries:
            seen = list(islice(entries, SCAN_LIMIT + 1))
            links = [Path(entry.path) for entry in seen if entry.is_symlink()]
    except OSError:
        return False  # nothing in it can be reached
    return len(seen) > SCAN_LIMIT or not all(system.holds(link) for link in links)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links, for example
        return False


def last_start(folder: Path) -> float | None:
    """Return when an application last started with the profile (seconds since 1970), or None."""
    # Both names on every platform: the folder may be a copy from another one.
    times = (_modified(folder / name) for name in (_UNIX_LOCK, _WINDOWS_LOCK))
    return max(filter(None, times), default=None)


def _modified(path: Path) -> float | None:
    try:
        return path.lstat().st_mtime
    except OSError:
        return None


def _without_lock_file(folder: Path, others: str) -> bool | None:
    """Return False, or None if another platform's lock file is in the folder.

    The folder is then a copy, or shared with that platform, whose locks can't be seen here.
    """
    return False if _modified(folder / others) is None else None


def meaning_of(error: int) -> bool | None:
    """Return whether CreateFileW's error means that the file is held; None if unknown."""
    if error == _SHARING_VIOLATION:
        return True
    return False if error in (_FILE_NOT_FOUND, _PATH_NOT_FOUND) else None


if sys.platform == "win32":
    import _winapi

    _GENERIC_READ, _SHARE_ALL, _OPEN_EXISTING, _NO_FOLLOW = 0x80000000, 0x7, 3, 0x00200000

    def is_in_use(folder: Path) -> bool | None:
        """Return whether an application has the profile open now; None if unknown."""
        # Firefox opens the file without sharing it. Python's open() only says "permission denied"
        # then, which has other causes too; this call gives the error number.
        lock = str(folder / _WINDOWS_LOCK)
        try:
            handle = _winapi.CreateFile(
                lock, _GENERIC_READ, _SHARE_ALL, 0, _OPEN_EXISTING, _NO_FOLLOW, 0
            )
        except OSError as error:
            answer = meaning_of(error.winerror)
            return _without_lock_file(folder, _UNIX_LOCK) if answer is False else answer
        # At once: a Firefox that starts now would take the profile to be in use.
        _winapi.CloseHandle(handle)
        return False

else:
    import fcntl

    def is_in_use(folder: Path) -> bool | None:
        """Return whether an application has the profile open now; None if unknown.

        It is unknown if a lock file may not be read, if a link names an address that may be
        another computer's, and if only Windows left a lock file.
        """
        held = _fcntl_lock(folder / _UNIX_LOCK)
        if held is True:
            return True
        answers = [_link_lock(folder / name, unlocked=held is False) for name in _LINK_LOCKS]
        if True in answers:
            return True
        if None in answers or held is None:
            return None
        return _without_lock_file(folder, _WINDOWS_LOCK) if held == "absent" else False

    def _fcntl_lock(path: Path) -> bool | Literal["absent"] | None:
        """Return whether a process holds a `fcntl` lock on the file; None if unknown."""
        try:
            # O_NONBLOCK, because it may be a FIFO; O_NOFOLLOW, because it may be a link lock.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError as error:
            return "absent" if error.errno in _NO_LOCK_FILE else None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return "absent"
            layout = FLOCK_LAYOUTS.get(sys.platform)
            if layout is None:
                return None
            form, type_field = layout
            fields = [0] * 5  # from the beginning, over the whole length
            fields[type_field] = fcntl.F_WRLCK
            # F_GETLK only asks. To try a lock and release it would keep out an application
            # that starts at that moment.
            answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(form, *fields))
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return bool(struct.unpack(form, answer)[type_field] != fcntl.F_UNLCK)

    def _link_lock(path: Path, *, unlocked: bool) -> bool | None:
        """Return whether the file is a link lock whose owner still runs; None if unknown.

        `unlocked`: nobody holds the `fcntl` lock that the owner may have as well.
        """
        try:
            target = _LINK_TARGET.fullmatch(os.readlink(path))
        except OSError:
            return False
        if target is None:
            return False
        address, has_fcntl_lock, pid = target.groups()
        if not address.startswith(_THIS_MACHINE):
            return None
        if has_fcntl_lock and unlocked:
            return False  # its owner crashed: it would hold that lock too
        return _runs(int(pid))

    def _runs(pid: int) -> bool:
        if pid == 0:
            return False  # kill() takes it for this process's group
        try:
            os.kill(pid, 0)
        except PermissionError:
            return True
        except (OSError, OverflowError):
            return False
        return True

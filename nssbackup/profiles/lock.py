"""The lock files of a profile: whether it is in use, and when it last was.

How the locks are made: mozilla/gecko-dev:toolkit/profile/nsProfileLock.cpp. The mere existence of
a lock file means nothing: `.parentlock` and `parent.lock` are never removed, which makes their
modification time that of the last start.

Asking has no effect on the locks. Only POSIX has a trap: closing a file drops the locks that
*this* process holds on it, so a program that locks profiles itself must not ask about those.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
import sys
from pathlib import Path
from typing import Literal

_UNIX_LOCK = ".parentlock"
_WINDOWS_LOCK = "parent.lock"

# Where `fcntl` locks are impossible (some network file systems) a symbolic link to
# `<address>:<pid>` is the lock: Linux has it under this name, macOS in place of `.parentlock`.
# Linux makes one beside a `fcntl` lock too, and then says so by a `+` before the pid.
_LINK_LOCKS = ("lock", _UNIX_LOCK)
_LINK_TARGET = re.compile(r"(\d+\.\d+\.\d+\.\d+):(\+?)(\d{1,10})", re.ASCII)
# The whole of 127.0.0.0/8: what counts is what the machine's name resolves to, on Debian 127.0.1.1.
_THIS_MACHINE = "127."

# Errors of Windows' CreateFileW, and what they say about whether the file is held.
_FILE_NOT_FOUND, _PATH_NOT_FOUND, _SHARING_VIOLATION = 2, 3, 32

# Why a lock file can't be opened: it is not there, it is a link, or what it is can't be opened.
_NO_LOCK_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO})

# `struct flock` of the C library: the format for `struct`, and which of the five fields is l_type.
# In an unlisted system the links alone are asked.
FLOCK_LAYOUTS = {
    "linux": ("hhqqi0q", 0),  # l_type, l_whence, l_start, l_len, l_pid, padding
    "darwin": ("qqihh", 3),  # l_start, l_len, l_pid, l_type, l_whence
}


def last_start(folder: Path) -> float | None:
    """When an application last started on the profile, in seconds since 1970; None if unknown."""
    # Both names everywhere: the folder may be a copy that comes from another system.
    times = (_modified(folder / name) for name in (_UNIX_LOCK, _WINDOWS_LOCK))
    return max((time for time in times if time is not None), default=None)


def _modified(path: Path) -> float | None:
    try:
        return path.lstat().st_mtime
    except OSError:
        return None


def _without_lock_file(folder: Path, others: str) -> bool | None:
    """The answer where this system's lock file is missing: None if another system's is there.

    The folder is a copy then, or is shared with the other system, whose locks are invisible here.
    """
    return False if _modified(folder / others) is None else None


def meaning_of(error: int) -> bool | None:
    """Whether the file is held that CreateFileW could not open for that reason; None: unknown."""
    if error == _SHARING_VIOLATION:
        return True
    return False if error in (_FILE_NOT_FOUND, _PATH_NOT_FOUND) else None


if sys.platform == "win32":

    def is_in_use(folder: Path) -> bool | None:
        """Whether an application has the profile open now; None where that can't be told."""
        # Here, because it is slow to load, and not every command asks.
        import ctypes
        from ctypes import wintypes

        generic_read, share_all, open_existing, no_follow = 0x80000000, 0x7, 3, 0x00200000

        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        create_file = kernel32.CreateFileW
        create_file.restype = wintypes.HANDLE
        create_file.argtypes = (
            wintypes.LPCWSTR,
            wintypes.DWORD,
            wintypes.DWORD,
            wintypes.LPVOID,
            wintypes.DWORD,
            wintypes.DWORD,
            wintypes.HANDLE,
        )
        close_handle = kernel32.CloseHandle
        close_handle.argtypes = (wintypes.HANDLE,)

        # Firefox holds the file with share mode 0. Python's open() would only tell "permission
        # denied" from it, which has other causes too.
        handle = create_file(
            str(folder / _WINDOWS_LOCK),
            generic_read,
            share_all,
            None,
            open_existing,
            no_follow,
            None,
        )
        if handle != wintypes.HANDLE(-1).value:
            # At once: a Firefox that starts while this is open takes the profile for being in use.
            close_handle(handle)
            return False
        answer = meaning_of(ctypes.get_last_error())
        return _without_lock_file(folder, _UNIX_LOCK) if answer is False else answer

else:
    import fcntl

    def is_in_use(folder: Path) -> bool | None:
        """Whether an application has the profile open now; None where that can't be told.

        It can't where a lock file may not be read, where a link names another address than this
        machine's own, which may be another computer's or this one's in a network, and where only
        Windows has left a lock file.
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
        """Whether a process holds a `fcntl` lock on the file; None if the system doesn't say."""
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
            # F_GETLK only asks. To try a lock and release it, as is usual, would keep an
            # application out that starts in that moment.
            answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(form, *fields))
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return bool(struct.unpack(form, answer)[type_field] != fcntl.F_UNLCK)

    def _link_lock(path: Path, *, unlocked: bool) -> bool | None:
        """Whether the file is a link lock whose owner still runs; None if that can't be told.

        `unlocked`: the `fcntl` lock, which the owner may have besides, is seen not to be held.
        """
        try:
            target = _LINK_TARGET.fullmatch(os.readlink(path))  # noqa: PTH115 - text, no path
        except OSError:
            return False
        if target is None:
            return False
        address, has_fcntl_lock, pid = target.groups()
        if not address.startswith(_THIS_MACHINE):
            return None
        if has_fcntl_lock and unlocked:
            return False  # its owner would hold that lock too: it has crashed
        return _runs(int(pid))

    def _runs(pid: int) -> bool:
        if pid == 0:
            return False  # to kill() it would mean this process's group
        try:
            os.kill(pid, 0)
        except PermissionError:
            return True
        except (OSError, OverflowError):
            return False
        return True

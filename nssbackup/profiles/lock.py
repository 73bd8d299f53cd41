"""The lock files of a profile: whether it is in use, and when it last was.

How the locks are made: mozilla/gecko-dev:toolkit/profile/nsProfileLock.cpp. The mere existence of
a lock file means nothing: `.parentlock` and `parent.lock` are never removed, which makes their
modification time that of the last start.

Asking has no effect on the locks. Only POSIX has a trap: closing a file drops the locks that
*this* process holds on it, so a program that locks profiles itself must not ask about those.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import sys
from pathlib import Path

_UNIX_LOCK = ".parentlock"
_WINDOWS_LOCK = "parent.lock"

# Where `fcntl` locks are impossible (some network file systems) a symbolic link to
# `<address>:<pid>` is the lock: Linux has it under this name, macOS in place of `.parentlock`.
# Linux makes one beside a `fcntl` lock too, and then says so by a `+` before the pid.
_LINK_LOCKS = ("lock", _UNIX_LOCK)
_LINK_TARGET = re.compile(r"(\d+\.\d+\.\d+\.\d+):(\+?)(\d{1,10})", re.ASCII)
_THIS_MACHINE = "127.0.0.1"

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


if sys.platform == "win32":

    def is_in_use(folder: Path) -> bool:
        """Whether an application has the profile open now.

        False also means "can't be told": a lock of another machine is invisible in a share.
        """
        # Here, because it is slow to load, and not every command asks.
        import ctypes
        from ctypes import wintypes

        generic_read, share_all, open_existing, no_follow = 0x80000000, 0x7, 3, 0x00200000
        sharing_violation = 32

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
        if handle == wintypes.HANDLE(-1).value:
            return ctypes.get_last_error() == sharing_violation
        # At once: a Firefox that starts while this is open takes the profile for being in use.
        close_handle(handle)
        return False

else:
    import fcntl

    def is_in_use(folder: Path) -> bool:
        """Whether an application has the profile open now.

        False also means "can't be told": a lock of another machine is invisible in many network
        file systems.
        """
        locked = _is_locked(folder / _UNIX_LOCK)
        if locked:
            return True
        answered = locked is not None
        return any(_link_holds(folder / name, fcntl_answered=answered) for name in _LINK_LOCKS)

    def _is_locked(path: Path) -> bool | None:
        """Whether a process holds a `fcntl` lock on the file; None if the system doesn't say."""
        layout = FLOCK_LAYOUTS.get(sys.platform)
        if layout is None:
            return None
        form, type_field = layout
        fields = [0] * 5  # from the beginning, over the whole length
        fields[type_field] = fcntl.F_WRLCK
        try:
            # O_NONBLOCK, because it may be a FIFO; O_NOFOLLOW, because it may be a link lock.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            # F_GETLK only asks. To try a lock and release it, as is usual, would keep an
            # application out that starts in that moment.
            answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(form, *fields))
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return bool(struct.unpack(form, answer)[type_field] != fcntl.F_UNLCK)

    def _link_holds(path: Path, *, fcntl_answered: bool) -> bool:
        """Whether the file is a link lock whose owner still runs."""
        try:
            target = _LINK_TARGET.fullmatch(os.readlink(path))  # noqa: PTH115 - text, no path
        except OSError:
            return False
        if target is None:
            return False
        address, has_fcntl_lock, pid = target.groups()
        if has_fcntl_lock and fcntl_answered:
            return False  # its owner would hold that lock too: it has crashed
        if address != _THIS_MACHINE:
            return True
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

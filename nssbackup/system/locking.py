"""Locking: one run at a time in a folder, and one writer at a time in a file.

The operating system holds the locks, and lets go of them when their process ends in whatever way:
a file that is merely there would keep the next night out after a crash.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nssbackup.errors import OutputError
from nssbackup.system.files import PRIVATE_MODE

# What a file system without locks answers (some shares).
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
_HELD = frozenset({errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK})


# How long the workers of a run that was killed may take to notice it.
_PATIENCE = 3.0
_PAUSE = 0.05


class FolderLockedError(OutputError):
    """Another run is at work in the folder."""

    code = "folder-locked"
    default_hint = "wait until it has ended; if none is to be seen here, look on other computers"


@contextmanager
def only_run(lock_file: Path) -> Iterator[int | None]:
    """Keep other runs out for as long as this lasts.

    Yields:
        The descriptor that holds the lock, for child processes to inherit: with POSIX the folder
        stays locked until the last of them has ended. None where the drive knows no locks.

    Raises:
        FolderLockedError: there is one already.
        OSError: the file can't be made.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(lock_file, flags, PRIVATE_MODE)
    try:
        deadline = time.monotonic() + _PATIENCE
        while (held := _lock(descriptor, wait=False)) is False and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        if held is False:
            message = f"another batch is at work in `{lock_file.parent.parent}`"
            raise FolderLockedError(message)
        yield descriptor if held else None
    finally:
        os.close(descriptor)


@contextmanager
def locked(descriptor: int) -> Iterator[None]:
    """Be the only one to write to a file that others lock too; waits for them.

    Where there are no locks nobody is kept out: then it is for the caller to write at once.
    """
    held = _lock(descriptor, wait=True)
    try:
        yield
    finally:
        if held:
            _unlock(descriptor)


if sys.platform == "win32":
    import msvcrt

    # Behind the end of any file: what is locked there can be read and written nevertheless.
    _PLACE = 0x7FFF0000

    def _lock(descriptor: int, *, wait: bool) -> bool | None:
        """Whether the lock is held now; None where there are none."""
        while True:
            os.lseek(descriptor, _PLACE, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if error.errno not in _HELD:
                    return None
                if not wait:
                    return False
            else:
                return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _PLACE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, *, wait: bool) -> bool | None:
        """Whether the lock is held now; None where there are none."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno in _HELD:
                return False
            if error.errno in _NO_LOCKS:
                return None
            raise
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

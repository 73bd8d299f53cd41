"""Locks on open files: one run at a time in a folder, and one writer at a time in a file.

The operating system releases a lock when its process ends in whatever way. A file that merely
exists would keep everybody out after a crash. Not `filelock`: it locks paths, not the folders and
open files that are locked here, and takes 60 ms to load.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nssbackup.errors import OutputError

# What a file system without locks answers (some shares).
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
_HELD = frozenset({errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK})


class FolderLockedError(OutputError):
    """Another run is at work in the folder."""

    code = "folder-locked"
    default_hint = "wait until it has ended; if there is none on this computer, look on the others"


@contextmanager
def only_run(lock_file: Path) -> Iterator[None]:
    """Keep other runs out while this lasts. On a drive without locks nobody is kept out.

    Raises:
        FolderLockedError: another run is at work.
        OSError: the file can't be made.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(lock_file, flags, 0o600)
    try:
        if lock(descriptor, wait=False) is False:
            message = f"another run is at work in `{lock_file.parent.parent}`"
            raise FolderLockedError(message)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked(descriptor: int) -> Iterator[None]:
    """Be the only one to write to a file; wait for others that lock it too."""
    held = lock(descriptor, wait=True)
    try:
        yield
    finally:
        if held:
            _unlock(descriptor)


if sys.platform == "win32":
    import msvcrt

    # Beyond the end of any file: there the contents can still be read and written.
    _PLACE = 0x7FFF0000

    def lock(descriptor: int, *, wait: bool) -> bool | None:
        """Lock an open file until it is closed.

        Returns:
            True if the lock is held now, False if somebody else holds it, None if the drive has
            no locks.
        """
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

    def lock(descriptor: int, *, wait: bool) -> bool | None:
        """Lock an open file or folder until it is closed.

        Returns:
            True if the lock is held now, False if somebody else holds it, None if the drive has
            no locks.
        """
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

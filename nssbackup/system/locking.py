"""Locks on open files and folders, and the private folders that are locked while they are in use.

The operating system releases a lock when its process ends in whatever way. A file that merely
exists would keep everybody out after a crash. Not `filelock`: it locks paths, not the folders and
open files that are locked here, and takes 60 ms to load.

Scratch folders hold copies of databases, which are overwritten and removed after use. A run that
is killed can't do that; the next one does it instead.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nssbackup.errors import OutputError

if sys.platform == "win32":
    from nssbackup.system.windows_access import Windows

# What a file system without locks answers (some shares).
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
_HELD = frozenset({errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK})

_PREFIX = ".nssbackup-copy-"
_NAME = re.compile(re.escape(_PREFIX) + r"[A-Za-z0-9_]{8}")

# Windows can't lock folders: there an older one counts as abandoned.
_ABANDONED_SECONDS = 86_400

# No copy that is made there is larger.
_MOST_BYTES = 64 * 1024 * 1024
_ZEROS = bytes(64 * 1024)

# The folders for temporary files that have been searched.
_tidied: set[str] = set()


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


@contextmanager
def scratch_folder(parent: str | None = None) -> Iterator[Path]:
    """Make a new folder that only this user may enter, and remove it at the end.

    It is made in `parent`, by default the folder for temporary files.

    Raises:
        OSError: there is no place for one.
    """
    try:
        folder, descriptor = _new(parent or tempfile.gettempdir())
    except PermissionError:
        if parent is not None:
            raise
        # It was chosen with other rights than those of the user whose home is read now.
        tempfile.tempdir = None
        folder, descriptor = _new(tempfile.gettempdir())
    try:
        yield folder
    finally:
        _remove(folder)
        if descriptor is not None:
            os.close(descriptor)


def create_private_folder(folder: Path) -> None:
    """Make a new folder that nobody else may enter.

    Raises:
        OSError: it exists or can't be made.
    """
    if sys.platform == "win32":
        Windows.load().create_folder(os.fspath(folder))
        return
    folder.mkdir(mode=0o700)
    with suppress(OSError):  # the umask may have kept even us out; vfat knows no modes
        folder.chmod(0o700)


def wipe(folder: Path) -> None:
    """Overwrite and remove the files in a folder, but not those in folders within it.

    Raises:
        OSError: one of them can't be removed.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_file(follow_symlinks=False):
                continue
            with open(entry.path, "r+b") as file:
                # Beyond that there are only the holes that SQLite made as a journal told it to.
                size = min(entry.stat().st_size, _MOST_BYTES)
                file.writelines(_ZEROS for _ in range(0, size, len(_ZEROS)))
            os.unlink(entry.path)


def _new(parent: str) -> tuple[Path, int | None]:
    """Return a folder and the descriptor that holds its lock; None if there are no locks."""
    _remove_abandoned(parent)
    while True:
        folder = Path(parent, f"{_PREFIX}{os.urandom(4).hex()}")
        create_private_folder(folder)
        descriptor = _locked(folder)
        # Before it was locked, another run may have taken it for an abandoned one.
        with suppress(FileNotFoundError):
            if descriptor is None or os.path.samestat(folder.lstat(), os.fstat(descriptor)):
                return folder, descriptor
        if descriptor is not None:
            os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """Return a descriptor that holds the lock of a folder; None if it can't be locked."""
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    if lock(descriptor, wait=False):
        return descriptor
    os.close(descriptor)
    return None


def _remove(folder: Path) -> None:
    """Remove a folder and everything in it, even what can't be overwritten."""
    inner = [Path(one) for one, _, _ in os.walk(folder)]
    for each in reversed(inner):
        with suppress(OSError):  # removing it is what matters
            wipe(each)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: str) -> None:
    if parent in _tidied:
        return
    _tidied.add(parent)
    with suppress(OSError):
        for name in os.listdir(parent):
            if _NAME.fullmatch(name):
                with suppress(OSError):
                    _remove_if_abandoned(Path(parent, name))


def _remove_if_abandoned(folder: Path) -> None:
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        return
    if sys.platform == "win32":
        if facts.st_mtime < time.time() - _ABANDONED_SECONDS:
            _remove(folder)
        return
    if facts.st_uid != os.geteuid():
        return
    descriptor = _locked(folder)
    if descriptor is not None:
        _remove(folder)
        os.close(descriptor)

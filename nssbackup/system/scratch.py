"""Scratch: private folders for copies of databases, overwritten and removed after use.

A run that is killed can't do that. The next one that needs such a folder does it in its place: a
folder is locked as long as somebody is at work in it, and the operating system lets go of a lock
when its process ends in whatever way.
"""

from __future__ import annotations

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

_PREFIX = ".nssbackup-copy-"
_NAME = re.compile(re.escape(_PREFIX) + r"[A-Za-z0-9_]{8}")

# Windows locks no folders: there one that is older is taken for abandoned.
_ABANDONED_SECONDS = 86_400

# No copy that is put there is larger.
_MOST_BYTES = 64 * 1024 * 1024
_ZEROS = bytes(64 * 1024)

# The folders for temporary files that have been looked through.
_tidied: set[str] = set()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder that only this user may look into.

    Raises:
        OSError: there is no place for one.
    """
    _remove_abandoned(tempfile.gettempdir())
    folder, lock = _new()
    try:
        yield folder
    finally:
        _remove(folder)
        if lock is not None:
            os.close(lock)


def wipe(folder: Path) -> None:
    """Overwrite and remove the files in a folder, but not those in folders within it.

    Raises:
        OSError: one of them can't be.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_file(follow_symlinks=False):
                continue
            with open(entry.path, "r+b") as file:  # noqa: PTH123 - scandir gives paths as text
                # What SQLite made as long as a journal told it to is holes behind this.
                size = min(entry.stat().st_size, _MOST_BYTES)
                file.writelines(_ZEROS for _ in range(0, size, len(_ZEROS)))
            os.unlink(entry.path)  # noqa: PTH108


def _new() -> tuple[Path, int | None]:
    """A folder, and the descriptor that holds its lock; None where there are no locks."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(OSError):  # the umask may have kept even us out; vfat knows no modes
            folder.chmod(0o700)
        lock = _locked(folder)
        # Between its making and its locking it may have been taken for an abandoned one.
        with suppress(FileNotFoundError):
            if lock is None or os.path.samestat(folder.lstat(), os.fstat(lock)):
                return folder, lock
        if lock is not None:
            os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a folder and all that is in it, what can be overwritten only after that."""
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
        for name in os.listdir(parent):  # noqa: PTH208 - most have none, among thousands
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
    lock = _locked(folder)
    if lock is not None:
        _remove(folder)
        os.close(lock)


if sys.platform == "win32":

    def _locked(folder: Path) -> int | None:
        """None: there are no locks for folders."""
        del folder
        return None

else:
    import fcntl

    def _locked(folder: Path) -> int | None:
        """A descriptor that holds the lock of a folder; None where somebody else has it."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

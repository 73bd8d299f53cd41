"""Draft: a private file that is whole and on the disk, and has not got its name yet.

Where the system knows files without a name it has none at all, so that nothing is left of it
whatever happens, and in a folder that others write to too nobody can get at it. Elsewhere it has a
temporary name beside its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from nssbackup.errors import OutputExistsError

PRIVATE_MODE = 0o600

# How temporary names begin and end.
_BEGINNING, _END = ".nssbackup-", ".tmp"

_ON_WINDOWS = os.name == "nt"
_BLOCK = 1 << 20

# Where a file that has no name can be found nevertheless (proc(5); open(2) on O_TMPFILE).
_OPEN_FILES = "/proc/self/fd"
# What a file system without hard links answers (vfat, some shares).
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
# What else a system may answer that lets nobody name a file without a name.
_NO_NAMES = _NO_LINKS | {errno.ENOENT, errno.EXDEV, errno.EACCES}


class Draft:
    """The draft; a context manager that lets go of it, whether it got its name or not.

    Args:
        folder: where it will be.
        data: the contents, or their parts one after the other where they are large.

    Raises:
        OSError: it can't be written.
    """

    def __init__(self, folder: Path, data: bytes | Iterable[bytes]) -> None:
        self._folder = folder
        self._temporary: Path | None = None
        self._descriptor = _without_name(folder)
        if self._descriptor is None:
            self._take_temporary_name(data)
            return
        self._path = Path(_OPEN_FILES, str(self._descriptor))
        try:
            _write(self._descriptor, data)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def path(self) -> Path:
        """What it can be read by: its temporary name, or that of an open file."""
        return self._path

    def name(self, path: Path, *, replace: bool) -> bool:
        """Give it its name.

        Returns:
            False where the system gives this file none: then it is another one that `path` leads
            to now, a copy, and has to be named in its place.

        Raises:
            OutputExistsError: there is a file of that name, and it may not be replaced.
            OSError: it can't be done.
        """
        if self._temporary is None and not self._link(path, replace=replace):
            with self._path.open("rb") as file:
                self._take_temporary_name(iter(lambda: file.read(_BLOCK), b""))
            return False
        if self._temporary is None:
            return True
        if replace:
            os.replace(self._temporary, path)  # noqa: PTH105 - replaces on every system, as rename does not
        else:
            rename_to_new(self._temporary, path)
        return True

    def is_at(self, path: Path) -> bool:
        """Whether it is this very file that has the name now; True where that can't be told."""
        if self._descriptor is None:
            return True
        return os.path.samestat(os.fstat(self._descriptor), path.lstat())

    def _link(self, path: Path, *, replace: bool) -> bool:
        """Name a file without a name; False where the system doesn't do it.

        What is to be replaced can only be by a rename: then the file has a temporary name.
        """
        try:
            return self._is_linked(path)
        except FileExistsError as error:
            if not replace:
                message = f"`{path}` exists already"
                raise OutputExistsError(message) from error
        self._temporary = self._new_name()
        return self._is_linked(self._temporary)

    def _is_linked(self, path: Path) -> bool:
        """Give the open file this name; False where the system doesn't do it."""
        try:
            _link_open(self._path, path)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_NAMES:
                raise
            return False
        return True

    def _take_temporary_name(self, data: bytes | Iterable[bytes]) -> None:
        """Write the contents to a new file with a temporary name, which takes this one's place."""
        old, self._descriptor = self._descriptor, None
        self._path = self._temporary = self._new_name()
        try:
            self._descriptor = create_private(self._path)
            _write(self._descriptor, data)
            if _ON_WINDOWS:  # where an open file can't be renamed
                os.close(self._descriptor)
                self._descriptor = None
        except BaseException:
            self._close()
            raise
        finally:
            if old is not None:
                os.close(old)

    def _new_name(self) -> Path:
        # Not made of the file's own name, which may be as long as the file system allows.
        return self._folder / f"{_BEGINNING}{os.urandom(8).hex()}{_END}"

    def _close(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # all of it is on the disk, or not wanted
                os.close(self._descriptor)
            self._descriptor = None
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Whether a name is one of those that drafts have."""
    return name.startswith(_BEGINNING) and name.endswith(_END)


def write_private(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Make a new file that only its owner may read, with its contents on the disk.

    Raises:
        OSError: there is one of that name, or it can't be written.
    """
    descriptor = create_private(path)
    try:
        _write(descriptor, data)
    finally:
        os.close(descriptor)


def create_private(path: Path) -> int:
    """Make a new file that nobody else may open from the first moment on; it is open to write.

    Raises:
        OSError: there is one of that name, or it can't be made.
    """
    if _ON_WINDOWS:
        from nssbackup.system.windows_access import create_for_owner

        return create_for_owner(os.fspath(path))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags, PRIVATE_MODE)


def rename_to_new(temporary: Path, path: Path) -> None:
    """Rename without ever replacing: a file that came into being meanwhile stays."""
    try:
        if _ON_WINDOWS:
            temporary.rename(path)  # refuses an existing name on Windows
            return
        os.link(temporary, path)
    except FileExistsError as error:
        message = f"`{path}` exists already"
        raise OutputExistsError(message) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            message = f"`{path}` exists already"
            raise OutputExistsError(message) from error
        temporary.rename(path)


def _write(descriptor: int, data: bytes | Iterable[bytes]) -> None:
    """Put contents into a new file, and see to it that they are on the disk."""
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        if hasattr(os, "fchmod"):
            # The umask may have taken the owner's own rights away. Fails where the file system
            # has no modes (vfat), which then have none to give away.
            with contextlib.suppress(PermissionError):
                os.fchmod(descriptor, PRIVATE_MODE)
        file.writelines((data,) if isinstance(data, bytes) else data)
        file.flush()
        os.fsync(descriptor)


def _without_name(folder: Path) -> int | None:
    """A new private file in a folder, open and without a name.

    None where there is no such thing, or no way to give it a name later: Linux has it on most of
    its own file systems, and nobody on vfat or a share.
    """
    flag = getattr(os, "O_TMPFILE", 0)
    if not flag:
        return None
    try:
        descriptor = os.open(folder, flag | os.O_RDWR, PRIVATE_MODE)
    except OSError:  # if it is for another reason, the next attempt will say so
        return None
    with contextlib.suppress(OSError):
        path = f"{_OPEN_FILES}/{descriptor}"
        if os.path.samestat(os.stat(path), os.fstat(descriptor)):  # noqa: PTH116 - of no folder
            return descriptor
    os.close(descriptor)
    return None


def _link_open(source: Path, path: Path) -> None:
    """Give an open file a name: what `source` leads to, not the link that it is (linkat(2))."""
    # Python has the link followed only where it is told a folder to start at, of which an absolute
    # path makes no use.
    descriptor = os.open(_OPEN_FILES, os.O_RDONLY)
    try:
        os.link(source, path, src_dir_fd=descriptor, follow_symlinks=True)
    finally:
        os.close(descriptor)

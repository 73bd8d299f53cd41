"""The one way to write a file: private, checked, and only then under its name.

The contents go to a temporary file beside the target, which only its owner may read. It is flushed
to the disk, read back by a check, and renamed. A run that is killed leaves the target as it was;
the temporary file it may leave is removed by the next run that writes to the folder.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from nssbackup.errors import OutputError, OutputExistsError, reason
from nssbackup.printable import printable
from nssbackup.system.locking import create_private_folder, lock

if sys.platform == "win32":
    from nssbackup.system.windows_access import create_for_owner

PRIVATE_MODE = 0o600

_ON_WINDOWS = os.name == "nt"

# How the names of temporary files begin and end.
_BEGINNING, _END = ".nssbackup-", ".tmp"
# Where files can't be locked, a temporary file that is older was left by a run that was killed.
_ABANDONED_SECONDS = 86_400
# The folders that have been searched for what killed runs left.
_tidied: set[Path] = set()

# What a file system without hard links answers (vfat, some shares).
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})

# Names that Windows keeps for devices, with any ending (learn.microsoft.com, "Naming Files").
_RESERVED = frozenset(
    [
        *("con", "conin$", "conout$", "prn", "aux", "nul"),
        *(f"{d}{n}" for d in ("com", "lpt") for n in "123456789¹²³"),
    ]
)
_FORBIDDEN = frozenset('<>:"/\\|?*')
# Most file systems allow 255 bytes. The rest is for what is appended to the name.
_MAX_NAME_BYTES = 180


def write_verified(
    path: Path,
    data: bytes | Iterable[bytes],
    check: Callable[[Path], None],
    *,
    replace: bool = False,
) -> None:
    """Write a private file and give it its name only after `check` has accepted it.

    Args:
        path: the final name; its folder must exist.
        data: the contents, or their parts in order if they are large.
        check: called with the path of the written file; raises if it is not right. Called again
            if another program put something else in its place.
        replace: whether an existing file may be replaced.

    Raises:
        OutputExistsError: the file exists and may not be replaced.
        OutputError: the file can't be written.
    """
    check_writable(path, replace=replace)
    if path.parent not in _tidied:
        _tidied.add(path.parent)
        remove_leftovers(path.parent)
    try:
        with _temporary_file(path.parent, data) as (temporary, descriptor):
            check(temporary)
            if replace:
                os.replace(temporary, path)
            else:
                _rename_to_new(temporary, path)
            # Where others may write to the folder, the file may have been exchanged after the
            # check. Some shares also renumber a file that is renamed.
            if descriptor is not None and not os.path.samestat(os.fstat(descriptor), path.lstat()):
                check(path)
        flush_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


def write_private(path: Path, data: bytes) -> None:
    """Make a new file that only its owner may read, with its contents on the disk.

    Raises:
        OSError: the file exists or can't be written.
    """
    descriptor = create_private(path)
    try:
        _write(descriptor, [data])
    finally:
        os.close(descriptor)


def create_private(path: Path) -> int:
    """Make a new file that nobody else may open, and return a descriptor to write to.

    Raises:
        OSError: the file exists or can't be made.
    """
    if sys.platform == "win32":
        return create_for_owner(os.fspath(path))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, PRIVATE_MODE)
    # The umask may have kept even us out. It fails on a file system without modes (vfat).
    with suppress(PermissionError):
        os.fchmod(descriptor, PRIVATE_MODE)
    return descriptor


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename a file, but never over another one: that raises OutputExistsError."""
    try:
        if _ON_WINDOWS:
            temporary.rename(path)  # refuses an existing name on Windows
            return
        os.link(temporary, path)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise _exists(path) from error
        temporary.rename(path)
    else:
        temporary.unlink()


def check_writable(path: Path, *, replace: bool = False) -> None:
    """Find out early, before a password is asked for, that a file can't be written.

    Raises:
        OutputExistsError: the file exists and may not be replaced.
        OutputError: its folder is missing or closed to us, or the name is a folder's.
    """
    folder = path.parent
    _check_name(path)
    if not os.path.isdir(folder):
        if os.path.exists(folder):
            message = f"`{folder}` is not a folder"
            raise OutputError(message, hint="choose another with `--output`")
        message = f"the folder `{folder}` does not exist"
        raise OutputError(message, hint="create it first, or choose another with `--output`")
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unwritable(path, error) from error
    else:
        if stat.S_ISDIR(mode):
            message = f"`{path}` is a folder"
            raise OutputError(message)
        if not replace:
            raise _exists(path)
    if not is_writable(folder):
        message = f"the folder `{folder}` can't be written to"
        raise OutputError(message, hint="choose another with `--output`")


def is_writable(folder: Path) -> bool:
    """Return whether files can be made in a folder."""
    if sys.platform != "win32":
        return os.access(folder, os.W_OK | os.X_OK)
    try:  # only trying tells: `os.access` says yes to every folder of Windows
        path, descriptor = _new_temporary(folder)
        os.close(descriptor)
        path.unlink()
    except OSError:
        return False
    return True


def unusable_name(path: PurePath) -> str | None:
    """Return why Windows makes no file at a path, or None."""
    for part in path.parts[bool(path.anchor) :]:
        if part.split(".")[0].rstrip().casefold() in _RESERVED:
            return f"`{part}` is the name of a device on Windows"
        if wrong := next((c for c in part if c in _FORBIDDEN or not c.isprintable()), None):
            return f"`{part}` can't be a name on Windows, because of the `{printable(wrong)}`"
    return None


def safe_name(text: str) -> str:
    """Return a file name made of any text that Windows, macOS and Linux all accept.

    Control characters, separators and other forbidden characters become `_`. Device names get a
    `_` in front. The length is bounded in bytes. The name is never empty, `.` or `..`.
    """
    encoding = sys.getfilesystemencoding()  # a locale may lack some of the characters
    text = text.encode(encoding, "replace").decode(encoding)
    kept = "".join("_" if c in _FORBIDDEN or not c.isprintable() else c for c in text)
    # Windows drops blanks and dots at the end; a dot in front hides the file.
    name = " ".join(kept.split()).strip(". ")
    while len(name.encode()) > _MAX_NAME_BYTES:
        name = name[:-1]
    name = name.rstrip(". ")
    if not name or name.split(".")[0].rstrip().casefold() in _RESERVED:
        name = f"_{name}"
    return name


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that this user's killed runs left in a folder.

    Files that another run is writing now are kept, and so is what can't be removed.
    """
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(_BEGINNING) and name.endswith(_END):
                path = folder / name
                with suppress(OSError):
                    if _is_abandoned(path):
                        path.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter, and those above it, if they are missing.

    Raises:
        OSError: it can't be made, or is a file.
        OutputError: Windows allows no such name.
    """
    _check_name(folder)
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        with suppress(FileExistsError):  # another process was quicker
            create_private_folder(one)
        flush_folder(one.parent)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def flush_folder(folder: Path) -> None:
    """Make a new name in a folder durable, where the system can (Windows can't)."""
    if _ON_WINDOWS:
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _temporary_file(
    folder: Path, data: bytes | Iterable[bytes]
) -> Iterator[tuple[Path, int | None]]:
    """Make a temporary file with these contents, and remove it at the end.

    Yields:
        Its path and an open descriptor; None on Windows, where an open file can't be renamed.
    """
    path, descriptor = _new_temporary(folder)
    try:
        try:
            _write(descriptor, [data] if isinstance(data, bytes) else data)
        finally:
            if _ON_WINDOWS:
                os.close(descriptor)
        yield path, None if _ON_WINDOWS else descriptor
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        if not _ON_WINDOWS:
            with suppress(OSError):  # its contents are on the disk, or not wanted
                os.close(descriptor)


def _new_temporary(folder: Path) -> tuple[Path, int]:
    while True:
        # Not made from the file's own name, which may be as long as the file system allows.
        path = folder / f"{_BEGINNING}{os.urandom(8).hex()}{_END}"
        descriptor = create_private(path)
        # The lock tells other runs that this file is not abandoned. One of them may have removed
        # it before it was locked.
        if _ON_WINDOWS or not lock(descriptor, wait=True) or os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)


def _is_abandoned(path: Path) -> bool:
    """Return whether a temporary file is this user's, and no run is writing it."""
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode):
        return False
    if sys.platform != "win32":
        if facts.st_uid != os.geteuid():
            return False
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if lock(descriptor, wait=False):
                return True
        finally:
            os.close(descriptor)
    return facts.st_mtime < time.time() - _ABANDONED_SECONDS


def _write(descriptor: int, parts: Iterable[bytes]) -> None:
    """Write the contents of a new file and flush them to the disk."""
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.writelines(parts)
        file.flush()
        os.fsync(descriptor)


def _check_name(path: Path) -> None:
    if sys.platform == "win32" and (message := unusable_name(path)):
        raise OutputError(message, hint="choose another name")


def _exists(path: Path) -> OutputExistsError:
    message = f"`{path}` exists already"
    return OutputExistsError(message)


def _unwritable(path: Path, error: OSError) -> OutputError:
    message = f"`{path}` can't be written: {reason(error)}"
    return OutputError(message)

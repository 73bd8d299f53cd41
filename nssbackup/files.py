"""Files: the only place that creates any. Private, staged, and never a half-written one.

A file is written under a temporary name beside its own, flushed to the disk, handed to a check
that reads it back, and only then given its name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from nssbackup.errors import OutputError, OutputExistsError

PRIVATE_MODE = 0o600

# Names that Windows keeps for devices, with any ending (learn.microsoft.com, "Naming Files").
_RESERVED = frozenset(
    [
        "con",
        "conin$",
        "conout$",
        "prn",
        "aux",
        "nul",
        *(f"{d}{n}" for d in ("com", "lpt") for n in "123456789¹²³"),
    ]
)
_FORBIDDEN = frozenset('<>:"/\\|?*')
# How the names of files begin and end that have not got their own yet.
_TEMPORARY = (".nssbackup-", ".tmp")
# Most file systems end at 255 bytes; the rest is for what is put behind the name.
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
        data: the contents, or their parts one after the other where they are large.
        check: is called with the temporary file's path and raises if it is not right.
        replace: whether a file of that name may be replaced.

    Raises:
        OutputExistsError: there is one, and it may not be replaced.
        OutputError: the operating system did not let us write.
    """
    check_writable(path, replace=replace)
    # Not made of the file's own name, which may be as long as the file system allows.
    temporary = path.with_name(f"{_TEMPORARY[0]}{secrets.token_hex(8)}{_TEMPORARY[1]}")
    try:
        write_private(temporary, data)
        check(temporary)
        if replace:
            os.replace(temporary, path)  # noqa: PTH105 - replaces on every system, as rename does not
        else:
            rename_to_new(temporary, path)
        flush_folder(path.parent)
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(path: Path, *, replace: bool = False) -> None:
    """Find out early that a file can't be written: before a password is asked for.

    Raises:
        OutputExistsError: it exists and may not be replaced.
        OutputError: its folder is missing or closed to us, or the name is a folder's.
    """
    folder = path.parent
    if not os.path.isdir(folder):  # noqa: PTH112 - Path's own raises for a name too long
        message = f"the folder `{folder}` does not exist"
        raise OutputError(message, hint="create it first, or choose another with `--output`")
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _output_error(path, error) from error
    else:
        if stat.S_ISDIR(mode):
            message = f"`{path}` is a folder"
            raise OutputError(message)
        if not replace:
            message = f"`{path}` exists already"
            raise OutputExistsError(message)
    if not os.access(folder, os.W_OK | os.X_OK):
        message = f"the folder `{folder}` can't be written to"
        raise OutputError(message, hint="choose another with `--output`")


def safe_name(text: str) -> str:
    """A file name without folder that Windows, macOS and Linux all take, made of any text.

    Control characters, separators and what else a system forbids become `_`, device names get
    one in front, and the length is bounded in bytes. Never empty, `.` or `..`.
    """
    kept = "".join(
        "_" if c in _FORBIDDEN or not c.isprintable() or "\ud800" <= c <= "\udfff" else c
        for c in text
    )
    # Windows drops blanks and dots at the end; a dot in front hides the file.
    name = _shorten(" ".join(kept.split()).strip(". "))
    if not name or name.split(".")[0].rstrip().casefold() in _RESERVED:
        name = f"_{name}"
    return name


def _shorten(name: str) -> str:
    while len(name.encode()) > _MAX_NAME_BYTES:
        name = name[:-1]
    return name.rstrip(". ")


def write_private(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Make a new file that only its owner may read, with its contents on the disk.

    Raises:
        OSError: there is one of that name, or it can't be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, PRIVATE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        if hasattr(os, "fchmod"):
            # The umask may have taken the owner's own rights away. Fails where the file system
            # has no modes (vfat), which then have none to give away.
            with contextlib.suppress(PermissionError):
                os.fchmod(descriptor, PRIVATE_MODE)
        file.writelines((data,) if isinstance(data, bytes) else data)
        file.flush()
        os.fsync(descriptor)


def rename_to_new(temporary: Path, path: Path) -> None:
    """Rename without ever replacing: a file that came into being meanwhile stays."""
    try:
        if os.name == "nt":
            temporary.rename(path)  # refuses an existing name on Windows
            return
        os.link(temporary, path)
    except FileExistsError as error:
        message = f"`{path}` exists already"
        raise OutputExistsError(message) from error
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        # A file system without hard links (vfat, some shares).
        if os.path.lexists(path):
            message = f"`{path}` exists already"
            raise OutputExistsError(message) from error
        temporary.rename(path)


def remove_leftovers(folder: Path) -> None:
    """Remove what a run that was killed left in a folder: files that never got their names.

    Nobody else may be writing there. What can't be removed stays.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - most folders have none, and thousands of them
            if name.startswith(_TEMPORARY[0]) and name.endswith(_TEMPORARY[1]):
                (folder / name).unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, that only its owner may look into; it may be there.

    Raises:
        OSError: it can't be made, or is a file.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process was quicker
            one.mkdir(mode=0o700)
        flush_folder(one.parent)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def flush_folder(folder: Path) -> None:
    """Make the new name itself durable. Windows has no such thing to open."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _output_error(path: Path, error: OSError) -> OutputError:
    reason = (error.strerror or type(error).__name__).lower()
    message = f"`{path}` can't be written: {reason}"
    return OutputError(message)

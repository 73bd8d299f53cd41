"""Files: private, staged, and never a half-written one.

A file is written as a draft, flushed to the disk, handed to a check that reads it back, and only
then given its name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from nssbackup.errors import OutputError, OutputExistsError
from nssbackup.system.draft import PRIVATE_MODE, Draft, is_temporary, rename_to_new, write_private

__all__ = [
    "PRIVATE_MODE",
    "check_writable",
    "flush_folder",
    "make_folder",
    "remove_leftovers",
    "rename_to_new",
    "safe_name",
    "write_private",
    "write_verified",
]

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
# A draft with a temporary name that is older was left by a run that was killed.
_ABANDONED_SECONDS = 86_400
# Most file systems end at 255 bytes; the rest is for what is put behind the name.
_MAX_NAME_BYTES = 180

# The folders that have been looked through for what killed runs left in them.
_tidied: set[Path] = set()


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
        check: is called with a path by which the file can be read, and raises if it is not right;
            where the system makes difficulties, more than once.
        replace: whether a file of that name may be replaced.

    Raises:
        OutputExistsError: there is one, and it may not be replaced.
        OutputError: the operating system did not let us write, or another program came between.
    """
    check_writable(path, replace=replace)
    if path.parent not in _tidied:
        _tidied.add(path.parent)
        remove_leftovers(path.parent, abandoned=True)
    try:
        with Draft(path.parent, data) as draft:
            check(draft.path)
            while not draft.name(path, replace=replace):
                check(draft.path)
            # In a folder that others write to, what was checked may have been put aside. Some
            # shares number a file anew when it gets its name: then it is looked at once more.
            if not draft.is_at(path):
                check(path)
        flush_folder(path.parent)
    except OSError as error:
        raise _output_error(path, error) from error


def check_writable(path: Path, *, replace: bool = False) -> None:
    """Find out early that a file can't be written: before a password is asked for.

    Raises:
        OutputExistsError: it exists and may not be replaced.
        OutputError: its folder is missing or closed to us, or the name is a folder's.
    """
    folder = path.parent
    if not os.path.isdir(folder):  # noqa: PTH112 - Path's own raises for a name too long
        if os.path.exists(folder):  # noqa: PTH110 - as above
            message = f"`{folder}` is not a folder"
            raise OutputError(message, hint="choose another with `--output`")
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
    encoding = sys.getfilesystemencoding()  # a locale may know fewer letters than there are
    text = text.encode(encoding, "replace").decode(encoding)
    kept = "".join("_" if c in _FORBIDDEN or not c.isprintable() else c for c in text)
    # Windows drops blanks and dots at the end; a dot in front hides the file.
    name = _shorten(" ".join(kept.split()).strip(". "))
    if not name or name.split(".")[0].rstrip().casefold() in _RESERVED:
        name = f"_{name}"
    return name


def _shorten(name: str) -> str:
    while len(name.encode()) > _MAX_NAME_BYTES:
        name = name[:-1]
    return name.rstrip(". ")


def remove_leftovers(folder: Path, *, abandoned: bool = False) -> None:
    """Remove what a run that was killed left in a folder: files that never got their names.

    What can't be removed stays.

    Args:
        folder: where. Nobody else may be writing there, unless
        abandoned: only those of this user that nobody can be at work on any more.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - most folders have none, and thousands of them
            if is_temporary(name):
                with contextlib.suppress(OSError):
                    path = folder / name
                    if not abandoned or _is_abandoned(path):
                        path.unlink()


def _is_abandoned(path: Path) -> bool:
    facts = path.lstat()
    ours = sys.platform == "win32" or facts.st_uid == os.geteuid()
    old = facts.st_mtime < time.time() - _ABANDONED_SECONDS
    return stat.S_ISREG(facts.st_mode) and ours and old


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, that only its owner may look into; it may be there.

    Raises:
        OSError: it can't be made, or is a file.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process was quicker
            one.mkdir(mode=0o700)
            with contextlib.suppress(OSError):  # the umask may have kept even us out
                one.chmod(0o700)
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

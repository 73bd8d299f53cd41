"""The one way to read a file that somebody else made: regular files only, and up to a limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

# Windows has no O_NONBLOCK, and no FIFO to wait for either; O_BINARY is Windows' own.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_bounded(path: str | Path, limit: int) -> bytes:
    """Return the contents of a file; a symbolic link is followed.

    Args:
        path: the file.
        limit: the most bytes it may have.

    Raises:
        OSError: it can't be read, is not a regular file, is larger than `limit`, or changed while
            it was read. `errors.reason` says which. A missing file is a FileNotFoundError.
    """
    try:
        # Before opening: opening a device or a FIFO may already do something.
        _check(os.stat(path), limit)  # noqa: PTH116 - thousands of files, as text
        with open(path, "rb", opener=_open) as file:
            size = _check(os.fstat(file.fileno()), limit)
            data = file.read(size + 1)
    except ValueError as error:  # a NUL in the path
        message = "not a valid file name"
        raise OSError(message) from error
    if len(data) != size:
        message = "changed while it was read"
        raise OSError(message)
    return data


def read_text(path: str | Path, limit: int) -> str:
    """Return the contents of a file as text, or an empty string if it can't be read.

    A byte order mark is skipped. What is not UTF-8 becomes U+FFFD.
    """
    try:
        return read_bounded(path, limit).decode("utf-8-sig", "replace")
    except OSError:
        return ""


def _open(path: str, _: int) -> int:
    return os.open(path, _OPEN_FLAGS)


def _check(facts: os.stat_result, limit: int) -> int:
    """Return the size of a file, or raise OSError if it is not one to read."""
    if not stat.S_ISREG(facts.st_mode):
        message = "not a regular file"
        raise OSError(message)
    if facts.st_size > limit:
        message = f"too large ({facts.st_size:,} bytes; the limit is {limit:,})"
        raise OSError(message)
    return facts.st_size

"""Reading a small file of unknown origin: no waiting for one that is none, no end without limit."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# Windows has no O_NONBLOCK, and no FIFO to wait for either; O_BINARY is Windows' own.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_bounded(path: Path, limit: int) -> bytes:
    """The contents of the file at `path`; a symbolic link is followed.

    Raises:
        OSError: the file can't be read, is no regular file, or is larger than `limit`.
    """
    # Before opening: to open a device or FIFO can already have an effect on somebody.
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with open(os.open(path, _OPEN_FLAGS), "rb") as file:  # noqa: PTH123 - a descriptor, no path
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def text_of(path: Path, limit: int) -> str:
    """The contents of the file at `path` as UTF-8 text; empty where it can't be read.

    A byte order mark is skipped, and what is no UTF-8 becomes U+FFFD.
    """
    try:
        return read_bounded(path, limit).decode("utf-8-sig", "replace")
    except (OSError, ValueError):  # ValueError: what can't be a path, as with a NUL in it
        return ""

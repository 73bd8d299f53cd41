"""The one way to read a file that somebody else made, and a limit on the work it may cause."""

from __future__ import annotations

import math
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:  # slow to load, and not every reader needs it
    import sqlite3

# Windows has no O_NONBLOCK, and no FIFO to wait for either; O_BINARY is Windows' own.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

# Instructions of SQLite's virtual machine in one step of a budget.
_INSTRUCTIONS = 100


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
        _check(os.stat(path), limit)
        with open(path, "rb", opener=without_waiting) as file:
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


def without_waiting(path: str, _: int) -> int:
    """Open a file to read; an opener for `open` that does not wait for the writer of a FIFO."""
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


class Budget:
    """A limit on the work that bytes of unknown origin may cause: every reader of them takes one.

    It counts the processor time of this thread, not the time by the clock, so that a busy machine
    never changes a result, and optionally steps. The time runs from the start; of a context manager
    it runs only inside `with`, however often that is entered.
    """

    def __init__(self, seconds: float, steps: int | None = None) -> None:
        self._seconds = seconds
        self._deadline = time.thread_time() + seconds
        self._steps = math.inf if steps is None else steps

    def __enter__(self) -> Self:
        self._deadline = time.thread_time() + self._seconds
        return self

    def __exit__(self, *_: object) -> None:
        self._seconds = self._deadline - time.thread_time()

    def take(self, steps: int = 1) -> None:
        """Count steps that were done."""
        self._steps -= steps

    def is_spent(self) -> bool:
        """Return whether the time or the steps are used up."""
        return self._steps <= 0 or time.thread_time() > self._deadline

    def limit(self, database: sqlite3.Connection) -> None:
        """Have SQLite stop with the error `interrupted` once this budget is spent.

        A step is a hundred instructions of its virtual machine. Replaces an earlier budget.
        """

        def is_over() -> bool:
            self.take()
            return self.is_spent()

        database.set_progress_handler(is_over, _INSTRUCTIONS)

"""A limit on the work that bytes of unknown origin may cause.

Every reader of such bytes takes a budget. It counts the processor time of this thread, not the
time by the clock, so that a busy machine never changes a result.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:  # slow to load, and not every reader needs it
    import sqlite3

# Instructions of SQLite's virtual machine in one step.
_INSTRUCTIONS = 100


class Budget:
    """Processor time of this thread, and optionally a number of steps.

    The time runs from the start. Used as a context manager it runs only inside `with`, however
    often that is entered.

    Args:
        seconds: of processor time.
        steps: how many steps may be taken; None for no limit.
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

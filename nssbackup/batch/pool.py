"""Pool: worker processes, each driven by a thread; one that dies takes a single user with it.

They are started when there is something to do, and with this process's own idea of where packages
lie. Passwords reach them through a pipe.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from nssbackup.batch.naming import ESCROW_FOLDER, STATE_FOLDER
from nssbackup.batch.orders import Orders
from nssbackup.batch.report import BatchItem, Outcome, error_document
from nssbackup.batch.users import User
from nssbackup.errors import NssBackupError, reason
from nssbackup.system.child import Child
from nssbackup.system.files import remove_leftovers

_SCRIPT = Path(__file__).with_name("worker.py")

# How many users wait for a worker beyond those at work: enough that none is idle.
_AHEAD = 2


class WorkerError(NssBackupError):
    """A worker process ended, could not be started, or did not answer."""

    code = "worker-ended"
    exit_status = 3
    default_hint = "run the batch again: it goes on with what is missing"


@dataclass(frozen=True, slots=True)
class Program:
    """What is run as a worker, and how long one user may take, in seconds.

    A user with a dozen identities takes five; a share that does not answer takes for ever.
    """

    script: Path = _SCRIPT
    time_limit: float = 600.0


class Pool:
    """Workers for some orders; a context manager that ends them.

    Args:
        orders: what they are to do.
        jobs: how many there may be.
        inherited: a descriptor that they hold open as long as they live.
        program: what is run.
    """

    def __init__(
        self,
        orders: Orders,
        jobs: int,
        inherited: int | None = None,
        program: Program | None = None,
    ) -> None:
        self._orders = orders
        self._jobs = jobs
        self._inherited = inherited
        self._program = program or Program()
        self._executor = ThreadPoolExecutor(jobs, "nssbackup-batch")
        self._own = threading.local()
        self._workers: set[_Worker] = set()
        self._busy: set[User] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        busy = set(self._busy)
        for worker in list(self._workers):
            worker.kill()
        self._executor.shutdown(wait=True, cancel_futures=True)
        for worker in list(self._workers):
            worker.end()
        for user in busy:  # cut off in the middle: only after an interruption
            for folder in (user.folder, Path(ESCROW_FOLDER) / user.folder, STATE_FOLDER):
                remove_leftovers(self._orders.folder / folder)

    def outcomes(self, users: Iterable[User]) -> Iterator[Outcome]:
        """What became of each user, in the order that they are finished in."""
        waiting: set[Future[Outcome]] = set()
        for user in users:
            waiting.add(self._executor.submit(self._outcome, user))
            while len(waiting) >= self._jobs * (1 + _AHEAD):
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (one.result() for one in done)

    def _outcome(self, user: User) -> Outcome:
        worker: _Worker | None = getattr(self._own, "worker", None)
        self._busy.add(user)
        try:
            if worker is None:
                worker = _Worker(self._orders.to_wire(), self._inherited, self._program)
                self._own.worker = worker
                self._workers.add(worker)
            outcome = worker.ask(user)
        except WorkerError as error:
            if worker is not None:
                worker.end()
                self._workers.discard(worker)
            self._own.worker = None
            return Outcome(tuple(_failed(user, self._orders.host, error)))
        self._busy.discard(user)
        return outcome


class _Worker:
    """A process with its orders."""

    def __init__(self, orders: str, inherited: int | None, program: Program) -> None:
        self._time_limit = program.time_limit
        try:
            self._child = Child(
                [os.fspath(program.script), *map(os.path.abspath, sys.path)],
                time_limit=program.time_limit,
                inherited=inherited,
            )
        except OSError as error:
            message = f"a worker process can't be started: {reason(error)}"
            raise WorkerError(message) from error
        self._child.tell(orders.encode("ascii"))

    def ask(self, user: User) -> Outcome:
        """Have a user backed up.

        Raises:
            WorkerError: the process ended, or did not answer in time.
        """
        try:
            answer = self._child.ask(json.dumps(user.to_wire()).encode("ascii"))
        except TimeoutError:
            message = f"there was no end to it within {self._time_limit / 60:g} minutes"
            raise WorkerError(message, hint="is a share gone that the home lies on?") from None
        except EOFError:
            message = "the process that was at work on it was killed, or ran out of memory"
            raise WorkerError(message) from None
        try:
            return Outcome.of_json(json.loads(answer))
        except (ValueError, TypeError, KeyError, AttributeError):
            # Without its cause, which may hold what was answered.
            message = "the process that was at work on it answered with something else"
            raise WorkerError(message) from None

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self._child.kill()

    def end(self) -> None:
        """End the process and see it off."""
        self._child.end()


def _failed(user: User, host: str, error: NssBackupError) -> Iterator[BatchItem]:
    for member in user.members:
        yield BatchItem(
            status="failed",
            host=host,
            user=member.user,
            home=str(member.path) if member.home else None,
            profile=None if member.home else str(member.path),
            error=error_document(error),
        )

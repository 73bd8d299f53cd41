"""Worker processes: each backs up one user at a time, and takes only that user along if it dies.

Python's own process pools give up, or wait for ever on a shared lock, when a worker is killed. So
each worker has a pipe of its own here and a thread that waits for it. Options and passwords go
through the pipe: never into arguments or the environment.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

from nssbackup.batch.layout import ESCROW_FOLDER, STATE_FOLDER
from nssbackup.batch.options import BatchOptions
from nssbackup.batch.user_backup import Outcome, back_up_user, failed_user
from nssbackup.batch.users import User
from nssbackup.errors import InternalError, NssBackupError, reason
from nssbackup.secret import Secret
from nssbackup.system.files import remove_leftovers
from nssbackup.system.ownership import keep_memory_private

# A user with a dozen certificates takes five seconds; a share that doesn't answer, for ever.
_TIME_LIMIT = 600.0
# The workers' start method everywhere: a fork would copy the parent's threads and locks.
_PROCESSES = multiprocessing.get_context("spawn")

BackUp = Callable[[User, BatchOptions], Outcome]

# Secrets refuse to be pickled, except into the pipe of a worker.
ForkingPickler.register(Secret, lambda secret: (Secret, (secret.reveal(),)))


class WorkerError(NssBackupError):
    """A worker process ended, could not be started, or did not answer."""

    code = "worker-ended"
    exit_status = 3
    default_hint = "run the same command again: it goes on with what is missing"


@dataclass(slots=True)
class Workers:
    """Backs up users in worker processes; one may take `time_limit` seconds."""

    options: BatchOptions
    time_limit: float = _TIME_LIMIT
    back_up: BackUp = back_up_user

    def outcomes(self, users: Iterable[User]) -> Generator[Outcome]:
        """Yield what became of each user, in the order that they are finished in.

        Close the iterator to end the workers.
        """
        jobs = self.options.jobs or os.cpu_count() or 1
        own = threading.local()
        started: list[_Worker] = []
        busy: set[User] = set()
        ending = threading.Event()

        def outcome(user: User) -> Outcome:
            busy.add(user)
            try:
                if getattr(own, "worker", None) is None:
                    own.worker = _Worker(self.options, self.back_up)
                    started.append(own.worker)
                    if ending.is_set():  # it started while the others were killed
                        own.worker.kill()
                found: Outcome = own.worker.ask(user, self.time_limit)
            except WorkerError as error:
                if (worker := getattr(own, "worker", None)) is not None:
                    worker.kill()
                own.worker = None
                return failed_user(user, self.options.host, error)
            busy.discard(user)
            return found

        try:
            with _spawning(), ThreadPoolExecutor(jobs, initializer=_leave_ctrl_c_to_main) as pool:
                try:
                    work = [pool.submit(outcome, user) for user in users]
                    yield from (one.result() for one in as_completed(work))
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)
                    ending.set()
                    for worker in started:
                        worker.kill()
        finally:
            for user in busy:  # those whose workers were killed
                for folder in (user.folder, Path(ESCROW_FOLDER) / user.folder, STATE_FOLDER):
                    remove_leftovers(self.options.folder / folder)


class _Worker:
    """A process and the pipe to it."""

    def __init__(self, options: BatchOptions, back_up: BackUp) -> None:
        self._pipe, theirs = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=_serve, args=(theirs,), daemon=True)
        try:
            self._process.start()
            theirs.close()
            self._pipe.send((options, back_up))
        except OSError as error:
            message = f"a worker process can't be started: {reason(error)}"
            raise WorkerError(message) from error

    def ask(self, user: User, time_limit: float) -> Outcome:
        """Have a user backed up.

        Raises:
            WorkerError: the process ended, or did not answer in time.
        """
        try:
            self._pipe.send(user)
            if not self._pipe.poll(time_limit):
                message = f"timed out after {time_limit / 60:g} minutes"
                raise WorkerError(message, hint="does the share with this home still answer?")
            outcome = self._pipe.recv()
        except (EOFError, OSError):
            message = "the worker process was killed, or ran out of memory"
            raise WorkerError(message) from None
        if isinstance(outcome, Outcome):
            return outcome
        message = "the worker sent an invalid answer"
        raise WorkerError(message)

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        with contextlib.suppress(OSError, AttributeError, ValueError):
            self._process.kill()
            self._process.join(5)


@contextmanager
def _spawning() -> Iterator[None]:
    """Prepare the starting of processes.

    They must load nothing from the current folder (`python -c` would), and multiprocessing wants
    to know that folder, which may have been removed.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        Path.cwd()
    except OSError:
        os.chdir(os.sep)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _leave_ctrl_c_to_main() -> None:
    """Block SIGINT in this thread; the processes that it starts inherit that."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _serve(pipe: Connection) -> None:
    """Back up users, one at a time, until the parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_memory_private()
    # What a library prints must not get into the parent's output.
    for descriptor in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    options, back_up = pipe.recv()
    while True:
        user = pipe.recv()
        try:
            outcome = back_up(user, options)
        except (MemoryError, Exception) as error:  # noqa: BLE001 - one user's trouble is not the others'
            # The kind only: a message could hold anything.
            fault = InternalError(f"a fault of nssbackup itself ({type(error).__name__})")
            outcome = failed_user(user, options.host, fault)
        pipe.send(outcome)


def _end_with_parent() -> None:
    """End this process at once with its parent: the next run may be about to begin."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)

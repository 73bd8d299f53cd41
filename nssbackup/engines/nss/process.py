"""Process: the worker that NSS lives in, started, asked and ended."""

from __future__ import annotations

import base64
import json
import os
import queue
import re
import signal
import site
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nssbackup.engines.nss.libraries import SEARCH_PATH
from nssbackup.errors import EngineFailedError, EngineUnavailableError

if TYPE_CHECKING:
    from typing_extensions import Self

_SCRIPT = Path(__file__).with_name("worker.py")

# A store of the largest size that is read at all (64 MiB), in base64.
_LONGEST_ANSWER = 96 * 1024 * 1024

# Settings of NSS and NSPR would change what is read, or have it written to a log.
_DROPPED = ("NSS", "NSPR", "NSRANDFILE")

_ERROR_NAME = re.compile(r"\bSEC_ERROR_[A-Z0-9_]+")


@dataclass(frozen=True, slots=True)
class Program:
    """What is run as a worker.

    Attributes:
        script: a Python file that talks as `worker.py` does.
        time_limit: how long an answer may take, in seconds. NSS needs half a second for the
            longest request, an export; a loaded machine more.
    """

    script: Path = _SCRIPT
    time_limit: float = 60.0


class RefusedError(EngineFailedError):
    """NSS answered with an error; `reason` is what it said, `name` NSS's name for it or empty."""

    code = "engine-refused"

    def __init__(self, reason: str) -> None:
        self.reason = reason.rstrip(".")
        found = _ERROR_NAME.search(reason)
        self.name = found[0] if found else ""
        super().__init__(f"NSS refused: {self.reason}")


class WorkerProcess:
    """A running worker; a context manager that ends it.

    Args:
        program: what to run.
        libraries: a folder whose NSS is to be used, None for the system's.

    Raises:
        EngineFailedError: it can't be started.
    """

    def __init__(self, program: Program, libraries: Path | None = None) -> None:
        self._time_limit = program.time_limit
        self._requests: queue.Queue[bytes | None] = queue.Queue()
        self._answers: queue.Queue[bytes] = queue.Queue()
        # Isolated: neither the current folder nor PYTHONPATH has a say in what is loaded. The
        # packages that the user installed for himself are out of the way then, and may have NSS's.
        words = [sys.executable, "-I", os.fspath(program.script)]
        if site.ENABLE_USER_SITE:
            words.append(site.getusersitepackages())
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this Python and our own script
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(os.environ, libraries),
                # No terminal that could be asked on, and a Ctrl-C is this process's business.
                start_new_session=True,
            )
        except OSError as error:
            message = f"a process for NSS can't be started: {(error.strerror or '').lower()}"
            raise EngineFailedError(message) from error
        # Neither writing to a pipe nor reading from it has a time limit; waiting for a queue has.
        self._thread = threading.Thread(target=self._converse, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def ask(self, operation: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        """One request and its answer.

        Raises:
            RefusedError: NSS answered with an error.
            EngineFailedError: the worker ended, did not answer in time or talked nonsense.
        """
        self._requests.put(json.dumps({"operation": operation, **arguments}).encode() + b"\n")
        try:
            answer = self._answers.get(timeout=self._time_limit)
        except queue.Empty:
            self.end()
            message = f"NSS did not answer within {self._time_limit:g} seconds"
            raise EngineFailedError(message) from None
        if not answer:
            self._answers.put(answer)  # for whoever asks next: nobody answers any more
            message = "the process of NSS ended in the middle of its work"
            raise EngineFailedError(message)
        try:
            parsed = json.loads(answer)
            if "error" not in parsed:
                return parsed["result"]
            reason = str(parsed["error"])
        except (ValueError, TypeError, KeyError, RecursionError):
            # Without its cause, which may hold what was answered.
            message = "the process of NSS answered with something else than an answer"
            raise EngineFailedError(message) from None
        raise RefusedError(reason)

    def end(self) -> None:
        """End the process, whatever it is doing, and all it may have started."""
        self._requests.put(None)
        self._kill()
        self._process.wait()
        # The pipe is at its end now, and with it the thread; it alone may touch the streams.
        self._thread.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):  # what it was still to be told
                    stream.close()

    def _kill(self) -> None:
        if sys.platform == "win32" or self._process.poll() is not None:
            self._process.kill()
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _converse(self) -> None:
        """Hand requests on and bring the answers back, until the end of either; then say so."""
        stdin, stdout = self._process.stdin, self._process.stdout
        with suppress(OSError, ValueError):
            while stdin and stdout and (request := self._requests.get()) is not None:
                stdin.write(request)
                stdin.flush()
                answer = stdout.readline(_LONGEST_ANSWER)
                if not answer.endswith(b"\n"):
                    break
                self._answers.put(answer)
        self._answers.put(b"")


def nss_version(program: Program, libraries: Path | None) -> tuple[int, ...]:
    """The version of the NSS in a folder, or of the system's for None.

    Raises:
        EngineUnavailableError: it can't be loaded.
    """
    try:
        with WorkerProcess(program, libraries) as worker:
            text = str(worker.ask("hello"))
    except EngineFailedError as error:
        reason = error.reason if isinstance(error, RefusedError) else error.message
        raise EngineUnavailableError(reason) from error
    return tuple(int(part) for part in text.partition(" ")[0].split(".") if part.isdecimal())


def decoded(text: str) -> bytes:
    """Bytes as the worker sends them."""
    return base64.b64decode(text)


def _environment(ours: Mapping[str, str], libraries: Path | None) -> dict[str, str]:
    """The environment for a worker: ours, without what would change how NSS works.

    Args:
        ours: this process's environment.
        libraries: a folder to look for libraries in before all others.
    """
    variable = SEARCH_PATH.get(sys.platform)
    kept = {name: text for name, text in ours.items() if not name.startswith(_DROPPED)}
    if variable is None:
        return kept
    # The user's own choice counts, but not the current folder, which an empty entry means too.
    folders = [
        each for each in kept.pop(variable, "").split(os.pathsep) if Path(each).is_absolute()
    ]
    if libraries is not None:
        folders.insert(0, os.fspath(libraries))
    if folders:
        kept[variable] = os.pathsep.join(folders)
    return kept

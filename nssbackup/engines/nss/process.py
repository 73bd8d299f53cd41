"""Process: the worker that NSS lives in, started, asked and ended."""

from __future__ import annotations

import base64
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nssbackup.engines.nss.libraries import SEARCH_PATH
from nssbackup.errors import EngineFailedError, EngineUnavailableError

if TYPE_CHECKING:
    from typing_extensions import Self

_SCRIPT = Path(__file__).with_name("worker.py")

# NSS needs half a second for the longest request, an export; a loaded machine more.
TIME_LIMIT = 60.0


class WorkerProcess:
    """A running worker; a context manager that ends it.

    Args:
        libraries: a folder whose NSS is to be used, None for the system's.
        time_limit: how long an answer may take, in seconds.
    """

    def __init__(self, libraries: Path | None = None, *, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit = time_limit
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._process = subprocess.Popen(  # noqa: S603 - this Python and our own script
            # Isolated: neither the current folder nor PYTHONPATH has a say in what is loaded.
            [sys.executable, "-I", os.fspath(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(libraries),
        )
        # A pipe can't be waited for with a time limit on every system; a queue can.
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def ask(self, operation: str, **arguments: str) -> Any:  # noqa: ANN401 - JSON
        """One request and its answer.

        Raises:
            EngineFailedError: the worker refused, ended or did not answer in time.
        """
        line = json.dumps({"operation": operation, **arguments}).encode() + b"\n"
        stdin = self._process.stdin
        try:
            if stdin is not None:
                stdin.write(line)
                stdin.flush()
            answer = self._answers.get(timeout=self._time_limit)
        except (OSError, queue.Empty) as error:
            late = isinstance(error, queue.Empty)
            self.end()
            message = (
                f"NSS did not answer within {self._time_limit:.0f} seconds"
                if late
                else "NSS ended before it was asked"
            )
            raise EngineFailedError(message) from None
        if not answer:
            message = "NSS ended in the middle of its work"
            raise EngineFailedError(message)
        parsed = json.loads(answer)
        if "error" in parsed:
            message = f"NSS refused: {parsed['error']}"
            raise EngineFailedError(message)
        return parsed["result"]

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # what it was still to be told
                    continue
        self._process.wait()

    def _listen(self) -> None:
        stdout = self._process.stdout
        try:
            for line in stdout or ():
                self._answers.put(line)
        except (OSError, ValueError):  # closed by `end`
            return
        finally:
            self._answers.put(b"")


def nss_version(libraries: Path | None) -> tuple[int, ...]:
    """The version of the NSS in a folder, or of the system's for None.

    Raises:
        EngineUnavailableError: it can't be loaded.
    """
    try:
        with WorkerProcess(libraries) as worker:
            text = str(worker.ask("hello"))
    except (EngineFailedError, OSError) as error:
        message = "python-nss-ng is installed, but NSS can't be loaded"
        raise EngineUnavailableError(message) from error
    return tuple(int(part) for part in text.partition(" ")[0].split(".") if part.isdecimal())


def decoded(text: str) -> bytes:
    """Bytes as the worker sends them."""
    return base64.b64decode(text)


def _environment(libraries: Path | None) -> dict[str, str]:
    """The environment for a worker: ours, without what would change how NSS works."""
    variable = SEARCH_PATH.get(sys.platform)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("NSS") and name != variable
    }
    if libraries is not None and variable is not None:
        kept[variable] = os.fspath(libraries)
    return kept

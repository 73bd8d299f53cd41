"""Child: a process of our own that answers lines with lines, and can't keep anybody waiting."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

# A store of the largest size that is read at all (32 MiB), in base64.
_LONGEST_ANSWER = 48 * 1024 * 1024

# How long a killed process may take to go. One that waits for a dead share never does.
_SECONDS_TO_GO = 5


class Child:
    """A running script.

    Args:
        words: the script and its arguments. This Python runs it isolated: neither the current
            folder nor PYTHONPATH has a say in what it loads.
        time_limit: how long an answer may take, in seconds.
        environment: its environment; None for this process's own.
        inherited: a descriptor that it holds open as long as it lives (not on Windows).

    Raises:
        OSError: it can't be started.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        time_limit: float,
        environment: Mapping[str, str] | None = None,
        inherited: int | None = None,
    ) -> None:
        self._time_limit = time_limit
        self._lines: queue.Queue[tuple[bytes, bool] | None] = queue.Queue()
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._process = subprocess.Popen(  # noqa: S603 - this Python and our own script
            [sys.executable, "-I", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            pass_fds=() if inherited is None or os.name == "nt" else (inherited,),
            # No terminal that could be asked on, and a Ctrl-C is this process's business; Windows
            # and others say so differently.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        # Neither writing to a pipe nor reading from it has a time limit; waiting for a queue has.
        self._thread = threading.Thread(target=self._converse, daemon=True)
        self._thread.start()

    def tell(self, line: bytes) -> None:
        """Say a line that has no answer."""
        self._lines.put((line, False))

    def ask(self, line: bytes) -> bytes:
        """Say a line and wait for the answer to it, which has no line end.

        Raises:
            TimeoutError: none came in time.
            EOFError: the process has ended.
        """
        self._lines.put((line, True))
        try:
            answer = self._answers.get(timeout=self._time_limit)
        except queue.Empty:
            raise TimeoutError from None
        if not answer:
            self._answers.put(answer)  # for whoever asks next: nobody answers any more
            raise EOFError
        return answer[:-1]

    def kill(self) -> None:
        """Kill the process, whatever it is doing, and all it may have started."""
        if sys.platform == "win32" or self._process.poll() is not None:
            self._process.kill()
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill the process and see it off."""
        self._lines.put(None)
        self.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_GO)
            # The pipe is at its end now, and with it the thread; it alone may touch the streams.
            self._thread.join()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with suppress(OSError):  # what it was still to be told
                        stream.close()

    def _converse(self) -> None:
        """Hand lines on and bring the answers back, until the end of either; then say so."""
        stdin, stdout = self._process.stdin, self._process.stdout
        with suppress(OSError, ValueError):
            while stdin and stdout and (said := self._lines.get()) is not None:
                line, answered = said
                stdin.write(line + b"\n")
                stdin.flush()
                if answered:
                    answer = stdout.readline(_LONGEST_ANSWER)
                    if not answer.endswith(b"\n"):
                        break
                    self._answers.put(answer)
        self._answers.put(b"")

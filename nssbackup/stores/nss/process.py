"""The process that NSS lives in: started with the newest NSS there is, asked, and ended."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import site
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nssbackup.errors import EngineFailedError, EngineUnavailableError, reason

_SCRIPT = Path(__file__).with_name("worker.py")

# A store of the largest size that is read at all (32 MiB), in base64.
_LONGEST_ANSWER = 48 * 1024 * 1024

# Settings of NSS and NSPR would change what is read, or have it written to a log.
_DROPPED = ("NSS", "NSPR", "NSRANDFILE")

_ERROR_NAME = re.compile(r"\bSEC_ERROR_[A-Z0-9_]+")

# Absolute and owned by the system: a folder of the user's, or the current one, is never searched.
_FIREFOX_FOLDERS = {
    "linux": (
        "/usr/lib/firefox",
        "/usr/lib/firefox-esr",
        "/usr/lib64/firefox",
        "/opt/firefox",
        "/snap/firefox/current/usr/lib/firefox",
        "/var/lib/flatpak/app/org.mozilla.firefox/current/active/files/lib/firefox",
    ),
    "darwin": ("/Applications/Firefox.app/Contents/MacOS",),
}
_NSS = {"linux": "libnss3.so", "darwin": "libnss3.dylib"}
_SEARCH_PATH = {"linux": "LD_LIBRARY_PATH", "darwin": "DYLD_LIBRARY_PATH"}

_PLATFORM_INI_BYTES = 4096
_MILESTONE = re.compile(rb"^Milestone=(\d{1,4})\.", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Program:
    """What is run as a worker.

    Attributes:
        script: a Python file that answers as `worker.py` does.
        time_limit: how long an answer may take, in seconds. The longest request, an export, takes
            NSS half a second; on a loaded machine more.
    """

    script: Path = _SCRIPT
    time_limit: float = 60.0


class RefusedError(EngineFailedError):
    """NSS answered with an error; `reason` is its text, `name` NSS's name for it or empty."""

    code = "engine-refused"

    def __init__(self, text: str) -> None:
        self.reason = text.rstrip(".")
        found = _ERROR_NAME.search(text)
        self.name = found[0] if found else ""
        super().__init__(f"NSS refused: {self.reason}")


class WorkerProcess:
    """A running worker; a context manager that ends it.

    Args:
        program: what to run. This Python runs it isolated: neither the current folder nor
            PYTHONPATH has a say in what it loads.
        libraries: a folder whose NSS is used; None for the system's.

    Raises:
        EngineFailedError: it can't be started.
    """

    def __init__(self, program: Program, libraries: Path | None = None) -> None:
        self._time_limit = program.time_limit
        words = [sys.executable, "-I", os.fspath(program.script)]
        # An isolated Python doesn't see the packages that the user installed, where NSS's may be.
        if site.ENABLE_USER_SITE:
            words.append(site.getusersitepackages())
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this Python and our own script
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(os.environ, libraries),
                start_new_session=True,  # no terminal to ask on, and Ctrl-C is not its business
            )
        except OSError as error:
            message = f"a process for NSS can't be started: {reason(error)}"
            raise EngineFailedError(message) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def ask(self, operation: str, **arguments: object) -> Any:
        """Make a request and return its answer.

        Raises:
            RefusedError: NSS answered with an error.
            EngineFailedError: the worker ended, did not answer in time or sent an invalid answer.
        """
        answer = self._converse(json.dumps({"operation": operation, **arguments}).encode())
        try:
            parsed = json.loads(answer)
            if "error" not in parsed:
                return parsed["result"]
            refusal = str(parsed["error"])
        except (ValueError, TypeError, KeyError, RecursionError):
            # Without its cause, which may hold what was answered.
            message = "the process of NSS sent an invalid answer"
            raise EngineFailedError(message) from None
        raise RefusedError(refusal)

    def end(self) -> None:
        """Kill the process and all it may have started."""
        self._kill()
        with self._process:  # closes the pipes and waits
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with suppress(OSError):  # what it was still to be told
                        stream.close()

    def _converse(self, line: bytes) -> bytes:
        """Send a line and return the one that comes back."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._kill()

        # A pipe has no time limit, but without its process it is at its end.
        timer = threading.Timer(self._time_limit, give_up)
        timer.daemon = True
        timer.start()
        answer = b""
        stdin, stdout = self._process.stdin, self._process.stdout
        with suppress(OSError, ValueError):  # it has ended, or `end` was called
            if stdin is not None and stdout is not None:
                stdin.write(line + b"\n")
                stdin.flush()
                answer = stdout.readline(_LONGEST_ANSWER)
        timer.cancel()
        if answer.endswith(b"\n"):
            return answer
        if late.is_set():
            message = f"NSS did not answer within {self._time_limit:g} seconds"
        else:
            message = "the process of NSS ended before it answered"
        raise EngineFailedError(message)

    def _kill(self) -> None:
        if sys.platform == "win32":
            self._process.kill()
            return
        if self._process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def nss_version(program: Program, libraries: Path | None) -> tuple[int, ...]:
    """Return the version of the NSS in a folder, or of the system's for None.

    Raises:
        EngineUnavailableError: it can't be loaded.
    """
    try:
        with WorkerProcess(program, libraries) as worker:
            text = str(worker.ask("hello"))
    except EngineFailedError as error:
        why = error.reason if isinstance(error, RefusedError) else error.message
        raise EngineUnavailableError(why) from error
    return tuple(int(part) for part in text.partition(" ")[0].split(".") if part.isdecimal())


def firefox_libraries(platform: str = sys.platform, root: Path = Path("/")) -> Path | None:
    """Return the folder of the newest Firefox's libraries; None if there is no Firefox.

    A current Firefox protects its primary password in a way (SHA-384, NSS 3.118) that an older
    NSS does not know: it then calls the right password wrong. Firefox brings its own NSS along.

    Args:
        platform: `sys.platform`.
        root: what the absolute paths are below.
    """
    found = [
        (milestone, folder)
        for folder in _firefox_folders(platform, root)
        if (milestone := _milestone(folder)) is not None
    ]
    return max(found)[1] if found else None


def decoded(text: str) -> bytes:
    """Return bytes that the worker sent."""
    return base64.b64decode(text)


def _firefox_folders(platform: str, root: Path) -> Iterator[Path]:
    for name in _FIREFOX_FOLDERS.get(platform, ()):
        folder = root / name.lstrip("/")
        if (folder / _NSS[platform]).is_file():
            yield folder


def _milestone(folder: Path) -> int | None:
    """Return the major version of a Firefox, which its `platform.ini` gives."""
    # On macOS it lies in Resources, beside MacOS.
    for path in (folder / "platform.ini", folder.parent / "Resources" / "platform.ini"):
        try:
            with path.open("rb") as file:
                found = _MILESTONE.search(file.read(_PLATFORM_INI_BYTES))
        except OSError:
            continue
        if found:
            return int(found[1])
    return None


def _environment(ours: Mapping[str, str], libraries: Path | None) -> dict[str, str]:
    """Return the environment for a worker: ours, without what would change how NSS works.

    Args:
        ours: this process's environment.
        libraries: the folder to search for libraries before all others.
    """
    kept = {name: text for name, text in ours.items() if not name.startswith(_DROPPED)}
    variable = _SEARCH_PATH.get(sys.platform)
    if variable is None:
        return kept
    # The user's own folders count, but not the current one, which an empty entry means too.
    folders = [
        each for each in kept.pop(variable, "").split(os.pathsep) if Path(each).is_absolute()
    ]
    if libraries is not None:
        folders.insert(0, os.fspath(libraries))
    if folders:
        kept[variable] = os.pathsep.join(folders)
    return kept

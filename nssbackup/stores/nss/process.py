"""Process: the worker that NSS lives in, started, asked and ended."""

from __future__ import annotations

import base64
import json
import os
import re
import site
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nssbackup.errors import EngineFailedError, EngineUnavailableError, reason
from nssbackup.stores.nss.libraries import SEARCH_PATH
from nssbackup.system.child import Child

_SCRIPT = Path(__file__).with_name("worker.py")

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
        words = [os.fspath(program.script)]
        # The packages that the user installed for himself are out of an isolated Python's way, and
        # may have NSS's.
        if site.ENABLE_USER_SITE:
            words.append(site.getusersitepackages())
        try:
            self._child = Child(
                words,
                time_limit=program.time_limit,
                environment=_environment(os.environ, libraries),
            )
        except OSError as error:
            message = f"a process for NSS can't be started: {reason(error)}"
            raise EngineFailedError(message) from error

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
        try:
            answer = self._child.ask(json.dumps({"operation": operation, **arguments}).encode())
        except TimeoutError:
            self.end()
            message = f"NSS did not answer within {self._time_limit:g} seconds"
            raise EngineFailedError(message) from None
        except EOFError:
            message = "the process of NSS ended in the middle of its work"
            raise EngineFailedError(message) from None
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
        self._child.end()


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

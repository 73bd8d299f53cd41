"""Faults: a process is killed at, or refused, any one of the calls with which it touches files.

A library that is loaded before the C library (`faults.c`) does it, in the real process. Hundreds of
them take minutes if each has to load Python and all it needs first; so each is forked off one
process that has loaded everything and done nothing.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from tests import PROJECT
from tests.peers.process import PeerError, run

__all__ = ["Call", "Done", "Fault", "Warm", "missing"]

Mode = Literal["kill", "torn", "fail", "full"]

_SOURCE = Path(__file__).with_name("faults.c")

# Takes a line of JSON for each command: what it is called with, and where its output goes. Forks a
# process for it, which goes on as `nssbackup` would, and answers with how that ended.
_SERVER = """
import importlib, json, os, sys, time
for name in json.loads(sys.stdin.readline()):
    try:
        importlib.import_module(name)
    except Exception:
        pass
print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        break
    deadline = time.monotonic() + job["limit"]
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            ended = (child, None)
            break
        time.sleep(0.0005)
    print(json.dumps(ended[1] if ended[1] is None else os.waitstatus_to_exitcode(ended[1])))
    sys.stdout.flush()
else:
    raise SystemExit
for number, name in enumerate((os.devnull, job["stdout"], job["stderr"])):
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY
    file = os.open(name, flags, 0o600)
    os.dup2(file, number)
    os.close(file)
sys.stdin = os.fdopen(0, closefd=False)
os.chdir(job["here"])
sys.argv = ["nssbackup", *job["words"]]
if job["learn"]:
    import atexit
    atexit.register(lambda: open(job["learn"], "w").write(json.dumps(sorted(sys.modules))))
os.environ.update(job["environment"])
from nssbackup.__main__ import main
main()
"""


def missing() -> str | None:
    """None, or the reason why the library can't be made here."""
    if sys.platform != "linux":
        return "LD_PRELOAD is of Linux"
    if shutil.which("cc") is None:
        return "no C compiler is installed"
    try:
        library()
    except PeerError as error:
        return f"the library of faults can't be compiled: {error}"
    return None


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="faults-")


@functools.cache
def library() -> Path:
    """The library, compiled."""
    made = Path(_folder().name, "faults.so")
    run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", made, _SOURCE, "-ldl"])
    return made


@dataclass(frozen=True, slots=True)
class Call:
    """A call with which a process touched a file below one of the folders."""

    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.name} {self.path}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong.

    Attributes:
        mode: see `faults.c`; None for nothing.
        at: the number of the call, from 1.
        number: the error that a call fails with.
    """

    mode: Mode | None = None
    at: int = 0
    number: int = errno.EIO

    def variables(self) -> dict[str, str]:
        """What the library is told."""
        if self.mode is None:
            return {}
        numbers = {"FAULT_AT": str(self.at), "FAULT_ERRNO": str(self.number)}
        return {"FAULT_MODE": self.mode, **numbers}

    def __str__(self) -> str:
        return f"{self.mode} {errno.errorcode[self.number]} at {self.at}"


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended (negative: by a signal; None: not at all) and what it wrote."""

    status: int | None
    stdout: str
    stderr: str


# What each command loads.
_modules: dict[str, list[str]] = {}


@dataclass(slots=True)
class Warm:
    """A process that commands are forked from; a context manager.

    Attributes:
        folders: what is below them counts.
        here: the current folder of the commands.
        environment: of the commands, and nothing else.
        scratch: a folder for what the commands write, and what they touch.
        reads: whether calls that change nothing count too.
        limit: how long a command may take, in seconds.
    """

    folders: Sequence[Path]
    here: Path
    environment: Mapping[str, str]
    scratch: Path
    reads: bool = False
    limit: float = 60.0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        self.scratch.mkdir(exist_ok=True)
        self._start([])
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def learn(self, *words: str | Path) -> None:
        """Have all that a command loads loaded beforehand from now on; it may be carried out."""
        command = str(words[0])
        if command not in _modules:
            learned = self.scratch / "modules"
            done = self.run(words, learn=str(learned))
            assert done.status == 0, done.stderr
            names = json.loads(learned.read_text())
            _modules[command] = [name for name in names if name.split(".")[0] != "__main__"]
        self._end()
        self._start(_modules[command])

    def calls(self, *words: str | Path) -> tuple[list[Call], Done]:
        """Carry a command out without a fault; the calls that count, in order."""
        log = self.scratch / "calls"
        log.unlink(missing_ok=True)
        done = self.run(words, more={"FAULT_LOG": str(log)})
        lines = log.read_text(errors="surrogateescape").splitlines() if log.exists() else []
        return [Call(*line.split("\t", 1)) for line in lines], done

    def run(
        self,
        words: Sequence[str | Path],
        fault: Fault = Fault(),
        *,
        more: Mapping[str, str] | None = None,
        learn: str | None = None,
    ) -> Done:
        """Carry a command out, with a fault or without."""
        out, err = self.scratch / "stdout", self.scratch / "stderr"
        reads = {"FAULT_READS": "1"} if self.reads else {}
        folders = ":".join(os.path.realpath(folder) for folder in self.folders)
        job = {
            "words": [os.fspath(word) for word in words],
            "here": str(self.here),
            "stdout": str(out),
            "stderr": str(err),
            "limit": self.limit,
            "learn": learn,
            "environment": {
                "FAULT_FOLDERS": folders,
                **reads,
                **fault.variables(),
                **(more or {}),
            },
        }
        answer = json.loads(self._ask(json.dumps(job)))
        return Done(answer, out.read_text(errors="replace"), err.read_text(errors="replace"))

    def _start(self, modules: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PROJECT,
            env={**self.environment, "LD_PRELOAD": str(library())},
        )
        assert self._ask(json.dumps(modules)) == b"ready\n"

    def _ask(self, text: str) -> bytes:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(text.encode() + b"\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def _end(self) -> None:
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None

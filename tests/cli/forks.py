"""Forks: command lines by the hundred, each in a process of its own that costs next to nothing.

A server has all modules loaded and forks for every command: what is run is the real command line,
with a home, a folder and files for its streams of its own. What it took is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests import PROJECT
from tests.cli.runner import Cli

# For one command: what no input may exceed.
SECONDS = 5.0
MEGABYTES = 256
# By the clock: whoever waits for a FIFO takes no time of the processor.
_HANGS_SECONDS = 60

_SERVER = """
import importlib, json, os, pkgutil, resource, sys, time
import nssbackup
for module in pkgutil.walk_packages(nssbackup.__path__, "nssbackup."):
    # The engine `nss` and what only other computers need are processes of their own anyway.
    if not module.name.startswith(("nssbackup.stores.nss", "nssbackup.fleet")):
        importlib.import_module(module.name)
from nssbackup.__main__ import main

def run(job):
    os.chdir(job["here"])
    os.environ.clear()
    os.environ.update(job["variables"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, name in ((1, job["stdout"]), (2, job["stderr"])):
        os.dup2(os.open(name, flags, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["nssbackup", *job["arguments"]]
    sys.stdin = open(0)
    try:
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback
        traceback.print_exc()
        status = 99
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass
    os._exit(status or 0)

for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        run(job)
    end = time.monotonic() + job["limit"]
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > end:
            os.kill(child, 9)
        time.sleep(0.002)
    answer = [os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss]
    print(json.dumps(answer), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, what it wrote, and what it took."""

    status: int
    stdout: str
    stderr: str
    seconds: float
    megabytes: float

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout: exactly one."""
        parsed = json.loads(self.stdout)
        assert isinstance(parsed, dict)
        return parsed

    def behaved(self, *statuses: int) -> None:
        """Require one of these statuses, no traceback, and no more than an input may cost."""
        assert self.status in statuses, (self.status, self.stdout, self.stderr)
        assert "Traceback" not in self.stderr
        assert self.seconds < SECONDS, self
        assert self.megabytes < MEGABYTES, self


@dataclass(frozen=True, slots=True)
class Forks:
    """The server, and the user whose commands it runs."""

    cli: Cli
    process: subprocess.Popen[str]

    def run(self, *arguments: str | Path) -> Ended:
        """Run a command to its end."""
        streams = {name: str(self.cli.folder / f"fork-{name}") for name in ("stdout", "stderr")}
        job = {
            **streams,
            "arguments": [os.fspath(each) for each in arguments],
            "here": str(self.cli.here),
            "variables": self.cli.variables(),
            "limit": _HANGS_SECONDS,
        }
        requests, answers = self.process.stdin, self.process.stdout
        assert requests is not None
        assert answers is not None
        requests.write(f"{json.dumps(job)}\n")
        requests.flush()
        status, seconds, kilobytes = json.loads(_line(answers))
        out, err = (Path(path).read_bytes().decode() for path in streams.values())
        return Ended(status, out, err, seconds, kilobytes / 1024)


@contextmanager
def serving(cli: Cli) -> Iterator[Forks]:
    """Start the server, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=cli.variables(),
        cwd=PROJECT,
    )
    with process:
        try:
            yield Forks(cli, process)
        finally:
            process.kill()


def _line(answers: IO[str]) -> str:
    line = answers.readline()
    assert line, "the server has ended"
    return line

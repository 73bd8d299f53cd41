"""Forks: the command line in processes of their own that need no time to start.

A server has every module loaded and forks for each command. What runs is the real command line with
its own folder, environment and streams, and it ends as Python ends; only the start is missing.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import pytest

from tests import LIMIT, PROJECT

# A test run in the background or under `nohup` hands down that signals are ignored.
HEARS_SIGNALS = () if sys.platform == "win32" else ("env", "--default-signal=INT,HUP,QUIT,TERM")

_SERVER = """
import importlib, json, os, pkgutil, sys
import nssbackup
for module in pkgutil.walk_packages(nssbackup.__path__, "nssbackup."):
    # The engine `nss` and what only other computers need are processes of their own anyway.
    if not module.name.startswith(("nssbackup.stores.nss", "nssbackup.fleet")):
        importlib.import_module(module.name)
from nssbackup.__main__ import main

for line in sys.stdin:
    job = json.loads(line)
    ready, begun = os.pipe()
    child = os.fork()
    if not child:
        break
    os.close(begun)
    os.read(ready, 1)  # until the child has its streams
    os.close(ready)
    print(child, flush=True)
    _, status, used = os.wait4(child, 0)
    answer = [os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss]
    print(json.dumps(answer), flush=True)
else:
    os._exit(0)

os.chdir(job["here"])
os.environ.clear()
os.environ.update(job["variables"])
sys.argv = ["nssbackup", *job["arguments"]]
if job["leads"]:
    os.setsid()  # and the terminal that is opened first becomes this session's
for number, name in enumerate(job["streams"]):
    opened = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    os.dup2(opened, number)
    os.close(opened)
os.close(begun)
os.close(ready)
errors = sys.stdout.errors
sys.stdin = sys.__stdin__ = open(0, errors=errors, closefd=False)
sys.stdout = sys.__stdout__ = open(1, "w", errors=errors, closefd=False)
sys.stderr = sys.__stderr__ = open(2, "w", errors="backslashreplace", closefd=False)
main()
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it took of the processor and of memory."""

    status: int
    seconds: float
    megabytes: float


@dataclass(frozen=True, slots=True)
class Fork:
    """A command that runs."""

    pid: int
    answers: IO[str]

    def wait(self) -> Ended:
        """Wait for its end; kill it if that does not come."""
        if not select.select([self.answers], [], [], LIMIT)[0]:
            os.kill(self.pid, signal.SIGKILL)
            _line(self.answers)
            pytest.fail(f"the command did not end within {LIMIT:.0f} seconds")
        status, seconds, kilobytes = json.loads(_line(self.answers))
        return Ended(status, seconds, kilobytes / 1024)


def fork(
    arguments: Sequence[str | Path],
    here: Path,
    variables: Mapping[str, str],
    streams: Sequence[str | Path],
    *,
    leads: bool = False,
) -> Fork:
    """Start a command; one at a time.

    Args:
        arguments: of the command.
        here: its current folder.
        variables: its environment.
        streams: what its stdin, stdout and stderr are opened from.
        leads: whether it leads a session of its own, on the terminal that is its stdin.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    job = {
        "arguments": [os.fspath(each) for each in arguments],
        "here": str(here),
        "variables": dict(variables),
        "streams": [os.fspath(each) for each in streams],
        "leads": leads,
    }
    server.stdin.write(f"{json.dumps(job)}\n")
    server.stdin.flush()
    return Fork(int(_line(server.stdout)), server.stdout)


@cache
def _server() -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    process = subprocess.Popen(
        [*HEARS_SIGNALS, sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env={**kept, "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
        cwd=PROJECT,
    )
    atexit.register(process.communicate)
    return process


def _line(answers: IO[str]) -> str:
    line = answers.readline()
    assert line, "the server has ended"
    return line

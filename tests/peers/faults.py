"""Faults: a process is killed at, or refused, any one of the calls with which it changes files.

A library that is loaded before the C library (`faults.c`) does it, in the real process.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.peers.process import PeerError, run

__all__ = ["Faulty", "missing"]

Mode = Literal["kill", "torn", "fail", "full"]

_SOURCE = Path(__file__).with_name("faults.c")


def missing() -> str | None:
    """None, or the reason why the library can't be made here."""
    if sys.platform != "linux":
        return "LD_PRELOAD is of Linux"
    if shutil.which("cc") is None:
        return "no C compiler is installed"
    try:
        _library()
    except PeerError as error:
        return f"the library of faults can't be compiled: {error}"
    return None


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="faults-")


@functools.cache
def _library() -> Path:
    made = Path(_folder().name, "faults.so")
    run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", made, _SOURCE, "-ldl"])
    return made


@dataclass(frozen=True, slots=True)
class Faulty:
    """A command whose changes to the files below a folder are counted.

    Attributes:
        words: the command.
        folder: what is below it counts.
        environment: of the command.
    """

    words: Sequence[str | Path]
    folder: Path
    environment: Mapping[str, str]

    def calls(self, log: Path) -> list[str]:
        """Run it without a fault, and return the calls with which it changed files, in order."""
        done = self._run({"FAULT_LOG": str(log)})
        assert done.returncode == 0, done.stderr
        return log.read_text().split()

    def run(self, mode: Mode, at: int) -> subprocess.CompletedProcess[bytes]:
        """Run it with a fault at a call, by its number from 1."""
        return self._run({"FAULT_MODE": mode, "FAULT_AT": str(at)})

    def _run(self, fault: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.words,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            env={
                **self.environment,
                **fault,
                "LD_PRELOAD": str(_library()),
                "FAULT_FOLDER": str(self.folder.resolve()),
            },
        )

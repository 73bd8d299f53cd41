"""Guard: what one input may cost, and where it may write."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

# Of the processor, so that a busy machine finds no faults that are none.
SECONDS = 5
# 256 MB less what Python has with all of this loaded.
GROWTH_KB = 192 * 1024

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): resets VmHWM

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = frozenset(
    ["os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.chmod", "shutil.move"]
)


class Exceeded(BaseException):
    """An input costs too much; no handler of the parser's own catches it."""


class Strayed(BaseException):
    """Something was to be written outside the scratch folder."""


@contextmanager
def limits() -> Iterator[None]:
    """Five seconds and 256 MB for what is done within.

    Raises:
        Exceeded: it takes more.
    """
    if sys.platform == "win32":
        with _limited_afterwards():
            yield
        return
    before = signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    began = _reset_peak()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    grown = _kilobytes("VmHWM:") - began
    if grown > GROWTH_KB:
        message = f"{grown:,} kB more than before"
        raise Exceeded(message)


@contextmanager
def _limited_afterwards() -> Iterator[None]:
    """Measure only the time, and only at the end: Windows has no timer of the processor's time."""
    began = time.process_time()
    yield
    if (taken := time.process_time() - began) > SECONDS:
        message = f"{taken:.1f} s of the processor"
        raise Exceeded(message)


def confine(top: Path) -> None:
    """From now on nothing is written outside a folder; there is no way back.

    What SQLite does can't be seen here: `scratch` looks at what it leaves.
    """
    allowed = os.path.realpath(top)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & _WRITING:
                return
        elif event in _CHANGES:
            path = arguments[1] if event in ("os.rename", "os.link", "os.symlink") else arguments[0]
        else:
            return
        if isinstance(path, str | bytes | os.PathLike):
            real = os.path.realpath(os.fsdecode(path))
            ours = os.fsdecode(path) in (os.devnull, str(_CLEAR))
            if not ours and not real.startswith(allowed):
                raise Strayed(event, real)

    sys.addaudithook(watch)


def _too_long(_: int, frame: FrameType | None) -> None:
    message = f"more than {SECONDS} seconds"
    raise Exceeded(message, frame)


def _reset_peak() -> int:
    """Forget the most memory there ever was; how much there is now, or 0 where it can't be told."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return sys.maxsize
    return _kilobytes("VmRSS:")


def _kilobytes(name: str) -> int:
    try:
        status = _STATUS.read_text()
    except OSError:
        return 0
    return int(status.partition(name)[2].split()[0])

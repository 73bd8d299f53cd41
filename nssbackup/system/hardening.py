"""Hardening: what a process that holds secrets does so that its memory stays its own."""

from __future__ import annotations

import sys
from contextlib import suppress

# linux/prctl.h
_PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """See to it that no core dump is written and, on Linux, that nobody but root looks in.

    A limit of nothing keeps the kernel from writing the file, and a process that is not dumpable
    keeps it from handing the memory to a program such as systemd-coredump, which the limit does
    not (core(5)); neither may another process of the same user attach to it then, or read its
    `/proc/PID/environ` and `/proc/PID/mem` (prctl(2), ptrace(2)). The limit is inherited by the
    processes that are started here, the other is not: each asks for it again.

    Never raises: what the system doesn't know is left out.
    """
    if sys.platform == "win32":
        return
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)

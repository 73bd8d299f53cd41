"""Keep the memory of a process that holds secrets to itself."""

from __future__ import annotations

import sys
from contextlib import suppress

# linux/prctl.h
_PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """Prevent core dumps and, on Linux, that anybody but root reads this process's memory.

    The limit stops the kernel from writing a file, but not from piping the memory to a program
    such as systemd-coredump (core(5)). It doesn't do that for a process that is not dumpable. Other
    processes of the same user can't attach to such a process either, nor read its
    `/proc/PID/environ` and `/proc/PID/mem` (prctl(2), ptrace(2)). Child processes inherit the limit
    but have to ask again not to be dumpable.

    Never raises: what the system can't do is skipped.
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

"""What `nssbackup.exe` runs: the commands, or the guide in a window that stays open."""

import ctypes
import multiprocessing
import sys

from nssbackup.__main__ import main


def has_own_window() -> bool:
    """Return whether the console was opened for this program, as by a double-click."""
    processes = (ctypes.c_uint32 * 2)()
    return ctypes.windll.kernel32.GetConsoleProcessList(processes, 2) == 1


if __name__ == "__main__":
    multiprocessing.freeze_support()  # `batch` starts this program again for its workers
    try:
        main()
    finally:
        if len(sys.argv) == 1 and has_own_window():
            input("Press Enter to close this window. ")

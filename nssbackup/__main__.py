"""`python -m nssbackup` and the `nssbackup` command."""

from __future__ import annotations

import os
import sys

_ALLOCATIONS = 50_000
_OTHERS = 0o077


def main() -> None:
    """Run the command line and exit with its status."""
    _forget_current_folder()
    import gc
    import signal

    # Nearly everything made here lives until the end. Python's search for garbage takes a tenth
    # of the time of a short command, half of that at exit.
    gc.set_threshold(_ALLOCATIONS)

    # The files we make say themselves who may read them; the umask must not lock us out too.
    os.umask(os.umask(_OTHERS) & _OTHERS)

    try:
        from nssbackup.cli import app

        app(prog_name="nssbackup")
    except KeyboardInterrupt:  # before the command line could handle it
        sys.exit(130)
    finally:
        # The work is done; Ctrl-C now would only falsify the status.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # If Ctrl-C hit a class while `exec` made it (as for dataclasses), Python remembers it as
        # unhandled and would end by the signal instead of with our status; this clears that.
        exec("")  # noqa: S102 - an empty program
        gc.freeze()  # no more searches for garbage


def _forget_current_folder() -> None:
    """Take the current folder, which `python -m` puts first, off the path unless we are in it.

    A `signal.py` in somebody's downloads must not run. So nothing is imported before this except
    what Python itself has loaded.
    """
    try:
        current = os.path.realpath(os.curdir)
    except OSError:  # removed, so it holds nothing
        return
    if os.path.realpath(f"{__file__}/../..") != current:
        sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) != current]


if __name__ == "__main__":
    main()

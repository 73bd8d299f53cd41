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

    # Nearly all that is made lives to the end. To look for garbage among the modules again and
    # again takes a tenth of the time of a short command, and half of that is when Python ends.
    gc.set_threshold(_ALLOCATIONS)

    # What we make says itself who else may look in; it must not keep ourselves out.
    os.umask(os.umask(_OTHERS) & _OTHERS)

    try:
        from nssbackup.cli import app

        app(prog_name="nssbackup")
    except KeyboardInterrupt:  # so early that nobody else was there to catch it
        sys.exit(130)
    finally:
        # What was to be done is done; Ctrl-C now would only change the status that says so.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Where Ctrl-C met a class being made by `exec` (as dataclasses are), Python remembers it
        # as unhandled and would end by the signal instead of with our status; this clears that.
        exec("")  # noqa: S102 - of nothing
        gc.freeze()  # nothing is looked for any more


def _forget_current_folder() -> None:
    """Load nothing from the current folder, which `python -m` puts first, unless we lie there.

    Whoever runs this among his downloads does not mean the `signal.py` that lies there too; hence
    nothing is imported before this but what Python has loaded by itself.
    """
    try:
        current = os.path.realpath(os.curdir)
    except OSError:  # it is gone, and holds nothing any more
        return
    if os.path.realpath(f"{__file__}/../..") != current:
        sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) != current]


if __name__ == "__main__":
    main()

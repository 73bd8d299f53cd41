"""`python -m nssbackup` and the `nssbackup` command."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line and exit with its status."""
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


if __name__ == "__main__":
    main()

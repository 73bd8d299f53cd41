"""The tests of nssbackup."""

import os
import sys
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).resolve().parent.parent
FIXTURES = PROJECT / "fixtures"
PROFILES = FIXTURES / "profiles"

# Seconds after which something hangs, however busy the machine is.
LIMIT = 300.0

if sys.platform == "win32":
    import getpass  # noqa: F401 - before it finds one of these modules

    # Empty, so that a test that asks them for anything is skipped (`tests.windows.absent`).
    for _name in ("fcntl", "pty", "pwd", "resource", "termios"):
        sys.modules.setdefault(_name, ModuleType(_name))


def is_root() -> bool:
    """Tell whether this process is above file modes, and may act for other users."""
    return sys.platform != "win32" and os.geteuid() == 0

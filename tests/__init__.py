"""The tests of nssbackup."""

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FIXTURES = PROJECT / "fixtures"
PROFILES = FIXTURES / "profiles"

# Seconds after which something hangs, however busy the machine is.
LIMIT = 300.0


def is_root() -> bool:
    """Tell whether this process is above file modes, and may act for other users."""
    return sys.platform != "win32" and os.geteuid() == 0

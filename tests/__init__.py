"""The tests of nssbackup."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FIXTURES = PROJECT / "fixtures"
PROFILES = FIXTURES / "profiles"

# Seconds after which something hangs, however busy the machine is.
LIMIT = 300.0

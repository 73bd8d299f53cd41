"""The tests of nssbackup."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FIXTURES = PROJECT / "fixtures"
PROFILES = FIXTURES / "profiles"

"""Step 1, locate: which profiles there are on this machine, and which one is meant.

Nothing in this package writes, creates or locks anything.
"""

from __future__ import annotations

from nssbackup.profiles.locate import find_profiles
from nssbackup.profiles.resolve import resolve_profile
from nssbackup.profiles.system import System

__all__ = ["System", "find_profiles", "resolve_profile"]

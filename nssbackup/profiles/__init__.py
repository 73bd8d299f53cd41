"""Step 1, locate: which profiles are on this machine, and which ones the user means.

Nothing in this package writes, creates or locks anything.
"""

from __future__ import annotations

from nssbackup.profiles.firefox_backups import find_firefox_backups
from nssbackup.profiles.locate import find_left_behind, find_profiles
from nssbackup.profiles.resolve import find_targets, resolve_profiles
from nssbackup.profiles.roots import applications_named
from nssbackup.profiles.system import System

__all__ = [
    "System",
    "applications_named",
    "find_firefox_backups",
    "find_left_behind",
    "find_profiles",
    "find_targets",
    "resolve_profiles",
]

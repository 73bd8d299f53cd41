"""Contents: what a file in the folder of a host is, told by its name.

The folder is one of `batch`, which gives the names: those of the files beside the users' folders
are in `batch.naming`, a user's state is named in `batch.state` and a backup in `outputs`. Whatever
else lies there is somebody's own.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from nssbackup.batch.naming import (
    ESCROW_FOLDER,
    PASSWORDS_ELSEWHERE,
    REPORT_FILES,
    STATE_FOLDER,
)

LOCK_FILE = "fleet.lock"
"""Keeps two runs out of one folder of hosts; in the folder of the state, like that of a batch."""

_WORKING_FILES = frozenset({"lock", LOCK_FILE, PASSWORDS_ELSEWHERE})
_BACKUP, _STATE = ".pfx", ".json"

# The folder may be a user's home on a file system that knows no more than this.
_MAX_PART = 255


def is_inside(name: str) -> bool:
    """Whether a name is a plain relative path on every system."""
    parts = name.split("/")
    return (
        name.isprintable()
        and not set(name) & set('\\:*?"<>|')
        and all(part not in ("", ".", "..") and len(part.encode()) <= _MAX_PART for part in parts)
    )


def is_working_file(name: str) -> bool:
    """Whether a file is of use only while a program runs: a lock, a mark, a half-written one."""
    last = name.rpartition("/")[2]
    return last in _WORKING_FILES or last.endswith(".tmp")


def is_for_next_run(name: str) -> bool:
    """Whether the next run on the host goes by a file: each user's state, and the backups.

    Those by their contents, and also those that are in no state by their names, which are taken.
    Nothing else leaves the controller, least of all what a password may be in.
    """
    folder, _, last = name.partition("/")
    if "/" in last or not is_inside(name):
        return False
    if folder == STATE_FOLDER:
        return last.endswith(_STATE)
    # No user's folder is called like the escrow's, in any spelling, or begins with a dot.
    users = folder.casefold() != ESCROW_FOLDER and not folder.startswith(".")
    return users and last.endswith(_BACKUP)


def is_backup(name: str) -> bool:
    """Whether a file is a backup or belongs to one, as its password does."""
    return name not in REPORT_FILES and not _is_state(name)


def rank(name: str) -> tuple[int, str]:
    """Passwords and escrow, then backups, then what the next run goes by, then the reports."""
    if name in REPORT_FILES:
        return 3, name
    if _is_state(name):
        return 2, name
    return int(name.endswith(_BACKUP)), name


def _is_state(name: str) -> bool:
    return PurePosixPath(name).parts[0] == STATE_FOLDER

r"""The profile groups of a root: profiles that the user made within Firefox 138 or later.

`Profile Groups/<StoreID>.sqlite` has a row for each profile of a group. `profiles.ini` has one
entry for the whole group, naming the member whose window was last in front; the others are in no
list. The link between the two may be lost, so every database is read.

The table, its columns, `\` on Windows, and that later versions change the schema compatibly are
from browser/components/profiles/SelectableProfileService.sys.mjs and
toolkit/profile/ProfilesDatastoreService.sys.mjs of simon-friedberger/enterprise-firefox.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from nssbackup.errors import NssBackupError
from nssbackup.profiles.lists import ListedProfile
from nssbackup.profiles.system import System, path_text
from nssbackup.system.budget import Budget

if TYPE_CHECKING:
    import sqlite3

GROUPS_FOLDER = "Profile Groups"

# A root has a group or two, of a handful of profiles each.
FILE_LIMIT = 50
ROW_LIMIT = 1_000
PATH_BYTES = 4_096
NAME_BYTES = 1_024

_SCAN_LIMIT = 10_000
# Processor time for one database and for all. Reading takes microseconds; this stops a database
# that was made to be read forever.
_READ_SECONDS = 0.5
_SECONDS_IN_ALL = 3.0
# By the clock, because a locked database is waited for. After this no other one is opened.
_PATIENCE = 10.0

_DRIVE = re.compile("[A-Za-z]:")


def read_group_members(root: Path, system: System) -> tuple[ListedProfile, ...]:
    """Return every member of every profile group of a root, with the name that the user sees.

    A member's folder need not exist. A database that is damaged, unreadable or not a group's has no
    members. The databases are left as they are, and nothing is created beside them.
    """
    started = time.monotonic()
    members: list[ListedProfile] = []
    if databases := _databases(root / GROUPS_FOLDER):
        # Here, because sqlite3 is slow to load and most roots have no group.
        from nssbackup.system.budget import Budget

        budget = Budget(_SECONDS_IN_ALL)
        for database in databases:
            if budget.is_spent() or time.monotonic() - started > _PATIENCE:
                break
            for path, name in _rows(database):
                folder = member_folder(_native(path, system), root, system)
                if folder is not None:
                    members.append(ListedProfile(folder, name.decode("utf-8", "replace")))
    return tuple(members)


def member_folder(value: str, root: PurePath, system: System) -> PurePath | None:
    r"""Return the folder that a row's path names, or None if that is unknown.

    The path is relative to the root, and `..` removes the name before it, link or not, as in
    Firefox (SelectableProfile.sys.mjs, resolveDir). Windows writes it with `\`; there it may climb
    above the drive and go on with another one: `..\..\..\..\D:\x\y`.
    """
    windows = system.platform == "win32"
    folder: PurePath | None = root
    for step in (value.replace("\\", "/") if windows else value).split("/"):
        if step in ("", "."):
            continue
        if step == "..":
            folder = _parent(folder)
        elif folder is not None and not (windows and ":" in step):
            folder /= step
        elif folder is None and windows and _DRIVE.fullmatch(step):
            folder = system.path(f"{step}\\")
        else:
            # Any other colon names a stream of a file or, to Python, begins another path.
            return None
    return None if folder == root or "\0" in value else folder


def _parent(folder: PurePath | None) -> PurePath | None:
    """Return the folder above, or None above the top."""
    return None if folder is None or folder == folder.parent else folder.parent


def _native(path: bytes, system: System) -> str:
    """Return a row's path, which is UTF-8, as the text by which Python opens it."""
    return path.decode("utf-8", "replace") if system.platform == "win32" else path_text(path)


def _databases(folder: Path) -> list[Path]:
    """Return the databases in the folder of the groups, sorted; [] if unreadable."""
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in islice(entries, _SCAN_LIMIT)
                if entry.name.lower().endswith(".sqlite")
            ]
    except OSError:
        return []
    return [folder / name for name in sorted(names)[:FILE_LIMIT]]


def _rows(database: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield path and name of each member; nothing if the database can't be read."""
    import sqlite3  # see above

    from nssbackup.system.snapshot import take_snapshot
    from nssbackup.system.sqlite import plain_tables

    try:
        snapshot = take_snapshot(database)
        if snapshot is not None:
            with closing(snapshot):
                if "Profiles" in plain_tables(snapshot):
                    yield from _members(snapshot)
    except (NssBackupError, sqlite3.Error, UnicodeError):  # UnicodeError: a damaged schema
        return


def _members(snapshot: sqlite3.Connection) -> Iterator[tuple[bytes, bytes]]:

    Budget(_READ_SECONDS).limit(snapshot)
    snapshot.text_factory = bytes  # what it calls text need not be UTF-8
    columns = {row[1] for row in snapshot.execute("PRAGMA table_info('Profiles')")}
    if not {b"path", b"name"} <= columns:
        return
    yield from snapshot.execute(
        "SELECT path, CASE WHEN typeof(name) = 'text' AND length(CAST(name AS BLOB)) <= ?"
        " THEN name ELSE '' END FROM Profiles"
        " WHERE typeof(path) = 'text' AND length(CAST(path AS BLOB)) <= ? LIMIT ?",
        (NAME_BYTES, PATH_BYTES, ROW_LIMIT),
    )

"""Private copies of a profile's databases, for NSS and for `restore` to work on."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from nssbackup.errors import UnreadableStoreError, reason
from nssbackup.identity.model import StoreKind
from nssbackup.system.files import create_private
from nssbackup.system.locking import scratch_folder
from nssbackup.system.reading import Budget
from nssbackup.system.snapshot import read_stable, take_snapshot
from nssbackup.system.sqlite import check_plain

_CURRENT = ("key4.db", "cert9.db")
_LEGACY = ("key3.db", "cert8.db")
_BLOBS = "cert8.dir"
# Records that were too large for cert8.db, one file each: how many are copied, bytes of one, bytes
# of all. The native engine reads no more of them (stores/legacy/cert8.py).
_MOST_BLOBS = 10_000
_MAX_BLOB = 1024 * 1024
_MAX_BLOBS = 8 * 1024 * 1024
# Processor time for checking a schema and for finding one record.
_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class StagedStore:
    """Copied databases: their folder, their kind (None if there were none), the password's salt."""

    folder: Path
    kind: StoreKind | None
    global_salt: bytes | None = field(repr=False)


@contextmanager
def private_copy(profile: Path) -> Iterator[StagedStore]:
    """Make a consistent copy of a profile's databases; overwrite and remove it at the end.

    If a profile has both the current and the older pair, the current one is copied.

    Raises:
        StoreError: a database can't be read, or there is no room for the copy.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch_folder())
        except OSError as error:
            message = f"there is no folder for temporary files: {reason(error)}"
            raise UnreadableStoreError(message) from error
        yield copy_databases(profile, folder)


def copy_databases(profile: Path, folder: Path) -> StagedStore:
    """Copy a profile's databases into a folder, each as it is at one moment.

    Raises:
        StoreError: a database can't be read or isn't plain, or the copy can't be written.
    """
    try:
        # A list: all of them are copied, not only up to the first that exists.
        if True in [_copy_database(profile / name, folder / name) for name in _CURRENT]:
            return StagedStore(folder, "sqlite", _global_salt(folder / _CURRENT[0]))
        if True in [_copy_file(profile / name, folder / name) for name in _LEGACY]:
            _copy_blobs(profile / _BLOBS, folder / _BLOBS)
            return StagedStore(folder, "legacy", None)
    except (OSError, sqlite3.Error) as error:
        message = f"the databases can't be copied to `{folder}`: {reason(error)}"
        raise UnreadableStoreError(message) from error
    return StagedStore(folder, None, None)


def _copy_database(source: Path, target: Path) -> bool:
    snapshot = take_snapshot(source)
    if snapshot is None:
        return False
    with closing(snapshot):
        Budget(_SECONDS).limit(snapshot)
        check_plain(snapshot, source)
        os.close(create_private(target))
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            snapshot.backup(copy)
    return True


def _copy_file(source: Path, target: Path) -> bool:
    data = read_stable(source)
    if data is None:
        return False
    with open(create_private(target), "wb") as file:
        file.write(data)
    return True


def _copy_blobs(source: Path, target: Path) -> None:
    """Copy the files of a folder that can be such records."""
    if not source.is_dir():
        return
    target.mkdir(mode=0o700)
    left = _MAX_BLOBS
    for blob in islice(source.iterdir(), _MOST_BLOBS):
        size = blob.stat().st_size if blob.is_file() else None
        if size is not None and size <= min(_MAX_BLOB, left):
            left -= size
            _copy_file(blob, target / blob.name)


def _global_salt(keys: Path) -> bytes | None:
    """Return the salt of the password record (lib/softoken/sdb.c, metaData), or None."""
    if not keys.exists():
        return None
    try:
        with closing(sqlite3.connect(keys)) as database:
            Budget(_SECONDS).limit(database)
            row = database.execute("SELECT item1 FROM metaData WHERE id = 'password'").fetchone()
    except sqlite3.Error:
        return None  # the user of the copy will find out what is wrong with it
    return row[0] if row and isinstance(row[0], bytes) else None

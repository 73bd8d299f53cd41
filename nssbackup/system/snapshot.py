"""Consistent copies of the databases of a live profile, which is left as it is.

Firefox writes its databases in rollback-journal mode with ordinary locks (NSS sets no journal
mode, lib/softoken/sdb.c), so SQLite's own backup from a read-only connection is consistent and
creates nothing. If that fails, the database is copied with its journal into a private folder, and
SQLite recovers the copy there. Otherwise a hot journal would be ignored (`immutable=1`) or rolled
back inside the user's profile (read-write), and opening a WAL database creates a `-shm` file
beside it.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import NamedTuple

from nssbackup.errors import (
    DamagedStoreError,
    UnreadableStoreError,
    UnsupportedStoreError,
    reason,
)
from nssbackup.system.files import create_private
from nssbackup.system.locking import scratch_folder, wipe
from nssbackup.system.ownership import as_owner, refusal_hint
from nssbackup.system.reading import without_waiting
from nssbackup.system.sqlite import connect, database_uri, load_schema

# A cert9.db with a thousand certificates has 3 MB. Two databases in memory, with a row of one as
# SQLite and as Python hold it, stay below 256 MB.
MAX_BYTES = 32 * 1024 * 1024

# How long another program may lock the database before it is copied instead.
_BUSY_SECONDS = 3.0
_ATTEMPTS = 8
_PAUSE = 0.05

# What SQLite says if the copy can't be written, and nothing is wrong with what is in it.
_NO_SPACE = frozenset(
    {"database or disk is full", "disk I/O error", "unable to open database file"}
)
_SPACE_HINT = "free some space, or name another folder in the variable `TMPDIR` (`TMP` on Windows)"

_JOURNALS = ("-journal", "-wal")
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
# After the name of a super-journal: its length, its checksum, the magic. Before it a page number.
_SUPER_JOURNAL_TAIL = struct.Struct(">II8s")
_PAGE_NUMBER_BYTES = 4
_LARGEST_SIGNED = 127
# sqlite.org/fileformat, offsets 18 and 19: the versions for writing and reading; 2 is WAL.
_VERSIONS, _WAL_VERSIONS = slice(18, 20), b"\2\2"


def take_snapshot(path: Path) -> sqlite3.Connection | None:
    """Return a copy of a SQLite database in memory; None if there is no such file.

    Symbolic links are followed. The copy is read-only, its schema loaded (see `system.sqlite`).

    Raises:
        UnreadableStoreError: the operating system or another program keeps us out.
        UnsupportedStoreError: it is larger than any of NSS.
        DamagedStoreError: it is not a SQLite database, or a damaged one.
    """
    with as_owner(path):
        return _snapshot(path)


def _snapshot(path: Path) -> sqlite3.Connection | None:
    try:
        state = _state(path)
        if not state[0].size:
            # Not opened: SQLite removes a journal that lies beside an empty database.
            check_content(path, b"")
        copy = None
        if len(state) == 1 or not state[-1].path.endswith("-wal"):
            copy = _backup(path)
        copy = copy or _backup_of_copy(path)
    except FileNotFoundError:
        _check_missing(path)
        return None
    except (sqlite3.DatabaseError, UnicodeError) as error:  # its messages are text of the database
        raise _unusable(path, error) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        load_schema(copy, path)
        copy.execute("PRAGMA query_only=ON")
    except BaseException:
        copy.close()
        raise
    return copy


def snapshot_of_contents(path: Path, contents: Mapping[str, bytes]) -> sqlite3.Connection | None:
    """Return a database of a container in memory, as `take_snapshot` does; None if it is missing.

    Args:
        path: where it is, in words: its name is the key in `contents`.
        contents: the database, and a journal if it has one, by name.

    Raises:
        StoreError: as of `take_snapshot`.
    """
    database = contents.get(path.name)
    if database is None:
        return None
    check_content(path, database)
    try:
        copied = (
            _recovered_contents(path, contents)
            if _journals_in(path, contents)
            else _deserialized(database)
        )
    except (sqlite3.DatabaseError, UnicodeError) as error:
        message = f"`{path}` is not a usable SQLite database: {error}"
        raise DamagedStoreError(message) from error
    load_schema(copied, path)
    copied.execute("PRAGMA query_only=ON")
    return copied


def _journals_in(path: Path, contents: Mapping[str, bytes]) -> list[str]:
    names = (path.name + suffix for suffix in _JOURNALS)
    return [name for name in names if contents.get(name)]


def _deserialized(database: bytes) -> sqlite3.Connection:
    """Return a database in memory."""
    if database[_VERSIONS] == _WAL_VERSIONS:  # its log is empty: everything is in it
        database = database[: _VERSIONS.start] + b"\1\1" + database[_VERSIONS.stop :]
    copied = connect(":memory:")
    copied.deserialize(database)
    return copied


def _recovered_contents(path: Path, contents: Mapping[str, bytes]) -> sqlite3.Connection:
    """Return the database that contents with a journal amount to; SQLite needs files for that."""
    with scratch_folder() as folder:
        for name in (path.name, *_journals_in(path, contents)):
            with open(create_private(folder / name), "wb") as file:
                file.write(contents[name])
            if name.endswith(_JOURNALS[0]):
                _cut_super_journal(folder / name, path.parent)
        return _recovered(folder / path.name, path)


def read_stable(path: Path) -> bytes | None:
    """Return the bytes of a file that nobody wrote to meanwhile; None if there is no such file.

    Symbolic links are followed.

    Raises:
        UnreadableStoreError: the operating system keeps us out, or it is being written to.
        UnsupportedStoreError: it is larger than any of NSS.
    """
    with as_owner(path):
        try:
            for attempt in range(_ATTEMPTS):
                if attempt:
                    time.sleep(_PAUSE)
                before = _state(path)
                data = _read(before[0])
                if _state(path) == before:
                    return data
        except FileNotFoundError:
            _check_missing(path)
            return None
        except OSError as error:
            raise _unreadable(path, error) from error
        raise _busy(path)


def check_content(path: Path, data: bytes) -> None:
    """Raise DamagedStoreError if a file has no bytes or only zeros, as after a crash."""
    if not data.strip(b"\0"):
        message = (
            f"`{path}` holds nothing but zero bytes" if data else f"`{path}` is empty (0 bytes)"
        )
        raise DamagedStoreError(message)


def _backup(path: Path) -> sqlite3.Connection | None:
    """Return a copy made by SQLite's backup, or None if the file has to be copied instead."""
    # Read before SQLite opens it: closing a file takes away this process's locks on it.
    if _is_wal(path):
        return None
    try:
        # The errors that a copy may help with differ by type: SQLITE_READONLY_ROLLBACK (hot
        # journal), SQLITE_BUSY, SQLITE_CANTOPEN, SQLITE_PROTOCOL and SQLITE_IOERR (no locks on
        # this medium) are OperationalError; SQLITE_NOTADB and SQLITE_CORRUPT are DatabaseError.
        with closing(
            connect(database_uri(path.absolute()), uri=True, timeout=_BUSY_SECONDS)
        ) as source:
            return _in_memory(source)
    except sqlite3.OperationalError:
        return None


def _is_wal(path: Path) -> bool:
    """Return whether SQLite would make files for a write-ahead log beside a database.

    It goes by the version for reading (sqlite.org/fileformat, offset 19; btree.c, lockBtree).
    """
    with open(path, "rb", buffering=0, opener=without_waiting) as file:
        return file.read(20)[19:] == b"\x02"


def _in_memory(source: sqlite3.Connection) -> sqlite3.Connection:
    """Copy a database into memory, as it is at one moment."""
    # A transaction takes the shared lock within the connection's time limit. Without it `backup`
    # would wait for a locked database for ever.
    source.execute("BEGIN")
    source.execute("PRAGMA schema_version").fetchall()
    target = connect(":memory:")
    try:
        source.backup(target)
    except BaseException:
        target.close()
        raise
    return target


def _backup_of_copy(path: Path) -> sqlite3.Connection:
    """Return the database by way of a private copy with its journals, recovered there."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch_folder())
        except OSError as error:
            message = f"there is no folder for temporary files: {reason(error)}"
            raise UnreadableStoreError(message, hint=_SPACE_HINT) from error
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE)
            before = _state(path)
            try:
                copies = [_copied(file, folder) for file in before]
            except FileNotFoundError:  # a journal ends with its transaction
                wipe(folder)
                continue
            if _state(path) == before:
                for copy in copies[1:]:
                    if copy.name.endswith(_JOURNALS[0]):
                        _cut_super_journal(copy, path.parent)
                break
            wipe(folder)
        else:
            raise _busy(path)
        try:
            return _recovered(copies[0], path)
        except sqlite3.OperationalError as error:
            if str(error) not in _NO_SPACE:
                raise
            raise _not_copied(path, folder, str(error)) from error


def _copied(file: _File, folder: Path) -> Path:
    """Copy a file into a scratch folder; OSError means that the file can't be read."""
    data = _read(file)
    copy = folder / Path(file.path).name
    try:
        with open(create_private(copy), "wb") as written:
            written.write(data)
    except OSError as error:
        raise _not_copied(Path(file.path), folder, reason(error)) from error
    return copy


def _recovered(copy: Path, path: Path) -> sqlite3.Connection:
    """Return the database that a copy of `path` with its journals amounts to."""
    with closing(connect(copy)) as recovered:
        # Recovers a hot journal. Closing takes in the write-ahead log.
        recovered.execute("PRAGMA schema_version").fetchall()
    # A journal says how large the database was, and SQLite believes it: terabytes of holes.
    _check_size(os.fspath(path), copy.stat().st_size)
    with closing(connect(copy)) as source:
        load_schema(source, path)
        # Nobody needs this copy after a power failure, and waiting for the disk takes longest.
        source.execute("PRAGMA synchronous=OFF")
        # Takes the mark of WAL mode out of the header.
        source.execute("PRAGMA journal_mode=DELETE").fetchall()
        return _in_memory(source)


class _File(NamedTuple):
    """A file as it is now. If one of these differs later, it was written to."""

    path: str
    inode: int
    size: int
    modified_ns: int


def _state(path: Path) -> list[_File]:
    """Return the database, and the journals beside it.

    They are looked at before SQLite opens them: opening a FIFO would block for ever.
    """
    state = []
    database = os.fspath(path)
    for name in (database, *(database + suffix for suffix in _JOURNALS)):
        try:
            facts = os.stat(name)
        except FileNotFoundError:
            if name is database:
                raise
            continue
        if not stat.S_ISREG(facts.st_mode):
            message = f"`{name}` is not a regular file"
            raise UnreadableStoreError(message)
        _check_size(name, facts.st_size)
        state.append(_File(name, facts.st_ino, facts.st_size, facts.st_mtime_ns))
    return state


def _check_size(name: str, size: int) -> None:
    if size > MAX_BYTES:
        message = f"`{name}` is too large ({size:,} bytes; the limit is {MAX_BYTES:,})"
        raise UnsupportedStoreError(message)


def _read(file: _File) -> bytes:
    with open(file.path, "rb", opener=without_waiting) as opened:
        return opened.read(file.size + 1)


def _cut_super_journal(journal: Path, folder: Path) -> None:
    """Settle a copied journal of a transaction over both databases, as `restore` makes them.

    While the super-journal that it names exists, the transaction was not committed and the journal
    has to be rolled back. Without it, the transaction was committed. That is decided here by what
    lies in the profile's folder, and the name is cut off: SQLite would look for it elsewhere, and
    delete what it names.

    Raises:
        UnsupportedStoreError: it names a file in another folder, so that nobody can tell.
    """
    data = journal.read_bytes()
    named = _super_journal(data)
    # A C string ends at a NUL.
    name = (named or b"").partition(b"\0")[0]
    if named is None or not name:
        return
    place, base = os.path.split(os.fsdecode(name))
    if base and (folder / base).is_file():
        os.truncate(journal, len(data) - _SUPER_JOURNAL_TAIL.size - len(named) - _PAGE_NUMBER_BYTES)
    elif _is_same(place, folder):
        journal.unlink()
    else:
        message = f"`{journal.name}` belongs to a transaction that began in another folder"
        hint = "open the profile with its application once, in the folder where it was used"
        raise UnsupportedStoreError(message, hint=hint)


def _is_same(place: str, folder: Path) -> bool:
    try:
        return folder.samefile(place)
    except OSError:
        return False


def _super_journal(journal: bytes) -> bytes | None:
    """Return the path at the end of a journal; None if SQLite would see none there either.

    The end is a page number, the path, its length, its checksum, and the magic of the journal
    (sqlite.org/fileformat, "The Rollback Journal"; pager.c, readSuperJournal).
    """
    end = len(journal) - _SUPER_JOURNAL_TAIL.size
    if end < _PAGE_NUMBER_BYTES or not journal.endswith(_JOURNAL_MAGIC):
        return None
    length, checksum, _ = _SUPER_JOURNAL_TAIL.unpack_from(journal, end)
    name = journal[end - length : end] if 0 < length <= end - _PAGE_NUMBER_BYTES else b""
    # A sum of C's `char`, which is signed on some systems.
    sums = (sum(name), sum(byte - 256 * (byte > _LARGEST_SIGNED) for byte in name))
    right = checksum in (each % 2**32 for each in sums)
    return name if name and right else None


def _check_missing(path: Path) -> None:
    """Raise UnreadableStoreError if a missing file is a broken link."""
    if os.path.islink(path):
        message = f"`{path}` is a link to a file that is missing"
        raise UnreadableStoreError(message) from None


def _busy(path: Path) -> UnreadableStoreError:
    message = f"`{path}` was written to during each of {_ATTEMPTS} attempts to read it"
    return UnreadableStoreError(message, hint="close the application and try again")


def _not_copied(path: Path, folder: Path, why: str) -> UnreadableStoreError:
    message = f"`{path}` can't be copied to `{folder.parent}`: {why}"
    return UnreadableStoreError(message, hint=_SPACE_HINT)


def _unusable(path: Path, error: Exception) -> DamagedStoreError:
    """Return an error with what SQLite says, unless the file is not a database at all."""
    with suppress(OSError), open(path, "rb", opener=without_waiting) as file:
        check_content(path, file.read(MAX_BYTES))
    message = f"`{path}` is not a usable SQLite database: {error}"
    return DamagedStoreError(message)


def _unreadable(path: Path, error: OSError) -> UnreadableStoreError:
    message = f"`{path}` can't be read: {reason(error)}"
    hint = refusal_hint(path) if isinstance(error, PermissionError) else None
    return UnreadableStoreError(message, hint=hint)

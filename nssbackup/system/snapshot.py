"""Snapshots: a database of a live profile as it is at one moment, in memory.

Firefox writes its databases in rollback-journal mode with ordinary locks (NSS sets no journal
mode, lib/softoken/sdb.c), so SQLite's own backup from a read-only connection is consistent and
creates nothing. Where that can't work, the database is copied together with its journal into a
private folder and SQLite recovers the copy there: a hot journal that is left behind would
otherwise be ignored (`immutable=1`) or rolled back inside the user's profile (read-write), and
opening a WAL database creates a `-shm` file beside it.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
import time
from contextlib import ExitStack, closing, suppress
from io import RawIOBase
from pathlib import Path, PurePath
from typing import NamedTuple

from nssbackup.errors import DamagedStoreError, UnreadableStoreError, reason
from nssbackup.system.ownership import as_owner, refusal_hint
from nssbackup.system.scratch import scratch_folder, wipe
from nssbackup.system.sqlite_schema import check_size

# A cert9.db with a thousand certificates is 3 MB. The bound keeps a sparse monster out of memory:
# two databases in memory, a row of one as SQLite has it and as Python has it, stay below 256 MB.
MAX_BYTES = 32 * 1024 * 1024

# How long another program may hold the database exclusively before the copying begins.
_BUSY_SECONDS = 3.0
_COPY_ATTEMPTS = 8
_COPY_PAUSE = 0.05

# What SQLite says where a copy of ours, and not what is in it, is the trouble.
_NO_PLACE = frozenset(
    {"database or disk is full", "disk I/O error", "unable to open database file"}
)
_ELSEWHERE = "make room there, or name another folder in the variable `TMPDIR` (`TMP` on Windows)"

_JOURNALS = ("-journal", "-wal")
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
# Behind the name of a super-journal: its length, its checksum, the magic; before it a page number.
_SUPER_JOURNAL_TAIL = struct.Struct(">II8s")
_PAGE_NUMBER_BYTES = 4
_LARGEST_SIGNED = 127


@as_owner()
def take_snapshot(path: Path) -> sqlite3.Connection | None:
    """A hardened in-memory copy of a SQLite database that is left as it is.

    Args:
        path: the database file; symbolic links are followed.

    Returns:
        A connection to the copy, or None where there is no such file.

    Raises:
        UnreadableStoreError: the operating system or another program keeps us out.
        DamagedStoreError: it is no SQLite database, or a damaged one.
    """
    try:
        state = _state(path)
        if not state[0].size:
            # Not opened: SQLite removes a journal that lies beside an empty database.
            connection = _new_memory()
        elif any(file.path.endswith("-wal") for file in state):
            connection = _backup_of_copy(path)
        else:
            connection = _backup(path) or _backup_of_copy(path)
    except FileNotFoundError:
        _check_missing(path)
        return None
    except (sqlite3.DatabaseError, UnicodeError) as error:  # its messages are text of the database
        message = f"`{path}` is not a usable SQLite database: {error}"
        raise DamagedStoreError(message) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    return connection


@as_owner()
def read_stable(path: Path) -> bytes | None:
    """The bytes of a file that has no journal and that nobody wrote to meanwhile.

    Args:
        path: the file; symbolic links are followed.

    Returns:
        All of it, at most `MAX_BYTES`; None where there is no such file.

    Raises:
        UnreadableStoreError: the operating system keeps us out, or it is being written to.
        DamagedStoreError: it is too large for what it should be.
    """
    try:
        for attempt in range(_COPY_ATTEMPTS):
            if attempt:
                time.sleep(_COPY_PAUSE)
            before = _state(path)
            with open(path, "rb") as file:  # noqa: PTH123 - paths are slow
                data = file.read(before[0].size + 1)
            if _state(path) == before:
                return data
    except FileNotFoundError:
        _check_missing(path)
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    raise _busy(path)


def database_uri(path: PurePath) -> str:
    """A `file:` URI that SQLite opens read-only, for a path with any characters in it.

    SQLite takes no authority but `localhost` (sqlite.org/uri.html), so the server of a UNC path
    moves into the path.
    """
    uri = path.as_uri()
    if not uri.startswith("file:///"):
        uri = "file:////" + uri.removeprefix("file://")
    return f"{uri}?mode=ro"


def _backup(path: Path) -> sqlite3.Connection | None:
    """The database by SQLite's backup; None where a copy of the file must be tried."""
    # Open until SQLite is done: to close a file takes this process's locks on it away.
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - paths are slow
        return None if _is_wal(file) else _backup_of(path, file)


def _backup_of(path: Path, file: RawIOBase) -> sqlite3.Connection | None:
    try:
        # The uncommon case is told apart by type: SQLITE_READONLY_ROLLBACK (hot journal),
        # SQLITE_BUSY, SQLITE_CANTOPEN, SQLITE_PROTOCOL and SQLITE_IOERR (no locks on this
        # medium) are OperationalError; SQLITE_NOTADB and SQLITE_CORRUPT are DatabaseError.
        with closing(
            sqlite3.connect(
                database_uri(path.absolute()), uri=True, timeout=_BUSY_SECONDS, isolation_level=None
            )
        ) as source:
            _begin(source)
            check_size(file, path)
            return _in_memory(source)
    except sqlite3.OperationalError:
        return None


def _is_wal(file: RawIOBase) -> bool:
    """Whether SQLite would take it for one with write-ahead logging, and make files beside it.

    For that it looks at the version for reading alone (sqlite.org/fileformat, offset 19; btree.c,
    lockBtree), not at that for writing, which is the same wherever SQLite wrote it.
    """
    return file.read(20)[19:] == b"\x02"


def _begin(source: sqlite3.Connection) -> None:
    """Begin a read transaction, which takes the shared lock with the connection's time limit.

    Without it `Connection.backup` would wait for ever for a database that is locked. The version is
    in the header: a query of a table would have SQLite parse the schema.
    """
    source.execute("BEGIN")
    source.execute("PRAGMA schema_version").fetchall()


def _in_memory(source: sqlite3.Connection) -> sqlite3.Connection:
    """Copy a database into memory within the read transaction that was begun."""
    if _shelf:
        target = _shelf.pop()
        try:
            source.backup(target)
        except sqlite3.Error:  # a database in memory keeps the page size it was filled with first
            target.close()
        else:
            return target
    target = _new_memory()
    try:
        source.backup(target)
    except BaseException:
        target.close()
        raise
    return target


# Databases in memory to be filled again: making one takes as long as filling it, and a building
# has hundreds of profiles.
_shelf: list[sqlite3.Connection] = []


def put_back(connection: sqlite3.Connection) -> None:
    """Give up a snapshot; nobody may use it any more, as the next one will take its place."""
    _shelf.append(connection)


def _new_memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _harden(connection)
    return connection


def _backup_of_copy(path: Path) -> sqlite3.Connection:
    """The database by way of a private copy with its journals, recovered there."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch_folder())
        except OSError as error:
            message = f"there is no folder for temporary files: {reason(error)}"
            raise UnreadableStoreError(message, hint=_ELSEWHERE) from error
        for attempt in range(_COPY_ATTEMPTS):
            if attempt:
                time.sleep(_COPY_PAUSE)
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
            if str(error) not in _NO_PLACE:
                raise
            raise _not_copied(path, folder, str(error)) from error


def _copied(file: _File, folder: Path) -> Path:
    """The copy of a file in a scratch folder.

    Raises:
        OSError: the file can't be read.
        UnreadableStoreError: the copy can't be written.
    """
    source = Path(file.path)
    copy = folder / source.name
    with source.open("rb") as opened:
        data = opened.read(file.size + 1)
    try:
        with copy.open("wb") as written:
            with suppress(OSError):  # the umask may have kept even us out
                copy.chmod(0o600)
            written.write(data)
    except OSError as error:
        raise _not_copied(source, folder, reason(error)) from error
    return copy


def _recovered(copy: Path, path: Path) -> sqlite3.Connection:
    """The database that a copy of `path` with its journals amounts to."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as recovered:
        # Recovers a hot journal; to close it takes the WAL in.
        _begin(recovered)
    with open(copy, "rb", buffering=0) as file:  # noqa: PTH123 - paths are slow
        check_size(file, path)
    with closing(sqlite3.connect(copy, isolation_level=None)) as source:
        # Nobody needs this copy after a power failure, and waiting for the disk takes longest.
        source.execute("PRAGMA synchronous=OFF")
        # Takes the mark of WAL mode out of the header.
        source.execute("PRAGMA journal_mode=DELETE").fetchall()
        # A journal says how large the database was, and SQLite believes it: terabytes of holes.
        size = copy.stat().st_size
        if size > MAX_BYTES:
            message = f"`{path}` is too large for an NSS database ({size:,} bytes)"
            raise DamagedStoreError(message)
        _begin(source)
        return _in_memory(source)


class _File(NamedTuple):
    """A file as it is now: when one of these is another, it was written to."""

    path: str
    inode: int
    size: int
    modified_ns: int


def _state(path: Path) -> list[_File]:
    """The database, and the journals that lie beside it.

    They are looked at before SQLite opens them: opening a FIFO would block for ever.
    """
    state = []
    database = os.fspath(path)
    for name in (database, *(database + suffix for suffix in _JOURNALS)):
        try:
            facts = os.stat(name)  # noqa: PTH116 - three a database of hundreds: paths are slow
        except FileNotFoundError:
            if name is database:
                raise
            continue
        if not stat.S_ISREG(facts.st_mode):
            message = f"`{name}` is not a regular file"
            raise UnreadableStoreError(message)
        if facts.st_size > MAX_BYTES:
            message = f"`{name}` is too large for an NSS database ({facts.st_size:,} bytes)"
            raise DamagedStoreError(message)
        state.append(_File(name, facts.st_ino, facts.st_size, facts.st_mtime_ns))
    return state


def _cut_super_journal(journal: Path, folder: Path) -> None:
    """Settle a copied journal of a transaction over both databases, as `restore` makes them.

    While the super-journal that it names is there the transaction was not committed, and the
    journal is to be rolled back; without it, it was. Here that is decided by what lies in the
    profile's folder, and the name is cut off: SQLite would look for it elsewhere, and delete what
    it names.

    Raises:
        DamagedStoreError: it names a file in another folder, so that it can't be told.
    """
    data = journal.read_bytes()
    named = _super_journal(data)
    # Text of C ends at a NUL.
    name = (named or b"").partition(b"\0")[0]
    if named is None or not name:
        return
    place, base = os.path.split(os.fsdecode(name))
    if base and (folder / base).is_file():
        os.truncate(journal, len(data) - _SUPER_JOURNAL_TAIL.size - len(named) - _PAGE_NUMBER_BYTES)
    elif os.path.realpath(place) == os.path.realpath(folder):
        journal.unlink()
    else:
        message = f"`{journal.name}` belongs to a transaction over databases in another folder"
        raise DamagedStoreError(message)


def _super_journal(journal: bytes) -> bytes | None:
    """What a journal has at its end as a path; None where SQLite would see none there either.

    The end is a page number, the path, its length, its checksum, and the magic of the journal
    (sqlite.org/fileformat, "The Rollback Journal"; pager.c, readSuperJournal).
    """
    end = len(journal) - _SUPER_JOURNAL_TAIL.size
    if end < _PAGE_NUMBER_BYTES or not journal.endswith(_JOURNAL_MAGIC):
        return None
    length, checksum, _ = _SUPER_JOURNAL_TAIL.unpack_from(journal, end)
    name = journal[end - length : end] if 0 < length <= end - _PAGE_NUMBER_BYTES else b""
    # A sum of C's characters, which have a sign or not.
    sums = (sum(name), sum(byte - 256 * (byte > _LARGEST_SIGNED) for byte in name))
    right = checksum in (each % 2**32 for each in sums)
    return name if name and right else None


def _check_missing(path: Path) -> None:
    """Raise UnreadableStoreError where a missing file was meant to be elsewhere."""
    if os.path.islink(path):  # noqa: PTH114 - Path's own raises
        message = f"`{path}` is a link to a file that isn't there"
        raise UnreadableStoreError(message) from None


def _harden(connection: sqlite3.Connection) -> None:
    """Make a database of unknown origin harmless to query."""
    connection.executescript(
        "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA query_only=ON"
    )


def _busy(path: Path) -> UnreadableStoreError:
    message = f"`{path}` is being written to all the time"
    return UnreadableStoreError(message, hint="close the application and try again")


def _not_copied(path: Path, folder: Path, why: str) -> UnreadableStoreError:
    message = f"`{path}` can't be copied to `{folder.parent}`: {why}"
    return UnreadableStoreError(message, hint=_ELSEWHERE)


def _unreadable(path: Path, error: OSError) -> UnreadableStoreError:
    message = f"`{path}` can't be read: {reason(error)}"
    hint = None
    if isinstance(error, PermissionError):
        hint = refusal_hint(
            "run nssbackup as the user the profile belongs to, or as an administrator"
        )
    return UnreadableStoreError(message, hint=hint)

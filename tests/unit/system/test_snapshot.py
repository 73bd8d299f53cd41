"""Snapshots of databases in every state a profile can be found in; the profile stays as it is."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from nssbackup.errors import (
    DamagedStoreError,
    NssBackupError,
    UnreadableStoreError,
    UnsupportedStoreError,
)
from nssbackup.system import snapshot
from nssbackup.system.snapshot import take_snapshot
from tests import LIMIT, PROFILES, PROJECT, is_root
from tests.conftest import Unchanged

posix = pytest.mark.posix("a matter of POSIX file systems")

WAL = ("PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0")

# A writer in another process: does what it is told, says "ready", and waits to be killed.
WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    db.execute(statement)
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def writer(path: Path, *statements: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that carries out the statements and then holds what it has."""
    command = [sys.executable, "-c", WRITER, str(path), *statements]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def made(path: Path, rows: int = 300) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE t (x, y)")
        db.executemany("INSERT INTO t VALUES (?, 'old')", [(bytes(1000),) for _ in range(rows)])
    return path


def values(path: Path) -> dict[str, int]:
    """How many rows there are of each kind in a snapshot."""
    connection = take_snapshot(path)
    assert connection is not None
    with closing(connection):
        return dict(connection.execute("SELECT y, count(*) FROM t GROUP BY y"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return made(tmp_path / "profile" / "key4.db")


def crash(path: Path, *statements: str) -> None:
    """Kill a writer in mid-transaction, with its changes already in the file."""
    with writer(path, "PRAGMA cache_size=1", "BEGIN IMMEDIATE", *statements) as process:
        process.send_signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
        process.wait()


def test_a_database_at_rest_is_read(database: Path, unchanged: Unchanged) -> None:
    with unchanged(database.parent):
        assert values(database) == {"old": 300}


def test_no_file_is_no_snapshot(tmp_path: Path, unchanged: Unchanged) -> None:
    with unchanged(tmp_path):
        assert take_snapshot(tmp_path / "key4.db") is None


def test_a_hot_journal_is_rolled_back_in_a_copy(database: Path, unchanged: Unchanged) -> None:
    crash(database, "UPDATE t SET y = 'new'")
    assert Path(f"{database}-journal").stat().st_size > 0
    uri = f"{database.as_uri()}?immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as torn:
        # The case is real: what is in the file is not what was committed.
        assert torn.execute("SELECT count(*) FROM t WHERE y = 'old'").fetchone() != (300,)
    with unchanged(database.parent):
        assert values(database) == {"old": 300}


@pytest.mark.parametrize("with_shm", [True, False], ids=["shm", "no shm"])
def test_rows_that_are_only_in_the_wal_are_read(
    database: Path, unchanged: Unchanged, *, with_shm: bool
) -> None:
    with writer(database, *WAL, "UPDATE t SET y = 'new'") as process:
        process.kill()
        process.wait()
    if not with_shm:
        Path(f"{database}-shm").unlink()
    with unchanged(database.parent):
        assert values(database) == {"new": 300}


def test_a_wal_database_in_use_is_read(database: Path, unchanged: Unchanged) -> None:
    with writer(database, *WAL, "UPDATE t SET y = 'new'"), unchanged(database.parent):
        assert values(database) == {"new": 300}


@pytest.mark.parametrize(
    "statements",
    [
        ("BEGIN EXCLUSIVE",),
        ("PRAGMA cache_size=1", "BEGIN EXCLUSIVE", "UPDATE t SET y = 'new'"),
    ],
    ids=["nothing written", "spilled"],
)
def test_beside_an_exclusive_writer_the_committed_rows_are_read(
    database: Path, unchanged: Unchanged, statements: tuple[str, ...]
) -> None:
    with writer(database, *statements), unchanged(database.parent):
        assert values(database) == {"old": 300}


def test_a_snapshot_can_not_be_written_to(database: Path) -> None:
    connection = take_snapshot(database)
    assert connection is not None
    with closing(connection), pytest.raises(sqlite3.OperationalError):
        connection.execute("DELETE FROM t")


# --- what is no database


def random(path: Path) -> None:
    path.write_bytes(b"\x07some bytes\xff" * 5000)


def truncated(path: Path) -> None:
    made(path)
    os.truncate(path, 100_000)


def tiny(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(14))


def pipe(path: Path) -> None:
    if sys.platform != "win32":
        os.mkfifo(path)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"SQLite format 3\0")
        file.truncate(1 << 30)


def wal_folder(path: Path) -> None:
    made(path)
    Path(f"{path}-wal").mkdir()


BROKEN: dict[Callable[[Path], None], type[NssBackupError]] = {
    random: DamagedStoreError,
    truncated: DamagedStoreError,
    tiny: DamagedStoreError,
    sparse: UnsupportedStoreError,
    wal_folder: UnreadableStoreError,
    Path.mkdir: UnreadableStoreError,
}
BROKEN_POSIX: dict[Callable[[Path], None], type[NssBackupError]] = {
    pipe: UnreadableStoreError,
    link_to("elsewhere"): UnreadableStoreError,
    link_to("key4.db"): UnreadableStoreError,
    link_to("/dev/zero"): UnreadableStoreError,
}


@pytest.mark.parametrize(
    ("make", "error"),
    [*BROKEN.items(), *(pytest.param(*case, marks=posix) for case in BROKEN_POSIX.items())],
)
def test_what_is_no_database_ends_in_an_error_of_ours(
    tmp_path: Path,
    unchanged: Unchanged,
    make: Callable[[Path], None],
    error: type[NssBackupError],
) -> None:
    path = tmp_path / "profile" / "key4.db"
    path.parent.mkdir()
    make(path)
    with unchanged(path.parent), pytest.raises(error, match=r"key4\.db"):
        take_snapshot(path)


EXCHANGED = """
import os, sys
from pathlib import Path
from nssbackup.errors import UnreadableStoreError
from nssbackup.system import snapshot
path, look = Path(sys.argv[1]), snapshot._state
def looked_at(path):
    state = look(path)
    path.unlink()
    os.mkfifo(path)
    return state
snapshot._state = looked_at
try:
    snapshot.read_stable(path)
except UnreadableStoreError as error:
    print(error.message)
"""


@posix
def test_a_pipe_that_takes_the_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "key3.db"
    path.write_bytes(b"x")
    done = subprocess.run(
        [sys.executable, "-c", EXCHANGED, path],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
        timeout=LIMIT,
    )
    assert done.stdout == f"`{path}` is not a regular file\n"


@posix
def test_a_journal_that_is_a_pipe_does_not_block(tmp_path: Path, unchanged: Unchanged) -> None:
    path = made(tmp_path / "profile" / "key4.db")
    pipe(Path(f"{path}-journal"))
    with unchanged(path.parent):
        outcome = read_apart(path)
    assert outcome in ("{'old': 300}", "DamagedStoreError", "UnreadableStoreError")


@pytest.mark.parametrize("journal", [None, b"", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(600)])
def test_an_empty_database_is_said_and_its_journal_kept(
    tmp_path: Path, unchanged: Unchanged, journal: bytes | None
) -> None:
    """SQLite would remove a journal that it finds beside an empty database."""
    path = tmp_path / "key4.db"
    path.touch()
    if journal is not None:
        Path(f"{path}-journal").write_bytes(journal)
    with unchanged(tmp_path), pytest.raises(DamagedStoreError, match=r"is empty \(0 bytes\)"):
        take_snapshot(path)


@pytest.mark.parametrize("size", [4096, 100_000])
def test_a_database_of_zeros_is_said(tmp_path: Path, size: int) -> None:
    path = tmp_path / "key4.db"
    path.write_bytes(bytes(size))
    with pytest.raises(DamagedStoreError, match="holds nothing but zero bytes"):
        take_snapshot(path)


# --- places

NAMES = ["a?mode=rw", "b#c", "100%41", "d e", "ü-日本", "file:x", "a&b=c", "semi;colon"]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_of_any_characters_is_read(tmp_path: Path, unchanged: Unchanged, name: str) -> None:
    if sys.platform == "win32" and set(name) & set('?:"<>|*'):
        pytest.skip("Windows has no such name")
    path = made(tmp_path / name / "key4.db")
    with unchanged(path.parent):
        assert values(path) == {"old": 300}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_path_that_is_no_utf8_is_read(
    tmp_path: Path, database: Path, unchanged: Unchanged
) -> None:
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    database.parent.rename(strange)
    with unchanged(strange):
        assert values(strange / "key4.db") == {"old": 300}


# --- permissions. Root is above them, so they are tried as nobody.

READER = """
import os, sys
from contextlib import closing
from pathlib import Path
from nssbackup.system.snapshot import take_snapshot
from nssbackup.errors import NssBackupError
if sys.argv[2:]:
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
try:
    with closing(take_snapshot(Path(sys.argv[1]))) as connection:
        print(dict(connection.execute("SELECT y, count(*) FROM t GROUP BY y")))
except NssBackupError as error:
    print(type(error).__name__)
"""


def read_apart(path: Path, *user: str) -> str:
    """What a process of its own gets of a snapshot; one that blocks is a failure, no standstill."""
    command = [sys.executable, "-c", READER, str(path), *user]
    root = PROJECT
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=root, timeout=LIMIT
    )
    return done.stdout.strip()


def as_nobody(path: Path) -> str:
    """What a process without any special rights gets: root's gives them up, modules loaded."""
    root = is_root()
    return read_apart(path, *(["65534"] if root else []))


@pytest.fixture
def open_database(tmp_path: Path) -> Iterator[Path]:
    """A database that any user may get to."""
    closed = [folder for folder in tmp_path.parents if not folder.stat().st_mode & 0o001]
    modes = {folder: folder.stat().st_mode for folder in [tmp_path, *closed]}
    for each in modes:
        each.chmod(0o755)
    yield made(tmp_path / "profile" / "key4.db")
    (tmp_path / "profile").chmod(0o755)
    for each, mode in modes.items():
        each.chmod(mode)


@posix
def test_a_wal_in_a_read_only_folder_is_read(open_database: Path, unchanged: Unchanged) -> None:
    with writer(open_database, *WAL, "UPDATE t SET y = 'new'") as process:
        process.kill()
        process.wait()
    open_database.parent.chmod(0o555)
    with unchanged(open_database.parent):
        assert as_nobody(open_database) == "{'new': 300}"


@posix
@pytest.mark.parametrize("closed", ["file", "folder"])
def test_a_closed_file_is_unreadable_and_not_missing(
    open_database: Path, unchanged: Unchanged, closed: str
) -> None:
    shut = open_database if closed == "file" else open_database.parent
    with unchanged(open_database.parent.parent):
        mode = shut.stat().st_mode
        shut.chmod(0)
        try:
            assert as_nobody(open_database) == "UnreadableStoreError"
        finally:
            shut.chmod(mode)


# --- the folder for temporary files


def _in_wal_mode(path: Path, rows: int) -> None:
    """Put the database into WAL mode, and so many new rows into the WAL alone."""
    inserts = ["INSERT INTO t VALUES (zeroblob(1000), 'new')"] * rows
    with writer(path, *WAL, "BEGIN", *inserts, "COMMIT") as process:
        process.kill()
        process.wait()


TOLD = """
import resource, sys
from pathlib import Path
from nssbackup.system.snapshot import take_snapshot
from nssbackup.errors import NssBackupError
largest = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
try:
    take_snapshot(Path(sys.argv[1]))
except NssBackupError as error:
    print(type(error).__name__, error.message, error.hint, sep="\\n")
"""


@posix
@pytest.mark.parametrize(
    ("rows", "largest", "reason"),
    [(1, 1000, "file too large"), (300, 500_000, "disk I/O error")],
    ids=["copied", "recovered"],
)
def test_no_room_for_the_copy_is_not_said_of_the_profile(
    database: Path, tmp_path: Path, unchanged: Unchanged, rows: int, largest: int, reason: str
) -> None:
    _in_wal_mode(database, rows)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with unchanged(database.parent):
        done = subprocess.run(
            [sys.executable, "-c", TOLD, database, str(largest)],
            capture_output=True,
            text=True,
            check=True,
            cwd=PROJECT,
            env={**os.environ, "TMPDIR": str(temporary)},
            timeout=LIMIT,
        )
    kind, message, hint = done.stdout.splitlines()
    assert kind == "UnreadableStoreError"
    assert message == f"`{database}` can't be copied to `{temporary}`: {reason}"
    assert "TMPDIR" in hint
    assert list(temporary.iterdir()) == []


def test_no_temporary_folder_is_not_a_missing_database(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _in_wal_mode(database, 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(UnreadableStoreError, match="no folder for temporary files: no such file"):
        take_snapshot(database)


@posix
def test_a_copy_is_read_under_any_umask(open_database: Path) -> None:
    _in_wal_mode(open_database, 300)
    before = os.umask(0o777)
    try:
        assert as_nobody(open_database) == "{'new': 300, 'old': 300}"
    finally:
        os.umask(before)


# --- what changes while it is read


def _restless(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Has a file look as if it were written to, so many times."""
    look = snapshot._state  # noqa: SLF001 - what a writer would change
    looks = iter(range(2 * times))

    def state(path: Path) -> list[Any]:
        number = next(looks, None)
        found = look(path)
        return found if number is None else [each._replace(modified_ns=number) for each in found]

    monkeypatch.setattr(snapshot, "_state", state)
    monkeypatch.setattr(snapshot, "_PAUSE", 0)


@pytest.mark.parametrize("times", [1, 7, 8])
def test_a_file_that_is_written_to_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    (tmp_path / "key3.db").write_bytes(b"all of it")
    _restless(monkeypatch, times)
    if times < 8:
        assert snapshot.read_stable(tmp_path / "key3.db") == b"all of it"
    else:
        with pytest.raises(UnreadableStoreError, match="written to"):
            snapshot.read_stable(tmp_path / "key3.db")


@pytest.mark.parametrize("times", [1, 7, 8])
def test_a_database_that_is_written_to_is_copied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    path = tmp_path / "cert9.db"
    shutil.copy(PROFILES / "nss387-nopassword" / "cert9.db", path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE more (id)")
        _restless(monkeypatch, times)
        if times < 8:
            connection = snapshot.take_snapshot(path)
            assert connection is not None
            with closing(connection):
                assert connection.execute("SELECT count(*) FROM more").fetchone() == (0,)
        else:
            with pytest.raises(UnreadableStoreError, match="written to"):
                snapshot.take_snapshot(path)

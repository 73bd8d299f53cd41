"""Journals of a transaction over two databases, which a killed restore leaves behind.

What our reader makes of a copy is what SQLite makes of the original.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nssbackup.errors import UnsupportedStoreError
from nssbackup.system.snapshot import take_snapshot
from tests.conftest import Unchanged

MAGIC = bytes.fromhex("d9d505f920a163d7")
LOCK_PAGE = (0x4000_0000 // 4096 + 1).to_bytes(4, "big")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database whose last transaction is in the file and not committed: its journal is hot."""
    (tmp_path / "profile").mkdir()
    path, other = tmp_path / "profile" / "key4.db", tmp_path / "other.db"
    with closing(sqlite3.connect(other, isolation_level=None)) as db:
        db.execute("CREATE TABLE t (x, y)")
        db.execute("BEGIN")
        db.executemany("INSERT INTO t VALUES (?, 'old')", [(bytes(1000),) for _ in range(300)])
        db.execute("COMMIT")
        # A cache of one page: the rest is written at once.
        db.execute("PRAGMA cache_size=1")
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE t SET y = 'new'")
        shutil.copy(other, path)
        shutil.copy(f"{other}-journal", f"{path}-journal")
        db.execute("ROLLBACK")
    return path


def name_super_journal(database: Path, name: bytes, checksum: int | None = None) -> None:
    """Have the journal name a super-journal, as SQLite writes it (pager.c, writeSuperJournal)."""
    total = sum(byte - 256 * (byte > 127) for byte in name) if checksum is None else checksum
    tail = len(name).to_bytes(4, "big") + (total % 2**32).to_bytes(4, "big") + MAGIC
    with Path(f"{database}-journal").open("ab") as journal:
        journal.write(LOCK_PAGE + name + tail)


def seen(database: Path) -> set[str]:
    """What our reader sees."""
    connection = take_snapshot(database)
    assert connection is not None
    with closing(connection):
        return {row[0] for row in connection.execute("SELECT DISTINCT y FROM t")}


def recovered(database: Path) -> set[str]:
    """What SQLite sees, which recovers the original."""
    with closing(sqlite3.connect(database)) as db:
        return {row[0] for row in db.execute("SELECT DISTINCT y FROM t")}


def test_while_the_super_journal_is_there_nothing_was_committed(
    database: Path, unchanged: Unchanged
) -> None:
    left = database.with_name("key4.db-mj012345678")
    left.write_bytes(f"{database}-journal\0".encode())
    name_super_journal(database, str(left).encode())
    with unchanged(database.parent):
        found = seen(database)
    assert found == recovered(database) == {"old"}


def test_without_it_all_was(database: Path, unchanged: Unchanged) -> None:
    name_super_journal(database, str(database.with_name("key4.db-mj012345678")).encode())
    with unchanged(database.parent):
        found = seen(database)
    assert found == recovered(database)
    assert "new" in found


def test_a_moved_profile_without_its_super_journal(database: Path, unchanged: Unchanged) -> None:
    name_super_journal(database, b"/home/jane/profile/key4.db-mj012345678")
    with (
        unchanged(database.parent),
        pytest.raises(UnsupportedStoreError, match="in another folder"),
    ):
        seen(database)


def test_a_name_that_is_not_of_ascii_is_read_as_sqlite_does(
    tmp_path: Path, database: Path, unchanged: Unchanged
) -> None:
    folder = Path(shutil.copytree(database.parent, tmp_path / "Zoë Müller"))
    moved = folder / "key4.db"
    left = folder / "key4.db-mj012345678"
    left.write_bytes(f"{moved}-journal\0".encode())
    name_super_journal(moved, str(left).encode())
    with unchanged(folder):
        found = seen(moved)
    assert found == recovered(moved) == {"old"}


@pytest.mark.parametrize(
    ("name", "checksum"),
    [
        (b"", None),
        (b"/nowhere/key4.db-mj012345678", 7),
        (b"\0b", None),
        (b"x" * 5000, 1),
    ],
)
def test_what_is_no_name_to_sqlite_is_none_to_us(
    database: Path, unchanged: Unchanged, name: bytes, checksum: int | None
) -> None:
    name_super_journal(database, name, checksum)
    with unchanged(database.parent):
        found = seen(database)
    assert found == recovered(database) == {"old"}


@pytest.mark.parametrize("length", [2**32 - 1, 2**31, 600])
def test_a_length_that_leads_out_of_the_file_is_no_name(
    database: Path, unchanged: Unchanged, length: int
) -> None:
    journal = Path(f"{database}-journal")
    if length == 600:
        journal.write_bytes(journal.read_bytes()[:512])
    with journal.open("ab") as file:
        file.write(length.to_bytes(4, "big") + bytes(4) + MAGIC)
    with unchanged(database.parent):
        found = seen(database)
    assert found == recovered(database)


@pytest.mark.posix("the folders' names get too long there")
def test_names_that_lead_elsewhere_are_not_followed(
    database: Path, tmp_path: Path, unchanged: Unchanged
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    absolute = str(precious).encode()
    for name in (absolute, absolute + b"\0x", b"..", b"/", b"../precious", b"a\0b"):
        copy = Path(shutil.copytree(database.parent, tmp_path / name.hex()))
        name_super_journal(copy / "key4.db", name)
        with unchanged(copy), pytest.raises(UnsupportedStoreError):
            seen(copy / "key4.db")
    assert precious.read_text() == "precious"

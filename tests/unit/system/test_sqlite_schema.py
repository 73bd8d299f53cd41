"""Schemas: one that would fill the memory is refused before SQLite has seen any of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest

from nssbackup.errors import DamagedStoreError
from nssbackup.system.snapshot import put_back, take_snapshot
from nssbackup.system.sqlite_schema import check_size

KIB = 1024


def made(path: Path, texts: Iterable[str], page: int = 4096) -> Path:
    """A database with tables as these texts have them, each `CREATE TABLE tN`."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(
            f"PRAGMA page_size={page}; PRAGMA journal_mode=OFF; BEGIN; CREATE TABLE x (a);"
            "PRAGMA writable_schema=ON"
        )
        database.executemany(
            "INSERT INTO sqlite_master VALUES ('table', ?1, ?1, 2, ?2)",
            ((f"t{number}", f"CREATE TABLE t{number} {text}") for number, text in enumerate(texts)),
        )
        database.execute("COMMIT")
    return path


def read(path: Path) -> int:
    """How many tables a snapshot has."""
    snapshot = take_snapshot(path)
    assert snapshot is not None
    try:
        (count,) = snapshot.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return int(count)
    finally:
        put_back(snapshot)


def wal(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")


@pytest.mark.parametrize("change", [lambda _: None, wal], ids=["rollback", "wal"])
@pytest.mark.parametrize("page", [512, 4096, 65536])
@pytest.mark.parametrize(
    ("fits", "too_large"),
    [
        (["(a)"] * 1000, ["(a)"] * 2000),
        (["(a /* %s */)" % ("x" * 60 * KIB)], ["(a /* %s */)" % ("x" * 64 * KIB)]),
        (["(a /* %s */)" % ("x" * 2 * KIB)] * 30, ["(a /* %s */)" % ("x" * 2 * KIB)] * 33),
    ],
    ids=["many", "long", "both"],
)
def test_up_to_64_kib_a_schema_is_read(
    tmp_path: Path,
    fits: list[str],
    too_large: list[str],
    page: int,
    change: Callable[[Path], None],
) -> None:
    small, large = made(tmp_path / "a", fits, page), made(tmp_path / "b", too_large, page)
    for path in (small, large):
        change(path)
    assert read(small) == len(fits) + 1
    with pytest.raises(DamagedStoreError, match="b` is damaged: its schema is larger"):
        read(large)


def test_a_schema_that_is_only_in_a_wal_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "x"
    wal(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE x (a /* %s */)" % ("x" * 64 * KIB))
        assert path.stat().st_size < 10 * KIB
        with pytest.raises(DamagedStoreError, match="its schema is larger"):
            read(path)


def _no_page(page: bytearray) -> None:
    page[100] = 0


def _many_cells(page: bytearray) -> None:
    page[103:105] = b"\xff\xff"


def _cell_outside(page: bytearray) -> None:
    page[108:110] = b"\xff\xff"


def _long_row(page: bytearray) -> None:
    cell = int.from_bytes(page[108:110], "big")
    page[cell : cell + 4] = b"\x8f\xff\xff\x7f"


def _negative_row(page: bytearray) -> None:
    cell = int.from_bytes(page[108:110], "big")
    page[cell : cell + 10] = b"\xff" * 10


def _circle(page: bytearray) -> None:
    page[100:112] = b"\5\0\0\0\0\0\0\0" + (1).to_bytes(4, "big")


def _no_such_page(page: bytearray) -> None:
    page[100:112] = b"\5\0\0\0\0\0\0\0" + (2**32 - 1).to_bytes(4, "big")


def _page_zero(page: bytearray) -> None:
    page[100:112] = b"\5\0\0\0\0\0\0\0" + bytes(4)


def test_a_file_of_one_byte_is_damage(tmp_path: Path) -> None:
    """SQLite takes it for an empty database on Unix (os_unix.c, unixFileSize)."""
    path = tmp_path / "x"
    path.write_bytes(b"x")
    with pytest.raises(DamagedStoreError, match=r"can't be read|not a database"):
        read(path)


@pytest.mark.parametrize(
    "damage",
    [
        _no_page,
        _many_cells,
        _cell_outside,
        _long_row,
        _negative_row,
        _circle,
        _no_such_page,
        _page_zero,
    ],
)
def test_a_schema_whose_pages_are_none_is_damage(
    tmp_path: Path, damage: Callable[[bytearray], None]
) -> None:
    path = made(tmp_path / "x", ["(a)"])
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    with (
        path.open("rb", buffering=0) as file,
        pytest.raises(DamagedStoreError, match=r"its schema (is larger|can't be read)"),
    ):
        check_size(file, path)
    with pytest.raises(DamagedStoreError):
        read(path)

"""Hostile schemas: refused within narrow limits of time and memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest

from nssbackup.errors import DamagedStoreError, UnsupportedStoreError
from nssbackup.system.snapshot import take_snapshot
from nssbackup.system.sqlite import check_plain, database_uri, plain_tables
from tests.fuzz import guard

KIB = 1024


@pytest.fixture(autouse=True)
def _limited() -> Iterator[None]:
    with guard.limits():
        yield


def made(path: Path, statements: Iterable[str], *, wal: bool = False) -> Path:
    """Make a database whose schema has these statements, which SQLite has not checked."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=OFF")
        database.execute("CREATE TABLE x (a)")
        database.execute("PRAGMA writable_schema=ON")
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO sqlite_master VALUES (?1, ?2, ?2, iif(?1 = 'view', 0, 2), ?3)",
            (
                (statement.split()[1].lower(), f"t{number}", statement)
                for number, statement in enumerate(statements)
            ),
        )
        database.execute("COMMIT")
        if wal:
            database.execute("PRAGMA journal_mode=WAL")
    return path


def table(number: int, text: str) -> str:
    return f"CREATE TABLE t{number} ({text})"


ONES = ",".join("1" * 3_500)


@pytest.mark.parametrize("wal", [False, True])
@pytest.mark.parametrize(
    "statements",
    [
        [table(number, "a") for number in range(300)],
        [table(0, f"a /* {'x' * 8 * KIB} */")],
        [table(number, f"a CHECK (a IN ({ONES}))") for number in range(300)],
        [f"CREATE VIEW t{n} AS SELECT * FROM t{n + 1}, t{n + 1}" for n in range(300)],  # noqa: S608 - a schema
    ],
    ids=["many tables", "long text", "long expressions", "views of views"],
)
def test_a_schema_larger_than_any_of_nss(tmp_path: Path, statements: list[str], wal: bool) -> None:
    path = made(tmp_path / "a", statements, wal=wal)
    with pytest.raises(UnsupportedStoreError, match="larger than that of any NSS"):
        take_snapshot(path)


def test_a_schema_that_is_only_in_the_log(tmp_path: Path) -> None:
    path = made(tmp_path / "a", [], wal=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(table(0, f"a /* {'x' * 8 * KIB} */"))
        with pytest.raises(UnsupportedStoreError, match="larger"):
            take_snapshot(path)


def test_a_schema_that_contradicts_itself(tmp_path: Path) -> None:
    path = made(tmp_path / "a", ["CREATE TABLE t (a", "CREATE TABLE t (a)"])
    with pytest.raises(DamagedStoreError, match="malformed database schema"):
        take_snapshot(path)


def test_a_schema_whose_pages_are_a_circle(tmp_path: Path) -> None:
    path = made(tmp_path / "a", [])
    data = bytearray(path.read_bytes())
    data[100:112] = b"\5\0\0\0\0\0\0\0" + (1).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(DamagedStoreError, match="malformed"):
        take_snapshot(path)


PLAIN = [
    "CREATE TABLE nssPublic (id PRIMARY KEY UNIQUE ON CONFLICT ABORT, a0, a1)",
    'CREATE TABLE "t t" (a INTEGER PRIMARY KEY, b TEXT DEFAULT 1 NOT NULL)',
    "CREATE TABLE t (a, b, PRIMARY KEY(a), UNIQUE (a, b) ON CONFLICT FAIL)",
    "CREATE UNIQUE INDEX i ON x (a COLLATE nocase DESC)",
]
NOT_PLAIN = [
    "CREATE VIEW v AS SELECT 1",
    "CREATE TABLE t (a, b AS (hex(a)))",
    "CREATE TABLE t (a, b AS /* KEY */ (a))",
    "CREATE TABLE t (a, b AS -- KEY\n(a))",
    "CREATE TABLE t (a CHECK (a > 1))",
    "CREATE TABLE t (a DEFAULT (hex(1)))",
    "CREATE TRIGGER t AFTER INSERT ON x BEGIN DELETE FROM x; END",
    "CREATE INDEX i ON x (hex(a))",
    "CREATE INDEX i ON x (a || a)",
    "CREATE INDEX i ON x (a) WHERE a IS NULL",
    "CREATE VIRTUAL TABLE t USING fts5(a)",
]


@pytest.mark.parametrize("statement", PLAIN + NOT_PLAIN)
def test_what_is_plain(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "a"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"CREATE TABLE x (a); {statement}")
    snapshot = take_snapshot(path)
    assert snapshot is not None
    with closing(snapshot):
        tables = plain_tables(snapshot)
        if statement in PLAIN:
            check_plain(snapshot, path)
            assert len(tables) == 1 + statement.startswith("CREATE TABLE")
        else:
            assert "t" not in tables
            with pytest.raises(UnsupportedStoreError, match="more than the plain tables"):
                check_plain(snapshot, path)


def test_a_view_under_the_name_of_a_table(tmp_path: Path) -> None:
    """SQLite goes by the name in the statement."""
    path = made(tmp_path / "a", ["CREATE TABLE other (a)", "CREATE VIEW t0 AS SELECT 1"])
    try:
        snapshot = take_snapshot(path)
    except DamagedStoreError:  # newer versions of SQLite compare the names
        return
    assert snapshot is not None
    with closing(snapshot):
        assert "t0" not in plain_tables(snapshot)


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (PurePosixPath("/home/a b/key4.db"), "file:///home/a%20b/key4.db?mode=ro"),
        (PurePosixPath("/p?x#y%z/k.db"), "file:///p%3Fx%23y%25z/k.db?mode=ro"),
        (PurePosixPath("/ü/k.db"), "file:///%C3%BC/k.db?mode=ro"),
        (PureWindowsPath(r"C:\Users\J D\key4.db"), "file:///C:/Users/J%20D/key4.db?mode=ro"),
        (
            PureWindowsPath(r"\\server\share\p\key4.db"),
            "file:////server/share/p/key4.db?mode=ro",
        ),
    ],
)
def test_the_uri_is_one_that_sqlite_takes(path: PurePath, uri: str) -> None:
    """sqlite.org/uri.html: no authority but `localhost`, so that of a UNC path is doubled."""
    built = database_uri(path)
    assert built == uri or built == uri.replace("file:////", "file://///")

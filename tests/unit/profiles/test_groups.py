from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest

from nssbackup.profiles.lists import (
    FILE_LIMIT,
    GROUPS_FOLDER,
    ROW_LIMIT,
    ListedProfile,
    member_folder,
    read_group_members,
)
from nssbackup.profiles.system import Platform, System
from tests.conftest import Unchanged
from tests.unit.profiles.machine import Machine

SCHEMA = """CREATE TABLE "Profiles" (
    id INTEGER NOT NULL, path TEXT NOT NULL UNIQUE, name TEXT NOT NULL, avatar TEXT NOT NULL,
    themeId TEXT NOT NULL, themeFg TEXT NOT NULL, themeBg TEXT NOT NULL, PRIMARY KEY(id))"""
"""As Firefox 153 makes it."""

BARE = "CREATE TABLE Profiles (path, name)"
"""Whatever a test wants to put into the two columns."""

ENDLESS_VIEW = (
    "CREATE VIEW Profiles AS WITH RECURSIVE m(n) AS (SELECT 1 UNION ALL SELECT n FROM m)"
    " SELECT n AS path, n AS name FROM m"
)

Row = tuple[object, object]


@contextmanager
def open_group(
    machine: Machine, rows: Iterable[Row], *, name: str = "0a1b2c3d", schema: str = SCHEMA
) -> Iterator[sqlite3.Connection]:
    """A group's database while Firefox has it open: in WAL mode, nothing of it checkpointed."""
    folder = machine.root / GROUPS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / f"{name}.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
        connection.execute("PRAGMA user_version=7")
        connection.execute(schema)
        columns, marks = "path, name", "?, ?"
        if schema is SCHEMA:
            columns, marks = (
                f"{columns}, avatar, themeId, themeFg, themeBg",
                f"{marks}, 'a', '', '', ''",
            )
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO Profiles ({columns}) VALUES ({marks})", rows)  # noqa: S608 - constants
        connection.execute("COMMIT")
        yield connection


def group(machine: Machine, *rows: Row, name: str = "0a1b2c3d", schema: str = SCHEMA) -> Path:
    """A group's database after Firefox quit."""
    with open_group(machine, rows, name=name, schema=schema):
        pass
    return machine.root / GROUPS_FOLDER / f"{name}.sqlite"


def members(machine: Machine) -> list[tuple[str, str]]:
    """What is read: each folder relative to the root, and its name."""
    found = read_group_members(machine.root, machine.system())
    return [(os.path.relpath(one.path, machine.root), one.name) for one in found]


def test_members_have_the_folders_and_names_the_user_sees(machine: Machine) -> None:
    group(machine, ("Profiles/x1.default-release", "Original profile"), ("y2.Anna B.", "Änna 日本"))
    assert read_group_members(machine.root, machine.system()) == (
        ListedProfile(machine.root / "Profiles" / "x1.default-release", "Original profile"),
        ListedProfile(machine.root / "y2.Anna B.", "Änna 日本"),
    )


def test_rows_only_in_the_wal_are_read_and_nothing_changed(
    machine: Machine, unchanged: Unchanged
) -> None:
    with open_group(machine, [("a", "A"), ("b", "B")]) as connection:
        database = machine.root / GROUPS_FOLDER / "0a1b2c3d.sqlite"
        assert b"Profiles" not in database.read_bytes()
        with unchanged(database.parent):
            assert members(machine) == [("a", "A"), ("b", "B")]
        # Whoever has it open was not disturbed either.
        connection.execute("UPDATE Profiles SET name = 'C' WHERE path = 'a'")
    assert members(machine) == [("a", "C"), ("b", "B")]


def test_every_database_is_read_whether_a_list_names_it_or_not(machine: Machine) -> None:
    group(machine, ("b", "B"), name="ffffffff")
    group(machine, ("a", "A"), name="00000000")
    machine.write("[Profile0]\nName=x\nIsRelative=1\nPath=a\nStoreID=00000000\n")
    (machine.root / GROUPS_FOLDER / "avatars").mkdir()
    (machine.root / GROUPS_FOLDER / "notes.txt").write_text("no database")
    assert members(machine) == [("a", "A"), ("b", "B")]


def test_a_later_schema_is_read_by_the_names_of_its_columns(machine: Machine) -> None:
    schema = "CREATE TABLE Profiles (added TEXT DEFAULT 'x', name TEXT, id INTEGER, path TEXT)"
    with open_group(machine, [("a", "A")], schema=schema) as connection:
        connection.execute("PRAGMA user_version=4711")
        connection.execute("CREATE TABLE Added (path TEXT)")
    assert members(machine) == [("a", "A")]


@pytest.mark.parametrize("value", [None, b"blob", 17, 1.5, ""])
def test_a_path_that_is_no_text_is_passed_over_alone(machine: Machine, value: object) -> None:
    group(machine, (value, "X"), ("a", "A"), schema=BARE)
    assert members(machine) == [("a", "A")]


@pytest.mark.parametrize("value", [None, b"blob", 17, 1.5, "", "x" * 1025])
def test_a_name_that_is_no_text_is_none(machine: Machine, value: object) -> None:
    group(machine, ("a", value), schema=BARE)
    assert members(machine) == [("a", "")]


@pytest.mark.parametrize("value", [".", "/", "./", "..", "a\0b", "x" * 4097, "../" * 99])
def test_a_path_that_can_be_no_members_is_passed_over_alone(machine: Machine, value: str) -> None:
    group(machine, (value, "X"), ("a", "A"))
    expected = [("a", "A")] if value != ".." else [("..", "X"), ("a", "A")]
    assert members(machine) == expected


@pytest.mark.posix("Windows has no paths of bytes")
def test_text_that_is_no_utf8_keeps_the_bytes_of_the_path(machine: Machine) -> None:
    with open_group(machine, []) as connection:
        connection.execute(
            "INSERT INTO Profiles VALUES (1, CAST(x'66fc72' AS TEXT), CAST(x'4afc72' AS TEXT),"
            " '', '', '', '')"
        )
    (found,) = read_group_members(machine.root, machine.system())
    assert os.fsencode(found.path.name) == b"f\xfcr"
    assert found.name == "J\N{REPLACEMENT CHARACTER}r"


def test_text_in_utf16_is_read(machine: Machine) -> None:
    folder = machine.root / GROUPS_FOLDER
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "a.sqlite")) as connection:
        connection.executescript(f"PRAGMA encoding='UTF-16'; {BARE}")
        connection.execute("INSERT INTO Profiles VALUES ('ü', 'Ü')")
        connection.commit()
    assert members(machine) == [("ü", "Ü")]


def test_a_database_with_too_many_rows_is_read_up_to_a_limit(machine: Machine) -> None:
    group(machine, *((f"{number:06}", "X") for number in range(100_000)))
    assert len(members(machine)) == ROW_LIMIT


def test_a_folder_with_too_many_databases_is_read_up_to_a_limit(machine: Machine) -> None:
    model = group(machine, ("a", "A"))
    for number in range(FILE_LIMIT * 2):
        (model.parent / f"{number}.sqlite").write_bytes(model.read_bytes())
    assert len(members(machine)) == FILE_LIMIT


@pytest.mark.parametrize(
    "script",
    [
        "",
        "CREATE TABLE Other (path, name)",
        "CREATE TABLE Profiles (path, title)",
        "CREATE TABLE Profiles (folder, name)",
        "CREATE VIEW Profiles AS SELECT 'a' AS path, 'A' AS name",
        "CREATE VIRTUAL TABLE Profiles USING rtree(path, name, more)",
        "CREATE TABLE Profiles (a, path AS ('a'), name AS ('A')); INSERT INTO Profiles VALUES (1)",
        ENDLESS_VIEW,
    ],
)
def test_a_database_without_the_table_has_no_members(machine: Machine, script: str) -> None:
    folder = machine.root / GROUPS_FOLDER
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "0.sqlite", isolation_level=None)) as connection:
        connection.executescript(script)
    group(machine, ("a", "A"))
    assert members(machine) == [("a", "A")]


def _text(path: Path) -> None:
    path.write_text("no database " * 1000)


def _truncated(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 + 100])


def _scrambled(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[100:] = bytes(byte ^ 0x55 for byte in whole[100:])
    path.write_bytes(whole)


def _sparse(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 40)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


@pytest.mark.posix("made of what Unix has")
@pytest.mark.parametrize(
    "damage",
    [
        *(_text, _truncated, _scrambled, _sparse),
        *(_fifo, _folder, _circle),
    ],
)
def test_an_unreadable_database_takes_no_other_along(
    machine: Machine, unchanged: Unchanged, damage: Callable[[Path], None]
) -> None:
    damage(group(machine, ("x", "X"), name="0"))
    group(machine, ("a", "A"), name="1")
    with unchanged(machine.root / GROUPS_FOLDER):
        assert members(machine) == [("a", "A")]


@pytest.mark.parametrize("length", [*range(0, 100, 7), 4096, 5000])
def test_a_broken_wal_is_no_error(machine: Machine, length: int) -> None:
    with open_group(machine, [("a", "A")]):
        folder = machine.root / GROUPS_FOLDER
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "0a1b2c3d.sqlite").write_bytes(files["0a1b2c3d.sqlite"])
    (folder / "0a1b2c3d.sqlite-wal").write_bytes(files["0a1b2c3d.sqlite-wal"][:length])
    group(machine, ("b", "B"), name="1")
    assert members(machine) == [("b", "B")]


def test_a_root_without_groups_loads_no_sqlite(machine: Machine) -> None:
    machine.profile("a")
    (machine.root / GROUPS_FOLDER / "avatars").mkdir(parents=True)
    code = (
        "import sys; from pathlib import Path; before = set(sys.modules);"  # a coverage tool's, say
        "from nssbackup.profiles.lists import read_group_members;"
        "from nssbackup.profiles.system import System; root = Path(sys.argv[1]);"
        "assert read_group_members(root, System('linux', root, {})) == ();"
        "assert 'sqlite3' not in set(sys.modules) - before"
    )
    subprocess.run([sys.executable, "-c", code, machine.root], check=True)


SYSTEMS: dict[Platform, System] = {
    "linux": System("linux", PurePosixPath("/home/anna"), {}),
    "darwin": System("darwin", PurePosixPath("/Users/anna"), {}),
    "win32": System("win32", PureWindowsPath(r"C:\Users\anna"), {}),
}
ROOTS: dict[Platform, PurePath] = {
    "linux": PurePosixPath("/home/anna/firefox"),
    "darwin": PurePosixPath("/Users/anna/Firefox"),
    "win32": PureWindowsPath(r"C:\Users\anna\Firefox"),
}


@pytest.mark.parametrize(
    ("platform", "value", "folder"),
    [
        ("linux", "x1.default", "/home/anna/firefox/x1.default"),
        ("linux", "x1.Profile 1", "/home/anna/firefox/x1.Profile 1"),
        ("linux", "../../otto/x1", "/home/otto/x1"),
        ("linux", "../../../data/../x1", "/x1"),
        ("linux", "../../../../x1", None),
        ("linux", "a\\b:c", "/home/anna/firefox/a\\b:c"),
        ("linux", "/etc", "/home/anna/firefox/etc"),
        ("linux", "", None),
        ("linux", "../firefox", None),
        (
            "darwin",
            "Profiles/pTjUXXUB.Profile 1",
            "/Users/anna/Firefox/Profiles/pTjUXXUB.Profile 1",
        ),
        ("darwin", "../../../Volumes/stick/ab", "/Volumes/stick/ab"),
        ("win32", r"Profiles\x1.default", r"C:\Users\anna\Firefox\Profiles\x1.default"),
        ("win32", "Profiles/x1.default", r"C:\Users\anna\Firefox\Profiles\x1.default"),
        ("win32", r"Profiles\x1.Jörg 日本", r"C:\Users\anna\Firefox\Profiles\x1.Jörg 日本"),
        ("win32", r"..\..\otto\x1", r"C:\Users\otto\x1"),
        ("win32", r"..\..\..\x1", r"C:\x1"),
        ("win32", r"..\..\..\..\D:\x\y", r"D:\x\y"),
        ("win32", "../../../../d:/x/y", r"d:\x\y"),
        # Versions up to 140 or so replaced but the first one.
        ("win32", r"..\../../../D:/x/y", r"D:\x\y"),
        ("win32", r"..\..\..\..\D:\x\..\y", r"D:\y"),
        ("win32", r"..\..\..\..\C:\x", r"C:\x"),
        ("win32", r"..\..\..\..\D:", "D:\\"),
        ("win32", r"..\..\..\..\x1", None),
        ("win32", r"..\..\..\..", None),
        ("win32", r"..\..\..\D:\x", None),
        ("win32", r"..\..\..\..\D:x", None),
        ("win32", r"..\..\..\..\D:\E:\x", None),
        ("win32", r"D:\x", None),
        ("win32", "D:x", None),
        ("win32", "x1:stream", None),
        ("win32", r"\\server\share\x", r"C:\Users\anna\Firefox\server\share\x"),
        ("win32", "", None),
    ],
)
def test_a_path_leads_from_the_root_as_in_firefox(
    platform: Platform, value: str, folder: str | None
) -> None:
    found = member_folder(value, ROOTS[platform], SYSTEMS[platform])
    assert (None if found is None else str(found)) == folder


def test_windows_paths_are_taken_from_the_database(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "win32")
    group(machine, (r"Profiles\x1.default", "A"), (r"..\Sea", "B"), ("x1:stream", "C"))
    assert members(machine) == [(str(Path("Profiles/x1.default")), "A"), (str(Path("../Sea")), "B")]

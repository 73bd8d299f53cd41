from __future__ import annotations

import os
import sqlite3
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from tests.unit.profiles.machine import Machine, closed

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


def test_what_a_crash_left_is_read_and_nothing_created(
    machine: Machine, unchanged: Unchanged
) -> None:
    with open_group(machine, [("a", "A")]):
        folder = machine.root / GROUPS_FOLDER
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in ("0a1b2c3d.sqlite", "0a1b2c3d.sqlite-wal"):
        (folder / name).write_bytes(files[name])
    assert "0a1b2c3d.sqlite-shm" in files
    with unchanged(folder):
        assert members(machine) == [("a", "A")]


def test_a_quiet_database_is_left_as_it_is(machine: Machine, unchanged: Unchanged) -> None:
    database = group(machine, ("a", "A"))
    database.chmod(0o400)
    database.parent.chmod(0o500)
    with unchanged(database.parent):
        assert members(machine) == [("a", "A")]
    database.parent.chmod(0o700)


def test_every_database_is_read_whether_a_list_names_it_or_not(machine: Machine) -> None:
    group(machine, ("b", "B"), name="ffffffff")
    group(machine, ("a", "A"), name="00000000")
    machine.write("[Profile0]\nName=x\nIsRelative=1\nPath=a\nStoreID=00000000\n")
    (machine.root / GROUPS_FOLDER / "avatars").mkdir()
    (machine.root / GROUPS_FOLDER / "notes.txt").write_text("no database")
    assert members(machine) == [("a", "A"), ("b", "B")]


def test_a_member_whose_folder_is_gone_is_told_like_the_others(machine: Machine) -> None:
    machine.profile("a")
    group(machine, ("a", "A"), ("gone", "Gone"))
    assert members(machine) == [("a", "A"), ("gone", "Gone")]


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


@pytest.mark.skipif(os.name == "nt", reason="Windows has no paths of bytes")
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


def test_a_table_that_never_ends_is_ended(machine: Machine) -> None:
    folder = machine.root / GROUPS_FOLDER
    folder.mkdir(parents=True)
    size, levels, fan_out = 512, 15, 60
    with closing(sqlite3.connect(folder / "0.sqlite", isolation_level=None)) as connection:
        connection.executescript(f"PRAGMA page_size={size}; {BARE}")
        connection.execute("INSERT INTO Profiles VALUES (17, NULL)")
    head, leaf = _pages((folder / "0.sqlite").read_bytes(), size)
    # A tree of sixty to the fifteenth rows, all of them the same one (sqlite.org/fileformat, 1.6).
    inner = []
    for number in range(2, 2 + levels):
        below = struct.pack(">I", number + 1)
        cells = [size - 5 * (cell + 1) for cell in range(fan_out)]
        page = struct.pack(">BHHHB", 5, 0, fan_out, cells[-1], 0) + below
        page += b"".join(struct.pack(">H", cell) for cell in cells)
        inner.append(page.ljust(cells[-1], b"\0") + (below + b"\1") * fan_out)
    head = head[:28] + struct.pack(">I", 2 + levels) + head[32:]
    (folder / "0.sqlite").write_bytes(b"".join((head, *inner, leaf)))
    group(machine, ("a", "A"), name="1")
    assert members(machine) == [("a", "A")]


def _pages(database: bytes, size: int) -> list[bytes]:
    return [database[start : start + size] for start in range(0, len(database), size)]


def _empty(path: Path) -> None:
    path.write_bytes(b"")


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


def _sparse_wal(path: Path) -> None:
    with path.with_name(f"{path.name}-wal").open("wb") as file:
        file.truncate(1 << 40)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _fifo_wal(path: Path) -> None:
    os.mkfifo(path.with_name(f"{path.name}-wal"))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("gone"))


@pytest.mark.skipif(os.name == "nt", reason="made of what Unix has")
@pytest.mark.parametrize(
    "damage",
    [
        *(_empty, _text, _truncated, _scrambled, _sparse, _sparse_wal),
        *(_fifo, _fifo_wal, _folder, _circle, _dangling),
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


@settings(max_examples=150)
@given(st.data())
def test_no_damage_to_a_database_raises(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as home:
        machine = Machine(Path(home))
        database = group(machine, *((f"p{number}", "x" * 100) for number in range(100)))
        whole = bytearray(database.read_bytes())
        for _ in range(data.draw(st.integers(1, 20))):
            place = data.draw(st.integers(0, len(whole) - 1))
            whole[place] = data.draw(st.integers(0, 255))
        database.write_bytes(whole)
        assert len(members(machine)) <= ROW_LIMIT


def test_groups_of_others_are_none(public_machine: Machine) -> None:
    group(public_machine, ("a", "A"))
    with closed(public_machine.root / GROUPS_FOLDER):
        assert read_group_members(public_machine.root, public_machine.system()) == ()


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


def test_a_root_on_a_share_has_members_there_and_on_drives() -> None:
    root = PureWindowsPath(r"\\server\share\anna\Firefox")
    # There are four names and an empty one above the drive, for Firefox.
    for value, folder in (
        (r"Profiles\x1", r"\\server\share\anna\Firefox\Profiles\x1"),
        (r"..\..\..\..\..\D:\x1", r"D:\x1"),
    ):
        assert str(member_folder(value, root, SYSTEMS["win32"])) == folder


def test_windows_paths_are_taken_from_the_database(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "win32")
    group(machine, (r"Profiles\x1.default", "A"), (r"..\Sea", "B"), ("x1:stream", "C"))
    assert members(machine) == [(str(Path("Profiles/x1.default")), "A"), (str(Path("../Sea")), "B")]


@pytest.mark.skipif(os.name == "nt", reason="links are made by administrators there")
def test_climbing_takes_the_name_away_not_a_links_target(machine: Machine) -> None:
    # Firefox computed the path from the names too.
    elsewhere = machine.home / "elsewhere" / "firefox"
    elsewhere.mkdir(parents=True)
    machine.root.parent.mkdir(parents=True)
    machine.root.symlink_to(elsewhere)
    group(machine, ("../x1", "A"))
    (found,) = read_group_members(machine.root, machine.system())
    assert found.path == machine.root.parent / "x1"

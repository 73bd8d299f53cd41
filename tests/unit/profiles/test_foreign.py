"""Another user's home: nothing outside it is given back or opened."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nssbackup.profiles import System, find_left_behind, find_profiles
from nssbackup.profiles.locate import search_home
from nssbackup.profiles.system import Platform
from tests.fuzz import guard
from tests.unit.profiles.machine import Machine
from tests.unit.profiles.test_lock import unix


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the home that holds what must not be found: a root, profiles, lists."""
    other = Machine(tmp_path / "other")
    other.profile("ab12.secret")
    other.write("[Profile0]\nName=secret\nIsRelative=1\nPath=ab12.secret\n")
    return other.root


def located(home: Path, platform: Platform | None = None) -> list[Path]:
    return [one.path for one in find_profiles(System.of_home(home, platform))]


def found(home: Path, platform: Platform | None = None) -> list[Path]:
    system = System.of_home(home, platform)
    return [one.path for one in (*find_profiles(system), *find_left_behind(system))]


def test_the_variables_of_this_process_do_not_count(
    machine: Machine, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "APPDATA", "LOCALAPPDATA", "OneDrive"):
        monkeypatch.setenv(name, str(outside.parent.parent))
    for name in ("MOZ_APP_DATA", "MOZILLA_CERTIFICATE_FOLDER"):
        monkeypatch.setenv(name, str(outside))
    machine.home.mkdir()
    for platform in ("linux", "darwin", "win32"):
        assert found(machine.home, platform) == []


@pytest.mark.parametrize(
    ("platform", "root", "path"),
    [
        ("linux", ".mozilla/firefox", "/home/anna/vault/ab"),
        ("linux", ".mozilla/firefox", "/mnt/old/home/anna/vault/ab"),
        ("darwin", "Library/Application Support/Firefox", "/Users/anna/vault/ab"),
        ("darwin", "Library/Application Support/Firefox", "~/vault/ab"),
        ("win32", "AppData/Roaming/Mozilla/Firefox", r"C:\Users\anna\vault\ab"),
        ("win32", "AppData/Roaming/Mozilla/Firefox", r"\\server\homes$\anna\vault\ab"),
    ],
)
def test_an_absolute_path_is_looked_for_below_the_home(
    tmp_path: Path, platform: Platform, root: str, path: str
) -> None:
    machine = Machine(tmp_path / "home", platform)
    folder = machine.profile("ab", root=machine.home / "vault")
    assert machine.root == machine.home / root
    machine.write(f"[Profile0]\nName=work\nIsRelative=0\nPath={path}\n[Install1]\nDefault={path}\n")
    (profile,) = find_profiles(System.of_home(machine.home, platform))
    assert (profile.path, profile.name, profile.default) == (folder, "work", True)


def test_a_windows_path_in_a_code_page_is_found_anywhere(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has a code page of its own")
    machine = Machine(tmp_path / "home", "win32")
    folder = machine.profile("Jürg", root=machine.home / "vault")
    machine.write(b"[Profile0]\nIsRelative=0\nPath=C:\\Users\\anna\\vault\\J\xfcrg\n")
    assert located(machine.home, "win32") == [folder]


def test_paths_of_a_list_that_lead_out_are_dropped(machine: Machine, outside: Path) -> None:
    kept = machine.profile("cd34.kept")
    up = os.path.relpath(outside, machine.root).replace(os.sep, "/")
    machine.write(
        f"[Profile0]\nName=climbs\nIsRelative=1\nPath={up}/ab12.secret\n"
        f"[Profile1]\nName=absolute\nIsRelative=0\nPath={outside}/ab12.secret\n"
        f"[Profile2]\nName=both\nIsRelative=0\nPath={machine.root}/{up}/ab12.secret\n"
        f"[Install1]\nDefault={up}/ab12.secret\n[Install2]\nDefault={outside}/ab12.secret\n"
    )
    assert outside / "ab12.secret" in [
        one.path.resolve() for one in find_profiles(machine.system())
    ]
    assert found(machine.home) == [kept]


def group(root: Path, *paths: str) -> Path:
    """A profile group with these members."""
    (root / "Profile Groups").mkdir(parents=True)
    with closing(sqlite3.connect(root / "Profile Groups/a1b2c3d4.sqlite")) as database, database:
        database.execute("CREATE TABLE Profiles (id INTEGER PRIMARY KEY, path TEXT, name TEXT)")
        rows = [(path, path) for path in paths]
        database.executemany("INSERT INTO Profiles (path, name) VALUES (?, ?)", rows)
    return root / "Profile Groups/a1b2c3d4.sqlite"


def test_paths_of_a_group_that_lead_out_are_dropped(machine: Machine, outside: Path) -> None:
    kept = machine.profile("cd34.kept")
    up = os.path.relpath(outside, machine.root).replace(os.sep, "/")
    group(machine.root, f"{up}/ab12.secret", "cd34.kept")
    assert found(machine.home) == [kept]


@unix
@pytest.mark.parametrize(
    "link",
    [
        ".mozilla",
        ".mozilla/firefox",
        ".config",
        ".var/app",
        ".thunderbird",
        "snap/firefox/common/.mozilla/firefox",
        ".thunderbird/linked",
        ".thunderbird/Profiles",
        ".pki/nssdb",
        "Desktop",
        "Old Firefox Data",
        "Desktop/Old Firefox Data",
        "Desktop/Old Firefox Data/ab12.default",
    ],
)
@pytest.mark.parametrize("climb", range(4))
def test_a_link_out_of_the_home_is_not_followed(
    machine: Machine, outside: Path, link: str, climb: int
) -> None:
    # Whatever part of the other home it leads to: the home, .mozilla, the root, the profile.
    target = (outside / "ab12.secret", outside, outside.parent, outside.parent.parent)[climb]
    path = machine.home / link
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    assert found(machine.home) == []


@unix
def test_a_link_within_the_home_is_followed(machine: Machine) -> None:
    folder = machine.profile("ab12.default", root=machine.home / "data/firefox")
    (machine.home / ".mozilla").mkdir()
    (machine.home / ".mozilla/firefox").symlink_to("../data/firefox")
    assert [path.resolve() for path in found(machine.home)] == [folder]


@unix
@pytest.mark.parametrize("name", ["profiles.ini", "installs.ini"])
def test_a_list_that_is_a_link_out_is_not_read(machine: Machine, outside: Path, name: str) -> None:
    folder = machine.empty_profile("ab12.secret")  # listed as the other's, it would be found
    (outside / "installs.ini").write_text("[1]\nDefault=ab12.secret\n", encoding="utf-8")
    (machine.root / name).symlink_to(outside / name)
    assert [one.path for one in find_profiles(machine.system())] == [folder]
    assert found(machine.home) == []


@unix
@pytest.mark.parametrize("suffix", ["", "-wal", "-journal"])
def test_a_group_that_is_a_link_out_is_not_read(
    machine: Machine, outside: Path, suffix: str
) -> None:
    folder = machine.empty_profile("ab12.member")
    database = group(machine.root, folder.name)
    assert found(machine.home) == [folder]
    linked = database.with_name(database.name + suffix)
    linked.unlink(missing_ok=True)
    shutil.copy(group(outside, folder.name), outside / "copy")
    linked.symlink_to(outside / "copy")
    assert found(machine.home) == []


@unix
@pytest.mark.parametrize("name", ["cert9.db", "key4.db", "key4.db-journal", "pkcs11.txt"])
def test_a_profile_with_a_link_out_is_not_opened(
    machine: Machine, outside: Path, name: str
) -> None:
    folder = machine.profile("ab12.default")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside / "ab12.secret/cert9.db")
    (profile,) = find_profiles(System.of_home(machine.home))
    assert (profile.path, profile.store) == (folder, None)
    (profile,) = find_profiles(machine.system())
    assert profile.store == "sqlite"


@unix
def test_a_link_lock_does_not_keep_a_profile_from_being_opened(machine: Machine) -> None:
    folder = machine.profile("ab12.default")
    (folder / "lock").symlink_to("127.0.1.1:+12345")
    (profile,) = find_profiles(System.of_home(machine.home))
    assert profile.store == "sqlite"


@unix
def test_nothing_outside_is_opened_or_listed(machine: Machine, outside: Path) -> None:
    """Every way out at once, and the operating system asked what was opened."""
    home = machine.home
    machine.profile("ab12.default")
    for link in (".thunderbird", ".zen", ".var", "snap", "Music", "Desktop", ".local", ".pki"):
        (home / link).symlink_to(outside.parent.parent)
    for link in ("profiles.ini", "installs.ini", "linked", "Profiles", "Profile Groups"):
        (machine.root / link).symlink_to(outside)
    (home / ".config").mkdir()
    (home / ".config/user-dirs.dirs").symlink_to(outside / "profiles.ini")
    opened: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event in ("open", "os.scandir", "os.listdir", "sqlite3.connect"):
            opened.append(os.path.realpath(str(arguments[0])))

    watching = True
    sys.addaudithook(note)
    try:
        found(home)
    finally:
        watching = False
    assert os.path.realpath(machine.root) in opened
    assert [
        path for path in opened if path.startswith(os.path.realpath(outside.parent.parent))
    ] == []


PARTS = st.lists(
    st.sampled_from(["..", "other", ".mozilla", "firefox", "ab12.secret", "home", "", ".", "C:",
                     "\\", "~", "\0", "ab12.mine", "link"])
)  # fmt: skip


@unix
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@given(parts=PARTS, lead=st.sampled_from(["", "/", "~/", "C:\\", "\\\\x\\y\\"]), mark=st.booleans())
def test_no_list_leads_out(
    tmp_path_factory: pytest.TempPathFactory,
    platform: Platform,
    parts: list[str],
    lead: str,
    mark: bool,
) -> None:
    top = tmp_path_factory.getbasetemp() / f"no-list-{platform}"
    machine = Machine(top / "home", platform)
    if not machine.root.exists():
        Machine(top / "other").profile("ab12.secret")
        machine.profile("ab12.mine")
        (machine.root / "link").symlink_to(top / "other")
    path = lead + "/".join(parts)
    machine.write(f"[Profile0]\nIsRelative={int(mark)}\nPath={path}\n[Install1]\nDefault={path}\n")
    assert all(one.is_relative_to(machine.home) for one in found(machine.home, platform))
    assert machine.root / "ab12.mine" in found(machine.home, platform)


def test_thousands_of_profiles_and_links_are_told_apart(
    tmp_path: Path,
) -> None:
    root = tmp_path / "home" / ".mozilla" / "firefox"
    elsewhere = tmp_path / "elsewhere"
    for number in range(2_000):
        for folder in (root / f"in{number}", elsewhere / f"{number}"):
            folder.mkdir(parents=True)
            (folder / "cert9.db").touch()
        (root / f"out{number}").symlink_to(elsewhere / f"{number}")
    (root / "profiles.ini").write_text("")
    with guard.limits():
        search = search_home(System.of_home(tmp_path / "home", "linux"))
    assert {one.path.name for one in search.profiles} == {f"in{number}" for number in range(2_000)}
    assert {one.path.name for one in search.links_out} == {
        f"out{number}" for number in range(2_000)
    }
    assert {one.application for one in search.links_out} == {"Firefox"}


def test_what_a_list_names_and_is_not_looked_at_is_said(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    machine = Machine(home)
    mine = machine.profile("ab12.mine")
    Machine(tmp_path / "other").profile("ab12.hers").rename(elsewhere)
    (home / "link").symlink_to(elsewhere)
    (home / "dangling").symlink_to(tmp_path / "unmounted" / "x")
    paths = (mine, elsewhere, home / "link", home / "dangling", home / "gone", "/no/such/folder")
    machine.write("".join(f"[Profile{n}]\nIsRelative=0\nPath={p}\n" for n, p in enumerate(paths)))
    search = search_home(System.of_home(home, "linux"))
    assert [one.path for one in search.profiles] == [mine]
    assert [(one.path, one.application) for one in search.links_out] == [
        (home / "link", "Firefox"),
        (home / "dangling", "Firefox"),
    ]
    assert list(search.elsewhere.items()) == [
        (PurePosixPath(elsewhere), "Firefox"),
        (PurePosixPath("/no/such/folder"), "Firefox"),
    ]

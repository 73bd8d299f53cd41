from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from nssbackup.profiles.system import Platform, System
from tests.unit.profiles.test_lock import unix


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "anna"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("folders", "platform"),
    [
        ([], "linux"),
        ([".mozilla/firefox"], "linux"),
        (["Library"], "linux"),
        (["Library/Books", "AppData"], "linux"),
        (["Library/Application Support"], "darwin"),
        (["Library/Thunderbird", ".config"], "darwin"),
        (["AppData/Roaming"], "win32"),
        (["AppData/Local/Packages"], "win32"),
    ],
)
def test_a_home_tells_whose_rules_apply(home: Path, folders: list[str], platform: Platform) -> None:
    for folder in folders:
        (home / folder).mkdir(parents=True)
    assert System.of_home(home).platform == platform


def test_another_users_system_has_nothing_of_this_process(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.chdir(home.parent)
    system = System.of_home(Path("anna"))
    assert system.environment == {}
    assert system.home == home
    assert system.confined_to is not None


def test_the_own_home_may_lead_anywhere(home: Path, tmp_path: Path) -> None:
    system = System("linux", home, {})
    assert system.holds(tmp_path)
    assert system.translate(PurePosixPath("/x/../y")) == Path("/x/../y")


@pytest.mark.parametrize(
    ("path", "held"),
    [
        ("anna", True),
        ("anna/x/missing", True),
        ("anna/x/../y", True),
        pytest.param(
            *("anna/../anna/x", False),  # it leads out, and what is there may change
            marks=pytest.mark.posix("Windows takes a step up before it looks"),
        ),
        ("anna/..", False),
        ("anna/../other", False),
        ("anna-2", False),
        ("", False),
        pytest.param(
            *("anna/\0", False),
            marks=pytest.mark.posix("Windows resolves a NUL"),
        ),
    ],
)
def test_a_home_holds_what_is_below_it(home: Path, path: str, held: bool) -> None:
    assert System.of_home(home).holds(home.parent / path) is held
    assert not System.of_home(home).holds(Path("/"))


@unix
@pytest.mark.parametrize(
    ("target", "held"),
    [
        ("x", True),
        ("missing", True),
        ("x/../x", True),
        ("../anna/x", False),
        ("../other", False),
        ("/etc", False),
        ("..", False),
        ("link", True),  # round and round: it leads nowhere
    ],
)
def test_a_link_is_held_where_it_stays_at_home(home: Path, target: str, held: bool) -> None:
    (home / "x").mkdir()
    (home.parent / "other").mkdir()
    (home / "link").symlink_to(target)
    system = System.of_home(home)
    assert system.holds(home / "link") is held
    assert system.holds(home / "link" / "x") is held


@unix
def test_a_step_up_behind_a_link_out_is_not_held(home: Path) -> None:
    (home.parent / "other/deep").mkdir(parents=True)
    (home.parent / "other/x").mkdir()
    (home / "link").symlink_to("../other/deep")
    assert not System.of_home(home).holds(home / "link/../x")


@unix
def test_a_home_may_itself_be_given_by_a_link(home: Path) -> None:
    (home / "x").mkdir()
    link = home.parent / "link"
    link.symlink_to("anna")
    system = System.of_home(link)
    assert system.holds(link / "x")
    assert system.holds(home / "x")
    assert system.translate(PurePosixPath(home / "x")) == home / "x"
    assert not system.holds(home.parent)


WINDOWS, POSIX = PureWindowsPath, PurePosixPath


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (WINDOWS(r"C:\Users\anna\AppData\Roaming\x"), "AppData/Roaming/x"),
        (WINDOWS(r"D:\Users\anna.DOMAIN\AppData\Roaming\x"), "AppData/Roaming/x"),
        (WINDOWS(r"\\server\share\anna.V6\AppData\Roaming\x"), "AppData/Roaming/x"),
        (WINDOWS(r"C:\Users\anna\..\..\AppData\Roaming\x"), "AppData/Roaming/x"),
        (WINDOWS(r"C:\Users\anna\AppData\Roaming\gone"), None),
        (WINDOWS(r"C:\Users\anna\AppData\Roaming\.."), None),
        (WINDOWS("C:\\"), None),
        (WINDOWS("C:/" + "a/" * 5000 + "x"), "x"),
        (POSIX("/home/anna/AppData/Roaming/x"), "AppData/Roaming/x"),
        (POSIX("/Users/other/x"), "x"),
        (POSIX("/etc"), None),
        (POSIX("/"), None),
        (POSIX("/\0/x"), "x"),
    ],
)
def test_a_path_of_another_machine_is_looked_for_below_the_home(
    home: Path, path: PurePosixPath | PureWindowsPath, found: str | None
) -> None:
    (home / "AppData/Roaming/x").mkdir(parents=True)
    (home / "x").mkdir()
    expected = None if found is None else home / found
    assert System.of_home(home).translate(path) == expected


def test_a_path_into_the_home_is_taken_as_it_is_or_not(home: Path) -> None:
    (home / "gone").mkdir()
    (home / "there").mkdir()
    system = System.of_home(home)
    assert system.translate(home / "there") == home / "there"
    assert system.translate(home / "profiles/gone") is None


def test_only_so_many_ends_of_a_path_are_tried(home: Path) -> None:
    deep = home.joinpath(*["a"] * 60)
    deep.mkdir(parents=True)
    far = PureWindowsPath("Z:\\", *["b"] * 5000, *["a"] * 60)
    brought = System.of_home(home).translate(far)
    assert brought is not None
    assert len(brought.relative_to(home).parts) <= 40

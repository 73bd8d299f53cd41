from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nssbackup.profiles import System, find_left_behind, find_profiles, locate
from nssbackup.profiles.system import Platform
from tests.unit.profiles.machine import Machine, closed
from tests.unit.profiles.test_lock import unix

OLD = "Old Firefox Data"


def paths(system: System) -> list[Path]:
    return [one.path for one in find_left_behind(system)]


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize(
    "name",
    [
        "Old Firefox Data",
        "以前の Firefox データ",
        "saved by me",
    ],
)
@pytest.mark.parametrize("place", ["Desktop", "."])
def test_an_old_profile_is_found_whatever_its_folder_is_called(
    machine: Machine, platform: Platform, name: str, place: str
) -> None:
    folder = machine.profile("ab12.default-release", root=machine.home / place / name)
    (profile,) = find_left_behind(Machine(machine.home, platform).system())
    assert profile.path == folder
    assert (profile.name, profile.application) == ("ab12.default-release", "Firefox")
    assert (profile.listed, profile.default, profile.store) == (False, False, "sqlite")


def test_a_folder_without_certificates_is_none(machine: Machine) -> None:
    old = machine.home / "Desktop" / OLD
    machine.profile("ab12.default", "key4.db", "prefs.js", root=old)
    (old / "cd34.default/cert9.db").mkdir(parents=True)
    machine.profile("deeper", root=old / "ef56.default")
    machine.profile("too-high", root=machine.home)
    assert paths(machine.system()) == []


def test_a_profile_that_is_found_anyway_is_not_left_behind(machine: Machine) -> None:
    folder = machine.profile("ab12.default", root=machine.home / "Desktop" / OLD)
    machine.profile("cd34.new")
    assert paths(machine.system()) == [folder]
    machine.write(f"[Profile0]\nIsRelative=0\nPath={folder}\n")
    assert folder in [one.path for one in find_profiles(machine.system())]
    assert paths(machine.system()) == []


@pytest.mark.parametrize(
    ("platform", "name"), [("linux", ".cache"), ("darwin", "Library"), ("win32", "AppData")]
)
def test_what_no_refresh_writes_to_is_not_looked_through(
    machine: Machine, platform: Platform, name: str
) -> None:
    machine.profile("ab12.default", root=machine.home / name)
    assert paths(Machine(machine.home, platform).system()) == []


LINES = [
    ('XDG_DESKTOP_DIR="$HOME/Bureau"', "Bureau"),
    ('XDG_DESKTOP_DIR = "$HOME/Bureau"', "Bureau"),
    ('# XDG_DESKTOP_DIR="$HOME/Nein"\n\tXDG_DESKTOP_DIR="$HOME/Área de Trabalho"\n',
     "Área de Trabalho"),
    ('XDG_DOWNLOAD_DIR="$HOME/Downloads"\r\nXDG_DESKTOP_DIR="$HOME/Рабочий стол/"\r\n',
     "Рабочий стол"),
    ('XDG_DESKTOP_DIR="$HOME/a/b/c"', "a/b/c"),
    (r'XDG_DESKTOP_DIR="$HOME/\$(touch x)\"\\"', r'$(touch x)"' + "\\"),
    ('XDG_DESKTOP_DIR="{home}/Bureau"', "Bureau"),
]  # fmt: skip


@unix
@pytest.mark.parametrize(("lines", "desktop"), LINES)
@pytest.mark.parametrize("config", [".config", "elsewhere/config"])
def test_the_desktop_of_linux_is_where_the_user_has_it(
    machine: Machine, lines: str, desktop: str, config: str
) -> None:
    folder = machine.profile("ab12.default", root=machine.home / "far" / desktop / OLD)
    special = Machine(machine.home / "far")
    (special.home / config).mkdir(parents=True)
    (special.home / config / "user-dirs.dirs").write_text(
        lines.replace("{home}", str(special.home)), encoding="utf-8"
    )
    system = special.system(XDG_CONFIG_HOME=str(special.home / "elsewhere/config"))
    assert paths(system) == [folder]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'XDG_DESKTOP_DIR="Bureau/deep"',
        b'XDG_DESKTOP_DIR="$HOMEBureau/deep"',
        b"XDG_DESKTOP_DIR=$HOME/Bureau/deep",
        b'XDG_DESKTOP_DIR="$HOME/Bureau/deep',
        b'XDG_DESKTOP_DIR="$HOME/\0"',
        b'XDG_DESKTOP_DIR="/\0"',
        b'XDG_DESKTOP_DIR="$HOME/Bureau/nowhere"',
        b'XDG_DESKTOP_DIR="$(echo $HOME)/Bureau/deep"',
        b'XDG_DESKTOP_DIR="' + b"\\" * 60_000,
        b'XDG_DESKTOP_DIR="$HOME/Bureau/deep"\n' + b"#" * (1 << 17),
    ],
)
def test_a_desktop_that_is_not_said_rightly_is_none(machine: Machine, content: bytes) -> None:
    machine.profile("ab12.default", root=machine.home / "Bureau/deep" / OLD)
    usual = machine.profile("cd34.default", root=machine.home / "Desktop" / OLD)
    (machine.home / ".config").mkdir()
    (machine.home / ".config/user-dirs.dirs").write_bytes(content)
    assert paths(machine.system()) == [usual]


@pytest.mark.parametrize("place", ["OneDrive/Desktop", "OneDrive - Firma GmbH/Bureau"])
def test_a_desktop_in_onedrive_is_looked_at_on_windows(machine: Machine, place: str) -> None:
    folder = machine.profile("ab12.default", root=machine.home / place / OLD)
    assert paths(Machine(machine.home, "win32").system()) == [folder]
    assert paths(machine.system()) == []


@pytest.mark.parametrize("variable", ["OneDrive", "ONEDRIVECOMMERCIAL"])
def test_onedrive_is_where_the_variable_says(
    machine: Machine, tmp_path: Path, variable: str
) -> None:
    folder = machine.profile("ab12.default", root=tmp_path / "cloud/Escritorio" / OLD)
    windows = Machine(machine.home, "win32")
    assert paths(windows.system(**{variable: str(tmp_path / "cloud")})) == [folder]
    assert paths(windows.system(**{variable: "cloud"})) == []


def test_onedrive_of_this_process_is_looked_at(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On Windows, Python has all names in upper case.
    folder = machine.profile("ab12.default", root=tmp_path / "cloud/Desktop" / OLD)
    monkeypatch.setenv("OneDrive", str(tmp_path / "cloud"))
    assert paths(replace(System.current(), platform="win32", home=machine.home)) == [folder]


@unix
def test_links_are_not_followed(machine: Machine, tmp_path: Path) -> None:
    folder = machine.profile("ab12.default", root=machine.home / "Desktop" / OLD)
    other = machine.profile("cd34.default", root=tmp_path / "other" / OLD)
    (machine.home / "linked").symlink_to(other.parent)
    (machine.home / "Desktop/round").symlink_to(".")
    (machine.home / "Desktop/loop").symlink_to("loop")
    (folder.parent / "linked").symlink_to(other)
    (folder.parent / "round").symlink_to("..")
    assert paths(machine.system()) == [folder]


@unix
def test_a_profile_in_two_places_is_found_once(machine: Machine) -> None:
    folder = machine.profile("ab12.default", root=machine.home / "Desktop" / OLD)
    (machine.home / ".config").mkdir()
    (machine.home / "Bureau").symlink_to("Desktop")
    (machine.home / ".config/user-dirs.dirs").write_text('XDG_DESKTOP_DIR="$HOME/Bureau"\n')
    assert paths(machine.system()) == [folder]


def test_the_search_ends(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate.PLACE_LIMIT <= 10_000
    assert locate.CONTAINER_LIMIT <= 1_000
    assert locate.TOTAL_LIMIT <= 100_000
    for container in range(5):
        for number in range(5):
            machine.profile(f"{number}", root=machine.home / f"{container}")
    assert len(paths(machine.system())) == 25
    monkeypatch.setattr(locate, "TOTAL_LIMIT", 17)
    assert len(paths(machine.system())) == 17
    monkeypatch.setattr(locate, "CONTAINER_LIMIT", 3)
    assert len(paths(machine.system())) == 15
    monkeypatch.setattr(locate, "PLACE_LIMIT", 2)
    assert len(paths(machine.system())) == 6


def test_what_may_not_be_read_does_not_hide_the_rest(public_machine: Machine) -> None:
    home = public_machine.home
    shut = public_machine.profile("ab12.default", root=home / "Desktop/A")
    seen = public_machine.profile("cd34.default", root=home / OLD)
    with closed(shut.parent):
        assert paths(public_machine.system()) == [seen]
    with closed(home / "Desktop"):
        assert paths(public_machine.system()) == [seen]

from __future__ import annotations

import os
from pathlib import PurePath, PurePosixPath, PureWindowsPath

import pytest

from nssbackup.profiles.lists import ListedProfile, listed_path, read_lists
from nssbackup.profiles.system import Platform, System
from tests.unit.profiles.machine import Machine

SYSTEMS: dict[Platform, System] = {
    "linux": System("linux", PurePosixPath("/home/anna"), {}),
    "darwin": System("darwin", PurePosixPath("/Users/anna"), {}),
    "win32": System("win32", PureWindowsPath(r"C:\Users\anna"), {}, ansi="cp1252"),
}
ROOTS: dict[Platform, PurePath] = {
    "linux": PurePosixPath("/r"),
    "darwin": PurePosixPath("/r"),
    "win32": PureWindowsPath(r"C:\r"),
}


@pytest.mark.parametrize(
    ("platform", "value", "path"),
    [
        ("linux", "ab.default", "/r/ab.default"),
        ("linux", "../../x/ab", "/r/../../x/ab"),
        ("linux", "a\\b", "/r/a\\b"),
        ("linux", "/etc", "/r/etc"),
        ("darwin", "Profiles/ab.default", "/r/Profiles/ab.default"),
        ("darwin", "Profiles/Jörg 日本#?.", "/r/Profiles/Jörg 日本#?."),
        ("win32", "Profiles/ab.default", r"C:\r\Profiles\ab.default"),
        ("win32", "../x/ab", r"C:\r\..\x\ab"),
        ("linux", "", None),
    ],
)
def test_a_relative_path_starts_in_the_root(
    platform: Platform, value: str, path: str | None
) -> None:
    found = listed_path(value, ROOTS[platform], SYSTEMS[platform], relative=True)
    assert (None if found is None else str(found)) == path


@pytest.mark.parametrize(
    ("platform", "value", "path"),
    [
        ("linux", "/data/ab", "/data/ab"),
        ("linux", "~/ab", None),
        ("linux", "AAAAAAFYAAIAAA==", None),
        ("darwin", "/Volumes/stick/ab", "/Volumes/stick/ab"),
        ("darwin", "~/ab", "/Users/anna/ab"),
        ("darwin", "AAAAAAFYAAIAAA==", None),
        ("win32", r"D:\ab", r"D:\ab"),
        ("win32", r"\\server\share\ab", r"\\server\share\ab"),
        ("win32", "D:\\J\udcfcrg", r"D:\Jürg"),
        ("win32", "D:/Jürg", r"D:\Jürg"),
        ("win32", r"\ab", None),
        ("win32", "ab", None),
    ],
)
def test_an_absolute_path_is_the_platforms_own(
    platform: Platform, value: str, path: str | None
) -> None:
    found = listed_path(value, ROOTS[platform], SYSTEMS[platform], relative=False)
    assert (None if found is None else str(found)) == path


@pytest.mark.posix("Windows has no paths of bytes")
def test_a_path_keeps_the_bytes_of_the_list() -> None:
    value = b"/home/j\xfcrg".decode("utf-8", "surrogateescape")
    found = listed_path(value, ROOTS["linux"], SYSTEMS["linux"], relative=False)
    assert found is not None
    assert os.fsencode(found) == b"/home/j\xfcrg"


def test_every_section_with_a_path_counts_whatever_its_number(machine: Machine) -> None:
    machine.write(
        "[Profile0]\nName=a\nIsRelative=1\nPath=a\n"
        "[Profile1]\nName=none\nIsRelative=1\n"
        "[Profile7]\nName=b\nIsRelative=1\nPath=b\nDefault=1\n"
        "[ProfileX]\nIsRelative=1\nPath=c\n"
        "[profile8]\nIsRelative=1\nPath=d\n"
        "[BackgroundTasksProfiles]\nMozilla=e\n"
    )
    assert read_lists(machine.root, machine.system()) == (
        ListedProfile(machine.root / "a", "a"),
        ListedProfile(machine.root / "b", "b", marked_default=True),
        ListedProfile(machine.root / "c"),
    )


def test_each_installs_default_is_an_entry(machine: Machine) -> None:
    machine.write(
        f"[Install4F96D1932A9F858E]\nDefault=a\nLocked=1\n"
        f"[Install11457493C5A56847]\nDefault={machine.home}/b\n[InstallX]\nLocked=1\n"
    )
    assert read_lists(machine.root, machine.system()) == (
        ListedProfile(machine.root / "a", install_default=True),
        ListedProfile(machine.home / "b", install_default=True),
    )


def test_installs_ini_counts_where_profiles_ini_has_none(machine: Machine) -> None:
    machine.write("[4F96D1932A9F858E]\nDefault=old\n", "installs.ini")
    machine.write("[Profile0]\nIsRelative=1\nPath=a\n")
    assert read_lists(machine.root, machine.system()) == (
        ListedProfile(machine.root / "a"),
        ListedProfile(machine.root / "old", install_default=True),
    )


def test_installs_ini_is_ignored_beside_install_sections(machine: Machine) -> None:
    machine.write("[4F96D1932A9F858E]\nDefault=old\n", "installs.ini")
    machine.write("[Install4F96D1932A9F858E]\nDefault=new\n")
    assert read_lists(machine.root, machine.system()) == (
        ListedProfile(machine.root / "new", install_default=True),
    )

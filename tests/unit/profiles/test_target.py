"""Targets: which profile is restored to."""

from __future__ import annotations

from pathlib import Path

import pytest

from nssbackup.errors import NoProfileError
from nssbackup.profiles import find_targets
from tests.unit.profiles.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "home")


LIST = """
[Profile0]
Name=work
IsRelative=1
Path=abcd.work
Default=1

[Profile1]
Name=home
IsRelative=1
Path=efgh.home
"""


def test_without_a_name_it_is_the_default_even_without_databases(machine: Machine) -> None:
    machine.write(LIST)
    folder = machine.empty_profile("abcd.work")
    machine.profile("efgh.home")
    (found,) = find_targets(None, machine.system())
    assert (found.path, found.name, found.store) == (folder, "work", None)


def test_firefox_goes_before_other_applications(machine: Machine) -> None:
    machine.write(LIST)
    folder = machine.profile("abcd.work")
    other = machine.home / ".thunderbird"
    machine.profile("abcd.mail", root=other)
    (other / "profiles.ini").write_text(
        "[Profile0]\nName=mail\nIsRelative=1\nPath=abcd.mail\nDefault=1\n"
    )
    found = find_targets(None, machine.system())
    assert [one.path for one in found] == [folder]


@pytest.mark.parametrize("name", ["home", "efgh.home"])
def test_a_name_is_that_of_the_profile_or_of_its_folder(machine: Machine, name: str) -> None:
    machine.write(LIST)
    machine.profile("abcd.work")
    folder = machine.profile("efgh.home")
    (found,) = find_targets(name, machine.system())
    assert found.path == folder


def test_a_path_of_a_known_profile_is_that_profile(machine: Machine) -> None:
    machine.write(LIST)
    folder = machine.profile("abcd.work")
    for text in (str(folder), f"{folder}/", f"{folder.parent}/x/../{folder.name}"):
        (folder.parent / "x").mkdir(exist_ok=True)
        (found,) = find_targets(text, machine.system())
        assert found.name == "work"


def test_any_folder_will_do(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "a folder ü"
    folder.mkdir()
    (found,) = find_targets(str(folder), machine.system())
    assert (found.path, found.store) == (folder, None)


@pytest.mark.parametrize("text", ["nobody", "/nowhere/at/all", "a\0b", ""])
def test_what_is_nothing_is_said(machine: Machine, text: str, tmp_path: Path) -> None:
    machine.write(LIST)
    machine.profile("abcd.work")
    (tmp_path / "file").touch()
    for each in (text, str(tmp_path / "file")):
        if each:
            with pytest.raises(NoProfileError) as said:
                find_targets(each, machine.system())
            assert said.value.exit_status == 10
            assert said.value.hint is not None


def test_without_any_profile_one_has_to_be_made_first(machine: Machine) -> None:
    with pytest.raises(NoProfileError, match="no profile was found") as said:
        find_targets(None, machine.system())
    assert "start Firefox once" in str(said.value.hint)

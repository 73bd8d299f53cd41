from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nssbackup.errors import NoProfileError, NoStoreError, UnreadableStoreError
from nssbackup.identity.model import Profile
from nssbackup.profiles import (
    find_profiles,
    find_targets,
    resolve,
    resolve_profiles,
)
from nssbackup.profiles.roots import Root, find_roots
from nssbackup.profiles.system import System
from tests.unit.profiles.machine import Machine, closed
from tests.unit.profiles.test_lock import unix


def resolve_profile(text: str, system: System) -> tuple[Profile, ...]:
    return resolve_profiles([text], system)


@pytest.fixture
def work(machine: Machine) -> Profile:
    """A listed profile, `work` in the folder `ab12.default`, beside another one."""
    machine.profile("ab12.default")
    machine.profile("cd34.other")
    machine.write(
        "[Profile0]\nName=work\nIsRelative=1\nPath=ab12.default\nDefault=1\n"
        "[Profile1]\nName=other\nIsRelative=1\nPath=cd34.other\n"
    )
    (profile,) = [one for one in find_profiles(machine.system()) if one.name == "work"]
    return profile


@pytest.mark.parametrize("text", ["work", "ab12.default"])
def test_a_name_and_a_folders_name_mean_the_profile(
    machine: Machine, work: Profile, text: str
) -> None:
    assert resolve_profile(text, machine.system()) == (work,)


@pytest.mark.parametrize("file", ["", "/", "/cert9.db", "/key4.db", "/../ab12.default"])
def test_a_path_to_a_known_profile_means_it_as_it_is_known(
    machine: Machine, work: Profile, file: str
) -> None:
    assert resolve_profile(f"{work.path}{file}", machine.system()) == (work,)


@unix
def test_a_link_to_a_known_profile_means_it(
    machine: Machine, work: Profile, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(work.path)
    assert resolve_profile(str(tmp_path / "link"), machine.system()) == (work,)


def test_a_relative_path_starts_in_the_current_folder(
    machine: Machine, work: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work.path)
    assert resolve_profile(".", machine.system()) == (work,)
    assert resolve_profile("cert9.db", machine.system()) == (work,)
    assert resolve_profile("../ab12.default", machine.system()) == (work,)


def test_a_tilde_is_the_home_folder(
    machine: Machine, work: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(machine.home))
    monkeypatch.setenv("USERPROFILE", str(machine.home))
    assert resolve_profile("~/.mozilla/firefox/ab12.default", machine.system()) == (work,)


def test_a_name_wins_over_a_path(
    machine: Machine, work: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = machine.profile("work", root=tmp_path)
    monkeypatch.chdir(tmp_path)
    assert resolve_profile("work", machine.system()) == (work,)
    (profile,) = resolve_profile("./work", machine.system())
    assert profile.path == folder


def test_a_name_matches_in_either_form_of_its_umlauts(machine: Machine) -> None:
    machine.profile("Jo\u0308rg")
    (profile,) = resolve_profile("J\u00f6rg", machine.system())
    assert profile.name == "Jo\u0308rg"


def test_an_unknown_folder_with_databases_is_a_profile(machine: Machine, tmp_path: Path) -> None:
    folder = machine.profile("nssdb", "cert8.db", root=tmp_path)
    assert resolve_profile(str(folder), machine.system()) == (
        Profile(path=folder, name="nssdb", application="NSS", store="legacy"),
    )


def test_an_unknown_folder_in_a_root_is_its_applications(machine: Machine, work: Profile) -> None:
    folder = machine.profile("backup", root=work.path)
    (profile,) = resolve_profile(str(folder), machine.system())
    assert (profile.path, profile.application) == (folder, "Firefox")


@pytest.mark.parametrize("file", ["", "/profiles.ini"])
def test_a_root_means_all_its_profiles(machine: Machine, work: Profile, file: str) -> None:
    profiles = resolve_profile(f"{machine.root}{file}", machine.system())
    assert {one.name for one in profiles} == {"work", "other"}
    assert work in profiles


def test_where_roots_nest_the_inner_ones_application_counts(
    machine: Machine, work: Profile
) -> None:
    unlisted = machine.profile("backup", root=work.path)
    system = machine.system(MOZ_APP_DATA=str(machine.home))
    other = machine.profile(machine.home / ".thunderbird/ab12.default/backup")
    assert [
        resolve_profile(str(folder), system)[0].application for folder in (unlisted, other)
    ] == ["Firefox", "Thunderbird"]


@pytest.mark.parametrize("text", ["Kanzlei Müller", "work", "ab12.default"])
def test_the_names_in_group_and_list_both_mean_the_profile(
    machine: Machine, work: Profile, text: str
) -> None:
    (machine.root / "Profile Groups").mkdir()
    with closing(sqlite3.connect(machine.root / "Profile Groups/a1.sqlite")) as group, group:
        group.execute("CREATE TABLE Profiles (path TEXT, name TEXT)")
        group.execute("INSERT INTO Profiles VALUES (?, 'Kanzlei Müller')", (work.path.name,))
    (profile,) = resolve_profile(text, machine.system())
    assert (profile.path, profile.name) == (work.path, "Kanzlei Müller")


def test_a_root_that_is_not_this_users_means_all_its_profiles(
    machine: Machine, work: Profile, tmp_path: Path
) -> None:
    copy = Machine(tmp_path / "stick")
    copy.profile("ef56.default")
    copy.write("[Profile0]\nName=old\nIsRelative=1\nPath=ef56.default\n")
    (profile,) = resolve_profile(str(copy.root), machine.system())
    assert (profile.name, profile.application, profile.default) == ("old", "NSS", True)
    assert profile != work


def test_a_stray_store_in_a_root_does_not_hide_the_profiles(
    machine: Machine, work: Profile
) -> None:
    (machine.root / "cert9.db").touch()
    assert work in resolve_profile(str(machine.root), machine.system())
    (stray,) = resolve_profile(str(machine.root / "cert9.db"), machine.system())
    assert stray.path == machine.root


@pytest.mark.parametrize("text", ["none", "no/such/folder", "", "\0", "a\0b", "\udcff"])
@pytest.mark.usefixtures("work")
def test_what_fits_nothing_is_no_profile(machine: Machine, text: str) -> None:
    with pytest.raises(NoProfileError) as caught:
        resolve_profile(text, machine.system())
    assert f"`{text}`" in caught.value.message
    assert caught.value.hint == "these were found: `work`, `other`"


def test_the_hint_names_only_some_of_many_profiles(machine: Machine) -> None:
    for number in range(20):
        machine.profile(f"p{number:02}")
    with pytest.raises(NoProfileError) as caught:
        resolve_profile("none", machine.system())
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("`p07` and 12 more")


@pytest.mark.parametrize("text", ["empty", "path"])
def test_a_known_profile_without_databases_has_no_store(machine: Machine, text: str) -> None:
    folder = machine.empty_profile("ab")
    machine.write("[Profile0]\nName=empty\nIsRelative=1\nPath=ab\n")
    with pytest.raises(NoStoreError):
        resolve_profile(str(folder) if text == "path" else text, machine.system())


def test_a_folder_that_may_not_be_read_is_called_so(public_machine: Machine) -> None:
    folder = public_machine.profile("ab", root=public_machine.home)
    with closed(folder), pytest.raises(UnreadableStoreError):
        resolve_profile(str(folder), public_machine.system())


def test_many_texts_take_one_search(
    machine: Machine, work: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: list[System] = []

    def counted(system: System) -> Iterator[Root]:
        searches.append(system)
        return find_roots(system)

    monkeypatch.setattr(resolve, "find_roots", counted)
    texts = ["work", "other", str(work.path), "cd34.other"] * 10
    found = resolve_profiles(texts, machine.system())
    assert [one.name for one in found] == ["work", "other"]
    assert len(searches) == 1


# --- what is restored to

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


def test_without_a_name_it_is_the_default_even_if_empty(machine: Machine) -> None:
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


def test_without_any_profile_one_has_to_be_made_first(machine: Machine) -> None:
    with pytest.raises(NoProfileError, match="no profile was found") as said:
        find_targets(None, machine.system())
    assert "start Firefox once" in str(said.value.hint)


@unix
def test_a_folder_above_profiles_means_all_of_them(machine: Machine, tmp_path: Path) -> None:
    """A disk of another computer, say."""
    for below in ("Users/anna/x.default", "Windows.old/y.default", "/".join("abcdefghij")):
        folder = tmp_path / "disk" / below
        folder.mkdir(parents=True)
        (folder / "cert9.db").touch()
    (tmp_path / "disk" / "/".join("abcdefghijk")).mkdir()
    too_deep = tmp_path / "disk" / "/".join("0123456789a")
    too_deep.mkdir(parents=True)
    (too_deep / "cert9.db").touch()
    (tmp_path / "disk" / "link").symlink_to(tmp_path / "disk" / "Users")
    found = resolve_profile(str(tmp_path / "disk"), machine.system())
    assert {one.path.relative_to(tmp_path / "disk").as_posix() for one in found} == {
        "Users/anna/x.default",
        "Windows.old/y.default",
        "a/b/c/d/e/f/g/h/i/j",
    }

"""Whose profiles there are: roots told apart by what they hold."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from nssbackup.batch.layout import folder_of_user, unused_name, user_of_home
from nssbackup.batch.options import Roots
from nssbackup.batch.users import find_users
from nssbackup.profiles.locate import search_home
from tests import PROFILES
from tests.builders.homes import JANE, add_home, profile_in
from tests.unit.profiles.machine import closed


def found(roots: Roots) -> list[tuple[str, bool]]:
    users, unusable = find_users(roots)
    assert unusable == ()
    return [(source.user, source.is_home) for user in users for source in user.sources]


def test_a_home_and_a_folder_of_homes(tmp_path: Path) -> None:
    homes = tmp_path / "homes"
    for user in ("jane", "bob"):
        add_home(homes, user, JANE)
    (homes / "empty").mkdir()
    assert found(Roots((homes / "jane",))) == [("jane", True)]
    assert found(Roots((homes,))) == [("bob", True), ("jane", True)]
    # With the option a home need not look like one.
    assert found(Roots(parents=(homes,))) == [("bob", True), ("empty", True), ("jane", True)]
    assert found(Roots(homes=(homes / "empty",))) == [("empty", True)]
    # A home is looked into once.
    both = Roots((homes,), homes=(homes / "jane",), parents=(homes,))
    assert found(both) == [("bob", True), ("empty", True), ("jane", True)]


def test_a_profile_and_a_folder_of_profiles(tmp_path: Path) -> None:
    for name in ("a.default", "b.legacy"):
        fixture = "legacy-nopassword" if "legacy" in name else JANE
        shutil.copytree(PROFILES / fixture, tmp_path / "profiles" / name)
    (tmp_path / "profiles" / "empty").mkdir()
    expected = [("a.default", False), ("b.legacy", False)]
    assert found(Roots((tmp_path / "profiles",))) == expected
    assert found(Roots((tmp_path / "profiles" / "a.default",))) == expected[:1]


def test_a_home_with_databases_of_its_own_is_a_profile(tmp_path: Path) -> None:
    home = add_home(tmp_path, "jane", JANE)
    shutil.copy(profile_in(home) / "cert9.db", home)
    assert found(Roots((home,))) == [("jane", False)]
    assert found(Roots(homes=(home,))) == [("jane", True)]


def test_what_is_no_home_is_left_out(tmp_path: Path) -> None:
    for name in (
        *("jane", "Public", "Default", "Default User", "All Users", "defaultuser0"),
        *("WDAGUtilityAccount", "Shared", "Guest", ".localized", "lost+found"),
    ):
        (tmp_path / "homes" / name).mkdir(parents=True)
    (tmp_path / "homes" / "desktop.ini").touch()
    (tmp_path / "homes" / "link").symlink_to(tmp_path)
    assert found(Roots(parents=(tmp_path / "homes",))) == [("jane", True)]


def test_a_root_of_no_use_is_told_of_and_the_others_go_on(tmp_path: Path) -> None:
    add_home(tmp_path / "homes", "jane", JANE)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "file").touch()
    roots = tuple(tmp_path / name for name in ("homes", "gone", "nothing", "file"))
    users, unusable = find_users(Roots(roots, homes=(tmp_path / "gone2",)))
    assert [user.folder for user in users] == ["jane"]
    told = [(one.path.name, one.error.exit_status, one.error.code) for one in unusable]
    assert told == [
        ("gone", 11, "store-unreadable"),
        ("nothing", 10, "no-profile"),
        ("file", 11, "store-unreadable"),
        ("gone2", 11, "store-unreadable"),
    ]


def test_a_closed_home_among_others_is_not_forgotten() -> None:
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        add_home(Path(top), "bob", JANE)
        with closed(add_home(Path(top), "jane", JANE)):
            assert found(Roots((Path(top),))) == [("bob", True), ("jane", True)]


@pytest.mark.parametrize("folder", [".mozilla", ".mozilla/firefox"])
def test_a_home_whose_folder_of_profiles_is_closed_is_a_home(folder: str) -> None:
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        home = add_home(Path(top), "jane", JANE)
        with closed(home / folder):
            assert found(Roots((home,))) == [("jane", True)]
            assert found(Roots((Path(top),))) == [("jane", True)]


def redirected(top: Path, user: str) -> Path:
    """AppData as Windows redirects it to a share: `top/user` is %APPDATA%."""
    home = add_home(top.parent / "whole", user, JANE, platform="win32")
    return (home / "AppData" / "Roaming").rename(top / user)


def test_redirected_appdata_is_like_a_home(tmp_path: Path) -> None:
    share = tmp_path / "redir"
    share.mkdir()
    roaming = redirected(share, "anna")
    (share / "zen").mkdir()  # a user called like an application
    for root in (share, roaming, roaming / "Mozilla" / "Firefox"):
        users, unusable = find_users(Roots((root,)))
        assert unusable == ()
        ((user,),) = ([source for user in users for source in user.sources],)
        assert (user.user, user.root) == ("anna", str(root))
        found = search_home(user.system)
        assert [profile.application for profile in found.profiles] == ["Firefox"]


def test_the_users_of_a_windows_computer_are_found_through_its_share(tmp_path: Path) -> None:
    folder = tmp_path / "c$" / "Users"
    for user in ("jane", "anna.V6", "paul.DOMAIN"):
        add_home(folder, user, JANE, platform="win32")
    for nobody in ("All Users", "Default", "Default User", "Public"):
        (folder / nobody / "AppData" / "Roaming").mkdir(parents=True)
    (folder / "desktop.ini").write_bytes(b"")
    for roots in (Roots((folder,)), Roots(parents=(folder,))):
        users, unusable = find_users(roots)
        assert unusable == ()
        assert [user.folder for user in users] == ["anna", "jane", "paul.DOMAIN"]
        for source in (source for user in users for source in user.sources):
            assert [one.application for one in search_home(source.system).profiles] == ["Firefox"]


def test_a_root_is_named_without_detours(tmp_path: Path) -> None:
    home = add_home(tmp_path, "jane", JANE)
    users, _ = find_users(Roots(homes=(home / ".." / "jane", home)))
    assert [str(source.path) for user in users for source in user.sources] == [str(home)]


def test_a_home_whose_folder_of_profiles_is_elsewhere_is_a_home(tmp_path: Path) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    (home / ".mozilla").symlink_to((home / ".mozilla").rename(tmp_path / "elsewhere"))
    assert found(Roots((home,))) == [("jane", True)]
    assert found(Roots((tmp_path / "homes",))) == [("jane", True)]


def test_a_folder_of_homes_without_one_is_of_no_use(tmp_path: Path) -> None:
    (tmp_path / "share" / "lost+found").mkdir(parents=True)
    users, (unusable,) = find_users(Roots(parents=(tmp_path / "share",)))
    assert users == ()
    assert unusable.path == tmp_path / "share"
    assert unusable.error.message == f"there is no home in `{tmp_path / 'share'}`"


@pytest.mark.posix("two names of one folder on Windows")
@pytest.mark.parametrize(
    ("known", "folder"), [((), "Jane"), (("jane",), "jane"), (("bob",), "Jane")]
)
def test_the_folder_of_a_user_keeps_its_spelling(
    tmp_path: Path, known: tuple[str, ...], folder: str
) -> None:
    for name in ("jane", "Jane"):
        (tmp_path / name).mkdir()
    users, _ = find_users(Roots(parents=(tmp_path,)), known)
    assert [user.folder for user in users] == [folder]


def test_one_name_in_two_normal_forms_is_one_user(tmp_path: Path) -> None:
    for name in ("Zo\u00eb", "Zoe\u0308"):
        (tmp_path / name).mkdir()
    users, _ = find_users(Roots(parents=(tmp_path,)))
    assert len(users) == 1


def test_homes_of_one_name_are_one_users(tmp_path: Path) -> None:
    add_home(tmp_path / "local", "jane", JANE)
    add_home(tmp_path / "share", "Jane.V6", JANE, platform="win32")
    users, _ = find_users(Roots(parents=(tmp_path / "local", tmp_path / "share")))
    (user,) = users
    assert user.folder == "jane"
    assert [source.user for source in user.sources] == ["jane", "Jane"]


@pytest.mark.parametrize(
    ("folder", "user"),
    [
        ("jane", "jane"),
        ("jane.V6", "jane"),
        ("jane.v2", "jane"),
        ("jane.V7", "jane.V7"),
        ("jane.DOMAIN", "jane.DOMAIN"),
        (".V6", ".V6"),
    ],
)
def test_whose_a_home_is(folder: str, user: str) -> None:
    assert user_of_home(folder) == user


@pytest.mark.parametrize(
    ("user", "folder"),
    [
        ("jane", "jane"),
        ("a:b", "a_b"),
        ("con", "_con"),
        ("..", "_"),
        ("=cmd|x", "=cmd_x"),
        ("escrow", "escrow_"),
        ("Passwords.csv", "Passwords.csv_"),
        (".nssbackup", "nssbackup"),
    ],
)
def test_the_folder_of_a_user_fits_every_system(user: str, folder: str) -> None:
    assert folder_of_user(user) == folder


def test_a_name_is_given_once() -> None:
    taken: set[str] = set()
    given = []
    for _ in range(6):
        given.append(unused_name("Jane-2028.pfx", "0123456789abcdef" * 4, taken))
        taken.add(given[-1].casefold())
    assert given == [
        "Jane-2028.pfx",
        "Jane-2028-01234567.pfx",
        "Jane-2028-0123456789abcdef.pfx",
        "Jane-2028-0123456789abcdef0123456789abcdef.pfx",
        "Jane-2028-01234567-2.pfx",
        "Jane-2028-01234567-3.pfx",
    ]

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nssbackup.errors import NssBackupError
from nssbackup.identity.choosing import choose
from nssbackup.identity.model import Profile
from nssbackup.profiles import find_left_behind, find_profiles, folder, resolve_profiles
from nssbackup.profiles.lists import GROUPS_FOLDER
from nssbackup.profiles.system import Platform
from nssbackup.stores.inventory import take_inventory
from tests.builders.store import StoreBuilder, ec_key, issue
from tests.unit.profiles.machine import Machine, closed, snapshot
from tests.unit.profiles.test_lock import held, unix


def names(profiles: tuple[Profile, ...]) -> list[str]:
    return [profile.name for profile in profiles]


def defaults(profiles: tuple[Profile, ...]) -> set[str]:
    return {profile.name for profile in profiles if profile.default}


def test_a_machine_without_roots_has_no_profiles(machine: Machine) -> None:
    assert find_profiles(machine.system()) == ()


def test_the_machine_of_this_process_can_be_asked() -> None:
    profiles = find_profiles()
    assert all(profile.path.is_absolute() for profile in profiles)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_a_listed_profile_is_found_on_every_platform(tmp_path: Path, platform: Platform) -> None:
    machine = Machine(tmp_path, platform)
    folder = machine.profile("Profiles/ab12.default-release", started=1_700_000_000)
    machine.write(
        "[Profile0]\r\nName=work\r\nIsRelative=1\r\nPath=Profiles/ab12.default-release\r\n"
    )
    assert find_profiles(machine.system()) == (
        Profile(
            path=folder,
            name="work",
            application="Firefox",
            default=True,
            # Windows knows nothing of a Unix's lock.
            in_use=None if sys.platform == "win32" else False,
            store="sqlite",
            listed=True,
            last_used=1_700_000_000,
        ),
    )


def test_an_unlisted_folder_with_databases_is_found(machine: Machine) -> None:
    machine.profile("OSrQASa5.Profile 1")
    machine.profile("Profiles/ab12.default")
    machine.empty_profile("no-databases")
    found = find_profiles(machine.system())
    assert names(found) == ["OSrQASa5.Profile 1", "ab12.default"]
    assert not any(profile.listed or profile.default for profile in found)


@pytest.mark.parametrize(
    ("files", "store"),
    [
        (("cert9.db", "key4.db"), "sqlite"),
        (("key4.db",), "sqlite"),
        (("cert9.db", "cert8.db", "key3.db"), "sqlite"),
        (("cert8.db", "key3.db"), "legacy"),
        (("key3.db",), "legacy"),
        (("prefs.js",), None),
    ],
)
def test_the_store_is_what_databases_lie_in_the_folder(
    machine: Machine, files: tuple[str, ...], store: str | None
) -> None:
    machine.profile("ab", *files)
    machine.write("[Profile0]\nIsRelative=1\nPath=ab\n")
    (profile,) = find_profiles(machine.system())
    assert profile.store == store


def test_a_folder_called_cert9_db_is_no_database(machine: Machine) -> None:
    (machine.profile("ab", "prefs.js") / "cert9.db").mkdir()
    assert find_profiles(machine.system()) == ()


@pytest.mark.parametrize(
    "name", ["Crash Reports", "Pending Pings", "Background Tasks Profiles", "Profile Groups"]
)
def test_folders_for_other_things_are_passed_over(machine: Machine, name: str) -> None:
    machine.profile(name)
    assert find_profiles(machine.system()) == ()


def test_a_listed_profile_without_a_folder_is_left_out(machine: Machine) -> None:
    machine.write("[Profile0]\nName=gone\nIsRelative=1\nPath=gone\n[Install1]\nDefault=gone\n")
    assert find_profiles(machine.system()) == ()


def test_profiles_outside_the_root_are_found(machine: Machine, tmp_path: Path) -> None:
    near = machine.profile("near", root=machine.home)
    far = machine.profile("far", root=tmp_path / "elsewhere")
    machine.write(
        "[Profile0]\nIsRelative=1\nPath=../../near\n"
        f"[Profile1]\nIsRelative=0\nPath={far}\n"
        "[Profile2]\nIsRelative=0\nPath=AAAAAAFYAAIAAA==\n"
    )
    assert {profile.path for profile in find_profiles(machine.system())} == {near.resolve(), far}


@unix
def test_a_path_that_is_not_utf8_is_found(machine: Machine) -> None:
    # On macOS the file system refuses such a name.
    folder = os.fsencode(machine.home) + b"/J\xf6rg"
    try:
        os.makedirs(folder)  # noqa: PTH103 - bytes
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    machine.write(b"[Profile0]\nName=J\xf6rg\nIsRelative=0\nPath=" + folder)
    (profile,) = find_profiles(machine.system())
    assert os.fsencode(profile.path) == folder
    assert profile.name == "J\udcf6rg"


@pytest.mark.parametrize(
    "name",
    ["with space", "Jörg", "Jo\u0308rg", "日本語", "a#b?c%20d", "dot.", "-x", "[x]", "\x1b[31m"],
)
@unix
def test_a_folder_may_have_any_name(machine: Machine, name: str) -> None:
    folder = machine.profile(name)
    machine.write(f"[Profile0]\nName=\x1b[2J{name}\nIsRelative=1\nPath={name}\n")
    assert [(one.path, one.name) for one in find_profiles(machine.system())] == [
        (folder, f"\x1b[2J{name}")
    ]


@unix
def test_an_unlisted_folder_may_have_line_ends_in_its_name(machine: Machine) -> None:
    machine.profile("a\nb\r")
    assert names(find_profiles(machine.system())) == ["a\nb\r"]


TWO = """\
[Profile0]
Name=a
IsRelative=1
Path=a
Default=1
[Profile1]
Name=b
IsRelative=1
Path=b
"""


def test_an_installs_default_wins_over_the_mark(machine: Machine) -> None:
    machine.profile("a")
    machine.profile("b")
    machine.write(TWO + "[Install4F96D1932A9F858E]\nDefault=b\nLocked=1\n")
    assert defaults(find_profiles(machine.system())) == {"b"}


def test_each_installs_default_counts(machine: Machine) -> None:
    machine.profile("a")
    machine.profile("b")
    machine.profile("c")
    machine.write(TWO + "[Install1]\nDefault=b\n[Install2]\nDefault=c\n")
    found = find_profiles(machine.system())
    assert defaults(found) == {"b", "c"}
    assert [profile.listed for profile in found] == [True, True, True]


def test_without_an_install_the_mark_counts(machine: Machine) -> None:
    machine.profile("a")
    machine.profile("b")
    machine.write(TWO)
    assert defaults(find_profiles(machine.system())) == {"a"}


def test_a_default_that_is_gone_does_not_count(machine: Machine) -> None:
    machine.profile("a")
    machine.profile("b")
    machine.write(TWO + "[Install1]\nDefault=gone\n")
    assert defaults(find_profiles(machine.system())) == {"a"}


def test_the_backup_of_the_installs_tells_the_default(machine: Machine) -> None:
    machine.profile("a")
    machine.profile("b")
    machine.write(TWO)
    machine.write("[4F96D1932A9F858E]\nDefault=b\n", "installs.ini")
    assert defaults(find_profiles(machine.system())) == {"b"}


def test_the_only_listed_profile_is_the_default(machine: Machine) -> None:
    machine.profile("a")
    machine.profile("unlisted")
    machine.write("[Profile0]\nName=a\nIsRelative=1\nPath=a\n")
    assert defaults(find_profiles(machine.system())) == {"a"}


def test_of_several_unmarked_profiles_none_is_the_default(machine: Machine) -> None:
    machine.profile("a")
    machine.profile("b")
    machine.write(TWO.replace("Default=1\n", ""))
    assert defaults(find_profiles(machine.system())) == set()


@unix
def test_the_order_is_in_use_last_started_default_name(machine: Machine) -> None:
    machine.profile("old", started=1_500_000_000)
    machine.profile("new", started=1_600_000_000)
    for name in ("z-install", "y-marked", "x-listed", "b", "c"):
        machine.profile(name)
    running = machine.profile("running", started=1_400_000_000)
    machine.write(
        "[Profile0]\nIsRelative=1\nPath=x-listed\n"
        "[Profile1]\nIsRelative=1\nPath=y-marked\nDefault=1\n"
        "[Install1]\nDefault=z-install\n"
    )
    with held(running / ".parentlock"):
        os.utime(running / ".parentlock", (1_400_000_000, 1_400_000_000))
        found = find_profiles(machine.system())
    assert names(found) == [
        "running", "new", "old", "z-install", "y-marked", "b", "c", "x-listed",
    ]  # fmt: skip
    assert [profile.in_use for profile in found] == [True, *[False] * 7]


def test_several_roots_are_looked_at(machine: Machine, tmp_path: Path) -> None:
    legacy = machine.profile("ab.default", root=machine.home / ".mozilla/firefox")
    variable = machine.profile("cd.default", root=tmp_path / "config/mozilla/firefox")
    config = machine.profile("ef.default", root=machine.home / ".config/mozilla/firefox")
    found = find_profiles(machine.system(XDG_CONFIG_HOME=str(tmp_path / "config")))
    assert [profile.path for profile in found] == [legacy, variable, config]


FOUR_ROOTS = (
    ".mozilla/firefox",
    ".config/mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/config/mozilla/firefox",
)


def test_of_copies_in_several_roots_the_last_used_is_first(machine: Machine) -> None:
    """As the first start of the snap leaves it, which copies the folder and then goes its way."""
    key = ec_key()
    builder = StoreBuilder(machine.home / FOUR_ROOTS[0] / "ab12.default")
    builder.add_identity(key, issue(key, "Jane Doe", "WIPO CA", ec_key(9)))
    stale = builder.write()
    for number, root in enumerate(FOUR_ROOTS):
        folder = machine.home / root / "ab12.default"
        if number:
            shutil.copytree(stale, folder)
        (folder.parent / "profiles.ini").write_text("[Profile0]\nName=j\nPath=ab12.default\n")
        (folder / ".parentlock").touch()
        when = 1_700_000_000 + (900 if number == 2 else number)
        os.utime(folder / ".parentlock", (when, when))
    found = find_profiles(machine.system())
    roots = [one.path.parent.relative_to(machine.home).as_posix() for one in found]
    assert roots == [FOUR_ROOTS[number] for number in (2, 3, 1, 0)]
    inventory = take_inventory(found)
    assert len(inventory.identities) == 4
    chosen = choose(inventory.identities, "jane").identity
    assert chosen.profile == found[0]
    assert [copy.profile for copy in inventory.copies_of(chosen)] == list(found[1:])


def test_a_copy_of_a_root_is_another_root(machine: Machine) -> None:
    machine.profile("ab.default", root=machine.home / ".mozilla/firefox")
    machine.profile("ab.default", root=machine.home / ".config/mozilla/firefox")
    assert names(find_profiles(machine.system())) == ["ab.default", "ab.default"]


@unix
def test_a_root_that_links_to_another_is_the_same(machine: Machine) -> None:
    folder = machine.profile("ab.default")
    (machine.home / ".config/mozilla").mkdir(parents=True)
    (machine.home / ".config/mozilla/firefox").symlink_to(machine.root)
    assert [profile.path for profile in find_profiles(machine.system())] == [folder]


@unix
def test_links_to_a_profile_are_the_same_profile(machine: Machine) -> None:
    folder = machine.profile("real")
    (machine.root / "a-link").symlink_to("real")
    (machine.root / "round").symlink_to("round")
    machine.write(
        f"[Profile0]\nIsRelative=1\nPath=real\n[Profile1]\nName=named\nIsRelative=0\n"
        f"Path={machine.root}/a-link\nDefault=1\n"
    )
    (profile,) = find_profiles(machine.system())
    assert (profile.path, profile.name, profile.default) == (folder, "named", True)


@unix
def test_a_link_is_shown_by_its_target_where_both_are_there(machine: Machine) -> None:
    folder = machine.profile("real")
    (machine.root / "a-link").symlink_to("real")
    assert [profile.path for profile in find_profiles(machine.system())] == [folder]


def group(root: Path, **members: str) -> Path:
    """A profile group: the names of its members, and the paths of their folders."""
    (root / GROUPS_FOLDER).mkdir(parents=True)
    path = root / GROUPS_FOLDER / "a1b2c3d4.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE Profiles (id INTEGER PRIMARY KEY, path TEXT, name TEXT)")
        rows = [(path, name) for name, path in members.items()]
        database.executemany("INSERT INTO Profiles (path, name) VALUES (?, ?)", rows)
    return path


GROUPED = """\
[Profile0]
Name=old-name
IsRelative=1
Path=ab12.default-release
StoreID=a1b2c3d4
ShowSelector=1
[Install4F96D1932A9F858E]
Default=ab12.default-release
"""


def test_members_of_a_group_are_found_by_its_names_for_them(machine: Machine) -> None:
    first = machine.profile("ab12.default-release")
    second = machine.profile("OSrQASa5.Profile 1", started=1_700_000_000)
    group(machine.root, Mine=first.name, Firm=second.name, Gone="zz99.gone")
    machine.write(GROUPED)
    found = find_profiles(machine.system())
    assert [(one.path, one.name, one.default, one.listed) for one in found] == [
        (second, "Firm", False, True),
        (first, "Mine", True, True),
    ]


def test_a_member_that_the_list_names_no_more_is_found(machine: Machine, tmp_path: Path) -> None:
    # profiles.ini names the member whose window was last in front, whichever that is.
    listed = machine.profile("ab12.default-release")
    far = machine.profile("x", root=tmp_path / "elsewhere")
    empty = machine.empty_profile("cd34.empty")
    group(machine.root, Far=os.path.relpath(far, machine.root), Empty=empty.name)
    machine.write(GROUPED)
    found = {one.name: one for one in find_profiles(machine.system())}
    assert found.keys() == {"old-name", "Far", "Empty"}
    assert found["old-name"].path == listed
    assert found["Far"].path == far.resolve()
    assert found["Empty"].store is None


def test_a_group_that_no_list_names_is_found(machine: Machine) -> None:
    folder = machine.empty_profile("ab12.member")
    group(machine.root, Firm=folder.name)
    (profile,) = find_profiles(machine.system())
    assert (profile.path, profile.name, profile.default) == (folder, "Firm", False)


def test_a_member_without_a_name_keeps_the_lists(machine: Machine) -> None:
    machine.profile("ab12.default-release")
    group(machine.root, **{"": "ab12.default-release"})
    machine.write(GROUPED)
    assert names(find_profiles(machine.system())) == ["old-name"]


def test_members_of_a_group_do_not_hide_a_lone_default(
    machine: Machine,
) -> None:
    for name in ("a", "b"):
        machine.profile(name)
    group(machine.root, A="a", B="b")
    machine.write("[Profile0]\nIsRelative=1\nPath=a\n")
    assert defaults(find_profiles(machine.system())) == {"A"}


def test_a_groups_path_of_windows_is_found(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "win32")
    folder = machine.empty_profile("Profiles/ofhe6u2x.default-release")
    group(machine.root, Firm="Profiles\\ofhe6u2x.default-release")
    assert [one.path for one in find_profiles(machine.system())] == [folder]


@pytest.mark.parametrize("content", [b"", b"no database at all", b"SQLite format 3\0" * 100])
def test_a_broken_group_does_not_hide_the_folders(machine: Machine, content: bytes) -> None:
    folder = machine.profile("ab")
    group(machine.root, Other="ab").write_bytes(content)
    assert [(one.path, one.name) for one in find_profiles(machine.system())] == [(folder, "ab")]


def test_after_a_refresh_both_profiles_are_found(machine: Machine) -> None:
    new = machine.profile("cd34.default-1", "key4.db", "prefs.js")
    old = machine.profile("ab12.default", root=machine.home / "Desktop/Old Firefox Data")
    machine.write("[Profile0]\nName=default-1\nIsRelative=1\nPath=cd34.default-1\n")
    assert [(one.path, one.store) for one in find_profiles(machine.system())] == [(new, "sqlite")]
    assert [(one.path, one.store) for one in find_left_behind(machine.system())] == [
        (old, "sqlite")
    ]


@unix
def test_use_by_another_machine_can_not_be_told(
    machine: Machine,
) -> None:
    unknown = machine.profile("a-unknown")
    (unknown / "lock").symlink_to("192.0.2.7:+1")
    machine.profile("b-started", started=1_600_000_000)
    found = find_profiles(machine.system())
    # It may not be, so that it is ranked as if it were not.
    assert [(one.name, one.in_use) for one in found] == [("b-started", False), ("a-unknown", None)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"\xff\xfe\x00",
        b"[Profile0]\nPath=/\0x\n",
        b"[Profile0]\nIsRelative=1\nPath=" + b"x" * 5000,
        b"[Profile0]\nIsRelative=1\nPath=" + b"../" * 5000,
        b"[Profile0]\nIsRelative=1\nPath=ab/cert9.db\n",
        b"[Profile0]\nIsRelative=1\nPath=zz\n" + b"#" * (1 << 20),
    ],
)
def test_a_broken_list_does_not_hide_the_folders(machine: Machine, content: bytes) -> None:
    folder = machine.profile("ab")
    machine.write(content)
    assert folder in [profile.path for profile in find_profiles(machine.system())]


@unix
def test_a_fifo_for_a_list_does_not_hide_the_folders(machine: Machine) -> None:
    machine.profile("ab")
    os.mkfifo(machine.root / "profiles.ini")
    os.mkfifo(machine.root / "installs.ini")
    assert names(find_profiles(machine.system())) == ["ab"]


def test_a_file_for_a_root_is_no_root(machine: Machine) -> None:
    machine.root.parent.mkdir(parents=True)
    machine.root.touch()
    assert find_profiles(machine.system()) == ()


def test_a_root_that_may_not_be_read_does_not_hide_the_others(public_machine: Machine) -> None:
    public_machine.profile("hidden")
    public_machine.profile("seen", root=public_machine.home / ".config/mozilla/firefox")
    with closed(public_machine.root):
        assert names(find_profiles(public_machine.system())) == ["seen"]


def test_an_unreadable_profile_is_there_without_a_store(public_machine: Machine) -> None:
    folder = public_machine.profile("ab", started=1_600_000_000)
    public_machine.write("[Profile0]\nName=shut\nIsRelative=1\nPath=ab\n")
    with closed(folder):
        (profile,) = find_profiles(public_machine.system())
    assert (profile.name, profile.store, profile.last_used) == ("shut", None, None)


def test_the_scan_of_a_folder_ends(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder.SCAN_LIMIT <= 10_000
    for number in range(10):
        machine.profile(str(number))
    monkeypatch.setattr(folder, "SCAN_LIMIT", 3)
    assert len(find_profiles(machine.system())) == 3


def test_two_searches_give_equal_results(machine: Machine) -> None:
    for name in "cab":
        machine.profile(name)
    assert find_profiles(machine.system()) == find_profiles(machine.system())


@unix
def test_no_search_changes_anything(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    running = machine.profile("a", started=1_600_000_000)
    machine.profile("b", started=1_700_000_000)
    (machine.root / "b/lock").symlink_to("127.0.0.1:+1")
    machine.empty_profile("c")
    machine.write(TWO)
    monkeypatch.chdir(machine.home)
    texts = ["a", "b", "c", "none", str(machine.root), str(running / "key4.db"), "~", "missing/x"]
    with held(running / ".parentlock"):
        before = snapshot(machine.home)
        find_profiles(machine.system())
        for text in texts:
            try:
                resolve_profiles([text], machine.system())
            except NssBackupError:
                continue
        assert snapshot(machine.home) == before


def test_importing_the_package_loads_no_heavy_module() -> None:
    code = (
        "import sys, nssbackup.identity.model; before = set(sys.modules);"
        "import nssbackup.profiles;"
        "print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert "nssbackup.profiles.locate" in loaded
    assert not loaded & {"configparser", "ctypes", "sqlite3", "asyncio", "subprocess", "logging"}


HOSTILE = st.sampled_from(
    [b"[Profile0]", b"[Install1]", b"[", b"]", b"Path=", b"Name=", b"Default=", b"IsRelative=1",
     b"\n", b"\n", b"\n", b"\r", b"=", b"1", b"ab", b"..", b"/", b"~/", b"\\", b"C:", b"\0",
     b"\xff", b"\xc3\xa4", b"\xff\xfe", b"\xef\xbb\xbf", b"#", b" ", b"x" * 300]
)  # fmt: skip


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@given(content=st.binary() | st.lists(HOSTILE, max_size=30).map(b"".join))
def test_any_bytes_for_lists_give_a_result(
    tmp_path_factory: pytest.TempPathFactory, platform: Platform, content: bytes
) -> None:
    machine = Machine(tmp_path_factory.getbasetemp() / f"any-bytes-{platform}", platform)
    if not machine.root.exists():
        machine.profile("ab")
    machine.write(content)
    machine.write(content, "installs.ini")
    found = find_profiles(machine.system())
    assert machine.root / "ab" in [profile.path for profile in found]

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from nssbackup.errors import NssBackupError
from nssbackup.identity.choosing import choose
from nssbackup.identity.model import Profile
from nssbackup.profiles import find_profiles, folder, resolve_profiles
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


@pytest.mark.parametrize(
    "name", ["Crash Reports", "Pending Pings", "Background Tasks Profiles", "Profile Groups"]
)
def test_folders_for_other_things_are_passed_over(machine: Machine, name: str) -> None:
    machine.profile(name)
    assert find_profiles(machine.system()) == ()


def test_a_listed_profile_without_a_folder_is_left_out(machine: Machine) -> None:
    machine.write("[Profile0]\nName=gone\nIsRelative=1\nPath=gone\n[Install1]\nDefault=gone\n")
    assert find_profiles(machine.system()) == ()


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


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        (TWO + "[Install4F96D1932A9F858E]\nDefault=b\nLocked=1\n", {"b"}),
        (TWO + "[Install1]\nDefault=b\n[Install2]\nDefault=c\n", {"b", "c"}),
        (TWO + "[Install1]\nDefault=gone\n", {"a"}),
        (TWO, {"a"}),
        ("[Profile0]\nName=a\nIsRelative=1\nPath=a\n", {"a"}),
        (TWO.replace("Default=1\n", ""), set()),
    ],
    ids=["install", "installs", "install gone", "marked", "alone", "none"],
)
def test_the_default_is_an_installs_the_marked_or_the_only_one(
    machine: Machine, lists: str, expected: set[str]
) -> None:
    for name in "abc":
        machine.profile(name)
    machine.write(lists)
    assert defaults(find_profiles(machine.system())) == expected


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


def test_members_of_a_group_do_not_hide_a_lone_default(
    machine: Machine,
) -> None:
    for name in ("a", "b"):
        machine.profile(name)
    group(machine.root, A="a", B="b")
    machine.write("[Profile0]\nIsRelative=1\nPath=a\n")
    assert defaults(find_profiles(machine.system())) == {"A"}


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

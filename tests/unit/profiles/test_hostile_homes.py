"""What somebody with a home can do to a run over all homes: nothing but fail his own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nssbackup.batch.options import BatchOptions, Roots
from nssbackup.batch.search import UserSearch
from nssbackup.batch.user_backup import back_up_user
from nssbackup.batch.users import Source, User, find_users
from nssbackup.profiles.locate import find_left_behind, search_home
from nssbackup.profiles.system import System
from nssbackup.system.ownership import homes_of
from tests import is_root
from tests.builders.store import StoreBuilder, ec_key, issue
from tests.fuzz import guard
from tests.unit.profiles.machine import Machine
from tests.unit.profiles.test_lock import unix

pytestmark = unix

JANE, BOB, EVE = 47_001, 47_002, 47_003
as_root = pytest.mark.skipif(not is_root(), reason="only root has another's rights to take")


def chain(folder: Path, links: int, end: str) -> None:
    """So many links, `l0` to `l1` and so on, and the last one to `end`."""
    for number in range(links - 1):
        (folder / f"l{number}").symlink_to(f"l{number + 1}")
    (folder / f"l{links - 1}").symlink_to(end)


def options(folder: Path) -> BatchOptions:
    return BatchOptions(Roots(), folder / "backups", "host", dry_run=True)


def test_a_chain_of_links_is_that_homes_failure(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "homes/eve")
    machine.home.mkdir(parents=True)
    Machine(tmp_path / "homes/jane").profile("ab12.default")
    chain(machine.home, 1_500, "elsewhere")
    (machine.home / ".mozilla").symlink_to("l0")
    with guard.limits():
        (eve, jane), _ = find_users(Roots(any_kind=(tmp_path / "homes",)))
        assert search_home(eve.sources[0].system).profiles == ()
        (failure,) = UserSearch.of(eve, options(tmp_path)).failures
        assert "symbolic links" in failure.error.message
        assert UserSearch.of(jane, options(tmp_path)).failures == []


def test_a_chain_of_links_to_ones_own_desktop_leads_nowhere(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    profile = machine.profile("ab12.default", root=machine.home / "Old Firefox Data")
    chain(machine.home, 1_500, "elsewhere")
    (machine.home / "Desktop").symlink_to("l0")
    assert [one.path for one in find_left_behind(machine.system())] == [profile]


LISTS = {
    "relative": ("1", "l0/" * 8),
    "absolute": ("0", "/home/eve/.mozilla/firefox/" + "l0/" * 8),
    "short": ("0", "/a/"),
    "long": ("0", "/" + "a/" * 1_900),
    "climbing": ("1", "l0/../" * 300),
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_a_megabyte_behind_links_is_that_homes_failure(tmp_path: Path, kind: str) -> None:
    relative, path = LISTS[kind]
    machine = Machine(tmp_path / "eve")
    machine.root.mkdir(parents=True)
    chain(machine.root, 30, ".")
    entry = "[Profile{0}]\nIsRelative={1}\nPath={2}x{0}\n"
    count = (1 << 20) // len(entry.format(99_999, relative, path))
    machine.write("".join(entry.format(number, relative, path) for number in range(count)))
    user = User("eve", (Source("eve", machine.home, is_home=True),))
    with guard.limits():
        search = UserSearch.of(user, options(tmp_path))
    assert search.profiles == []
    (failure,) = search.failures
    assert "lead through too many folders" in failure.error.message


def test_a_deep_path_with_more_folders_than_descriptors_hides_no_link(tmp_path: Path) -> None:
    home = tmp_path / "home"
    deep = home.joinpath(*["a"] * 300)
    deep.mkdir(parents=True)
    (deep / "link").symlink_to(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        assert not System.of_home(home).holds(deep / "link")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Exchanges the profile for a link to somebody else's, and back.
RACER = """
import os, sys
user, profile, others = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
print("ready", flush=True)
while True:
    for other in others:
        os.rename(profile, profile + ".spare")
        os.symlink(other, profile)
        os.unlink(profile)
        os.rename(profile + ".spare", profile)
"""


@contextmanager
def racing(user: int, profile: Path, *others: Path) -> Iterator[None]:
    words: list[str | Path] = [sys.executable, "-c", RACER, str(user), profile, *others]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.kill()


def home_of(top: Path, name: str, user: int, person: str) -> Path:
    """The home of a person who has a certificate."""
    key = ec_key(user)
    folder = Machine(top / name).root / "ab12.default"
    builder = StoreBuilder(folder)
    builder.add_identity(key, issue(key, person, "WIPO CA", ec_key(9)))
    builder.write()
    (top / name).chmod(0o755)
    for path in (top / name, *(top / name).rglob("*")):
        os.chown(path, user, user)
    folder.chmod(0o700)
    return top / name


@pytest.fixture
def top() -> Iterator[Path]:
    """A folder that anybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@as_root
def test_of_two_homes_with_one_name_none_lets_a_third_persons_profile_in(
    top: Path, *, every_fault: bool
) -> None:
    homes = [home_of(top, "a/eve", EVE, "Eve"), home_of(top, "b/eve", JANE, "Jane")]
    victim = home_of(top, "bob", BOB, "Bob")
    profile = Path(".mozilla/firefox/ab12.default")
    user = User("eve", tuple(Source("eve", home, is_home=True) for home in homes))
    seen: set[str | None] = set()
    with racing(EVE, homes[0] / profile, victim / profile):
        for _ in range(400 if every_fault else 100):
            with homes_of(homes):
                search = UserSearch.of(user, options(top))
                inventory = search.inventory()
            seen |= (
                {one.certificate.common_name for one in inventory.identities}
                if inventory
                else set()
            )
    assert seen == {"Eve", "Jane"}


def test_a_link_that_goes_away_is_no_fault_of_ours(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    profile = machine.profile("ab12.default")
    system = machine.system()
    with racing(os.geteuid(), profile, machine.home):
        for _ in range(20_000):
            assert system.real(profile) in (str(profile), str(machine.home))


@as_root
@pytest.mark.parametrize("root", ["redir", "redir/eve", "redir/eve/Mozilla/Firefox"])
def test_a_link_in_redirected_appdata_lets_no_other_profile_in(top: Path, root: str) -> None:
    """The folder of the user is below the share; a link in it leads to somebody else's."""
    victim = home_of(top, "bob", BOB, "Bob")
    (top / "redir/eve/Mozilla").mkdir(parents=True)
    (top / "redir/eve/Mozilla/Firefox").symlink_to(victim / ".mozilla/firefox")
    (victim / ".mozilla/firefox/profiles.ini").touch()
    for path in (top / "redir/eve", top / "redir/eve/Mozilla"):
        os.chown(path, EVE, EVE)
    users, _ = find_users(Roots(any_kind=(top / root,)))
    items = [item for user in users for item in back_up_user(user, options(top)).items]
    assert [item.status for item in items] == ["failed"]


@as_root
def test_a_profile_that_changes_places_is_no_fault_of_ours(top: Path, *, every_fault: bool) -> None:
    """Nothing is raised but errors of ours, whatever moment the profile is moved at."""
    home = home_of(top, "eve", EVE, "Eve")
    profile = home / ".mozilla/firefox/ab12.default"
    user = User("eve", (Source("eve", home, is_home=True),))
    others = (home, Path("nowhere"), profile, Path("ab12.default.spare/key4.db"), Path("/"))
    with racing(EVE, profile, *others):
        for _ in range(400 if every_fault else 100):
            outcome = back_up_user(user, options(top))
            assert [one.home for one in outcome.homes] == [str(home)]

"""A restore that is killed, or fails, at any of its writes: the old pair or the new one, no other.

Each call with which it changes a file of the profile is the last one once, and fails once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nssbackup.engines import open_store
from nssbackup.errors import NoStoreError
from nssbackup.model import Profile
from nssbackup.secret import Secret
from tests.cli.runner import COMMAND, Cli
from tests.peers import need
from tests.peers.exports import FIXTURES, Expected, exported
from tests.peers.faults import Faulty, Mode, missing
from tests.peers.firefox import Firefox
from tests.peers.nss import available
from tests.peers.restores import BACKUP_PASSWORD, identity_of, password_of

State = tuple[frozenset[str], frozenset[str]]
"""The certificates of a store, and those of them whose key can be taken out."""

_CASES = ("nss387-password-unicode", "firefox-nopassword", "no-databases", "cert9-alone")


@dataclass
class Scene:
    """A user, a profile, and a restore to it."""

    cli: Cli
    case: str
    expected: Expected

    @property
    def folder(self) -> Path:
        return self.cli.home / "profile"

    @property
    def primary(self) -> str:
        return password_of(self.case)

    def lay(self) -> None:
        """The profile as it is before, and nothing else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        names = {"no-databases": (), "cert9-alone": ("cert9.db",)}.get(
            self.case, ("cert9.db", "key4.db")
        )
        source = "nss387-nopassword" if self.case == "cert9-alone" else self.case
        for name in names:
            shutil.copy(FIXTURES / "profiles" / source / name, self.folder)

    def command(self) -> Faulty:
        primary = self.cli.file("primary", f"{self.primary}\n")
        password = self.cli.file("password", f"{BACKUP_PASSWORD}\n")
        pfx = exported(self.expected, BACKUP_PASSWORD, "modern")
        return Faulty(
            [
                *(*COMMAND, "restore", pfx, "--profile", self.folder, "--json"),
                *("--password-file", password, "--primary-password-file", primary),
            ],
            self.folder,
            self.cli.variables(),
        )

    def state(self) -> State:
        """What our reader sees; it changes nothing."""
        profile = Profile(self.folder, "profile", "Firefox", store="sqlite")
        before = self.bytes()
        try:
            with open_store(profile, "native") as store:
                store.unlock(Secret(self.primary if (self.folder / "key4.db").exists() else ""))
                every = store.certificates()
                mine = [one for one in every if one.has_private_key]
                for one in mine:
                    store.private_key(one)
                return (
                    frozenset(one.sha256 for one in every),
                    frozenset(one.sha256 for one in mine),
                )
        except NoStoreError:
            return frozenset(), frozenset()
        finally:
            assert self.bytes() == before

    def recover(self) -> None:
        """Have NSS open the store to write to it, as Firefox does."""
        if (self.folder / "key4.db").exists():
            database = available()[-1].database(self.folder, password=self.primary or None)
            database.certutil("-L", "-X")
            database.keys()

    def bytes(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def stride(request: pytest.FixtureRequest) -> int:
    """How far apart the calls are that are tried: some three hundred take minutes each time."""
    return 1 if request.config.getoption("--every-fault") else 16


@pytest.fixture(params=_CASES)
def scene(request: pytest.FixtureRequest, tmp_path: Path, require_peers: bool) -> Scene:
    need(missing(), required=require_peers)
    need(None if available() else "no NSS tools", required=require_peers)
    return Scene(Cli(tmp_path), request.param, identity_of("chain3"))


def _states(scene: Scene) -> tuple[State, State, list[str]]:
    """What is seen before and after a restore, and the calls that it takes."""
    scene.lay()
    old = scene.state()
    calls = scene.command().calls(scene.cli.folder / "calls")
    new = scene.state()
    assert set(scene.expected.certificates) <= new[0]
    assert new[1] == {*old[1], scene.expected.fingerprint}
    return old, new, calls


@pytest.mark.parametrize("mode", ["kill", "torn"])
def test_killed_at_any_call_there_is_the_old_pair_or_the_new_one(
    scene: Scene, mode: Mode, stride: int
) -> None:
    old, new, calls = _states(scene)
    writes = ("write", "pwrite", "pwrite64")
    seen = set()
    for at in _share(calls, stride, lambda name: mode == "kill" or name in writes):
        scene.lay()
        done = scene.command().run(mode, at)
        assert done.returncode == -9, (at, calls[at - 1], done.stderr)
        found = scene.state()
        assert found in (old, new), (at, calls[at - 1])
        scene.recover()
        assert scene.state() == found, (at, calls[at - 1])
        seen.add(found)
        # What a kill leaves behind stands in the way of nothing.
        if at % 5 == 0:
            scene.command().calls(scene.cli.folder / "again")
            assert scene.state() == new
    assert old in seen


def test_killed_in_its_commit_firefox_has_the_old_pair_or_the_new_one(
    scene: Scene, require_peers: bool
) -> None:
    need(Firefox.missing(), required=require_peers)
    old, new, calls = _states(scene)
    # The last writes are those to the databases themselves; the journals go after them.
    unlinked = [at for at, name in enumerate(calls, 1) if name in ("unlink", "unlinkat")]
    for at in unlinked[-3:-1]:
        scene.lay()
        assert scene.command().run("kill", at).returncode == -9
        found = scene.state()
        assert found in (old, new)
        with Firefox(scene.folder, password=scene.primary or None) as firefox:
            listed = {one.sha256 for one in firefox.certificates()}
        assert listed == found[1]


@pytest.mark.parametrize("mode", ["fail", "full"])
def test_failed_at_any_call_it_says_so_and_the_profile_is_as_it_was_to_the_byte(
    scene: Scene, mode: Mode, stride: int
) -> None:
    old, new, calls = _states(scene)
    scene.lay()
    before = scene.bytes()
    for at in _share(calls, stride, lambda _: True):
        scene.lay()
        done = scene.command().run(mode, at)
        place = (at, calls[at - 1], done.stdout, done.stderr)
        if done.returncode == 0:  # the call was one that it can do without
            assert scene.state() == new, place
            continue
        assert done.returncode == 40, place
        error = json.loads(done.stdout)["error"]
        assert error["status"] == 40
        assert "Traceback" not in done.stderr.decode()
        assert scene.state() == old, place
        assert scene.bytes() == before, place
        assert [path for path in scene.folder.iterdir() if path.is_dir()] == [], place
        assert list(scene.cli.temporary.iterdir()) == [], place


def _share(calls: list[str], stride: int, wanted: Callable[[str], bool]) -> Iterator[int]:
    """The numbers of the calls to try: every one, or every so many; the last ones always."""
    numbers = [at for at, name in enumerate(calls, 1) if wanted(name)]
    commit = numbers[-4:]
    yield from sorted({*numbers[::stride], *commit})

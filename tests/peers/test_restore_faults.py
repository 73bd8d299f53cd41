"""A restore that is killed, or fails, at any of its writes: the old pair or the new one, no other.

Each call with which it changes a file of the profile is the last one once, and fails once; NSS and
Firefox say what they make of what is there then. All else that it touches: tests/faults.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.scenes import Restore, State
from tests.peers import need
from tests.peers.faults import Call, Fault, Mode, Warm, missing
from tests.peers.firefox import Firefox
from tests.peers.nss import available
from tests.peers.restores import password_of

_CASES = ("nss387-password-unicode", "firefox-nopassword", "no-databases", "cert9-alone")


class _Scene(Restore):
    """A restore to a profile, of which what changes the profile counts."""

    @property
    def folders(self) -> tuple[Path, ...]:
        return (self.profile,)

    def recover(self) -> None:
        """Have NSS open the store to write to it, as Firefox does."""
        if (self.profile / "key4.db").exists():
            password = password_of(self.case) or None
            database = available()[-1].database(self.profile, password=password)
            database.certutil("-L", "-X")
            database.keys()


@pytest.fixture
def stride(request: pytest.FixtureRequest) -> int:
    """How far apart the calls are that are tried: some three hundred take minutes each time."""
    return 1 if request.config.getoption("--every-fault") else 16


@pytest.fixture(params=_CASES)
def scene(request: pytest.FixtureRequest, tmp_path: Path, require_peers: bool) -> _Scene:
    need(missing(), required=require_peers)
    need(None if available() else "no NSS tools", required=require_peers)
    return _Scene(tmp_path, request.param)


def _states(scene: _Scene, warm: Warm) -> tuple[State, State, list[Call]]:
    """What is seen before and after a restore, and the calls that it takes."""
    scene.lay()
    warm.learn(*scene.words)
    scene.lay()
    old = scene.state()
    calls, done = warm.calls(*scene.words)
    assert done.status == 0, done.stderr
    new = scene.state()
    assert set(scene.expected.certificates) <= new[0]
    assert new[1] == {*old[1], scene.expected.fingerprint}
    return old, new, calls


@pytest.mark.parametrize("mode", ["kill", "torn"])
def test_killed_anywhere_there_is_the_old_pair_or_the_new(
    scene: _Scene, mode: Mode, stride: int
) -> None:
    writes = ("write", "pwrite", "pwrite64")
    seen = set()
    with scene.warm(reads=False) as warm:
        old, new, calls = _states(scene, warm)
        for at in _share(calls, stride, lambda name: mode == "kill" or name in writes):
            scene.lay()
            done = warm.run(scene.words, Fault(mode, at))
            assert done.status == -9, (at, calls[at - 1], done.stderr)
            found = scene.state()
            assert found in (old, new), (at, calls[at - 1])
            scene.recover()
            assert scene.state() == found, (at, calls[at - 1])
            seen.add(found)
            # What a kill leaves behind stands in the way of nothing.
            if at % 5 == 0:
                assert warm.run(scene.words).status == 0
                assert scene.state() == new
    assert old in seen


def test_killed_in_its_commit_firefox_has_the_old_pair_or_new(
    scene: _Scene, require_peers: bool
) -> None:
    need(Firefox.missing(), required=require_peers)
    with scene.warm(reads=False) as warm:
        old, new, calls = _states(scene, warm)
        # The last writes are those to the databases themselves; the journals go after them.
        unlinked = [at for at, call in enumerate(calls, 1) if call.name in ("unlink", "unlinkat")]
        moments = unlinked[-3:-1]
        assert len(moments) == 2, calls
        for at in moments:
            scene.lay()
            assert warm.run(scene.words, Fault("kill", at)).status == -9
            found = scene.state()
            assert found in (old, new)
            with Firefox(scene.profile, password=password_of(scene.case) or None) as firefox:
                listed = {one.sha256 for one in firefox.certificates()}
            assert listed == found[1]


@pytest.mark.parametrize("mode", ["fail", "full"])
def test_failed_anywhere_it_says_so_and_changes_no_byte(
    scene: _Scene, mode: Mode, stride: int
) -> None:
    with scene.warm(reads=False) as warm:
        old, new, calls = _states(scene, warm)
        scene.lay()
        before = scene.bytes()
        for at in _share(calls, stride, lambda _: True):
            scene.lay()
            done = warm.run(scene.words, Fault(mode, at))
            place = (at, calls[at - 1], done.stdout, done.stderr)
            if done.status == 0:  # the call was one that it can do without
                assert scene.state() == new, place
                continue
            assert done.status == 40, place
            error = json.loads(done.stdout)["error"]
            assert error["status"] == 40
            assert "Traceback" not in done.stderr
            assert scene.state() == old, place
            assert scene.bytes() == before, place
            assert [path for path in scene.profile.iterdir() if path.is_dir()] == [], place
            assert list(scene.cli.temporary.iterdir()) == [], place


def _share(calls: Sequence[Call], stride: int, wanted: Callable[[str], bool]) -> Iterator[int]:
    """The numbers of the calls to try: every one, or every so many; the last ones always."""
    numbers = [at for at, call in enumerate(calls, 1) if wanted(call.name)]
    commit = numbers[-4:]
    yield from sorted({*numbers[::stride], *commit})

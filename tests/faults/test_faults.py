"""Killed, or refused, at any call that touches a file: what was there, or the new and verified one.

`restore` is tried further in tests/peers/test_restore_faults.py, where NSS and Firefox say what
they make of it.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.scenes import (
    NEW_NAME,
    SCENES,
    Export,
    ExportOver,
    RestoreFresh,
    Scene,
    State,
)
from tests.peers import need
from tests.peers.faults import Call, Done, Fault, Mode, Warm, missing

ERRORS = ("EIO", "ENOSPC", "EROFS", "EACCES", "EINTR", "EDQUOT")

# What a killed run may leave: a file that never got its name, a copy of the databases, and in the
# profile what SQLite or the next run makes good.
_LEFT = re.compile(
    r"here/\.nssbackup-[0-9a-f]{16}\.tmp|temporary/\.nssbackup-copy-[a-z0-9_]{8}/.*"
    r"|home/profile/(\.nssbackup-[0-9a-f]{16}\.tmp|(key4|cert9)\.db-(journal|mj[0-9A-F]{9}))"
)


@pytest.fixture
def _every(request: pytest.FixtureRequest) -> None:
    """Only where all calls are to be tried, which takes an hour."""
    if not request.config.getoption("--every-fault"):
        pytest.skip("a long run: --every-fault")


@pytest.fixture(params=SCENES, ids=[each.name for each in SCENES])
def scene(request: pytest.FixtureRequest, tmp_path: Path, require_peers: bool) -> Scene:
    need(missing(), required=require_peers)
    made: Scene = request.param(tmp_path)
    return made


def _learned(scene: Scene, warm: Warm) -> tuple[State, State, list[Call]]:
    """What is there before and after the command, and the calls that it takes."""
    scene.lay()
    warm.learn(*scene.words)
    scene.lay()
    old = scene.state()
    calls, done = warm.calls(*scene.words)
    assert done.status == 0, done.stderr
    assert (scene.leftovers(), scene.secrets()) == ([], [])
    return old, scene.state(), calls


class Trial:
    """A scene, the process to run it from, and what there is before and after."""

    def __init__(self, scene: Scene, warm: Warm) -> None:
        self.scene = scene
        self.warm = warm
        self.old, self.new, self.calls = _learned(scene, warm)

    def kill(self, mode: Mode, at: int, *, again: bool = False) -> bool:
        """Have it killed at a call; whether it left anything."""
        scene = self.scene
        scene.lay()
        place = (scene.name, mode, at, str(self.calls[at - 1]))
        assert self.warm.run(scene.words, Fault(mode, at)).status == -9, place
        found = scene.state()
        assert found in (self.old, self.new), place
        assert scene.secrets() == [], place
        leftovers = [str(path.relative_to(scene.cli.folder)) for path in scene.leftovers()]
        assert [one for one in leftovers if not _LEFT.fullmatch(one)] == [], place
        # It stands in the way of nothing, and the copies of databases are gone after that.
        if (leftovers or again) and found == self.old:
            done = self.warm.run(scene.words)
            assert done.status == 0, (place, done)
            assert scene.state() == self.new, place
            if scene.name.startswith("restore"):
                assert list(scene.cli.temporary.glob(".nssbackup*")) == [], place
        return bool(leftovers)

    def refuse(self, at: int, number: int) -> int | None:
        """Have it refused a call; the status that it ended with."""
        scene, call = self.scene, self.calls[at - 1]
        scene.lay()
        done = self.warm.run(scene.words, Fault("fail", at, number))
        place = (scene.name, errno.errorcode[number], at, str(call), done)
        assert scene.state() in ((self.new,) if done.status == 0 else (self.old, self.new)), place
        assert scene.secrets() == [], place
        self._check_words(done, place)
        # What can't be removed because that was refused stays, and nothing else.
        leftovers = [path for path in scene.leftovers() if str(path.parent) not in call.path]
        assert leftovers == [] or call.name in ("unlink", "rmdir", "opendir"), place
        return done.status

    def fill(self, at: int) -> None:
        """Have the disk full from a call on."""
        scene = self.scene
        scene.lay()
        done = self.warm.run(scene.words, Fault("full", at))
        place = (scene.name, "full", at, str(self.calls[at - 1]), done)
        assert scene.state() == (self.new if done.status == 0 else self.old), place
        assert (scene.secrets(), scene.leftovers()) == ([], []), place
        self._check_words(done, place)
        if done.status != 0:
            message = json.loads(done.stdout)["error"]["message"]
            assert re.search("no space left|disk|full|unable to open", message), place

    def _check_words(self, done: Done, place: object) -> None:
        assert "Traceback" not in done.stderr, place
        document = json.loads(done.stdout)
        if done.status != 0:
            assert done.status in self.scene.statuses, place
            _check_sentence(document, done.status)


def test_a_share_of_all_faults(scene: Scene) -> None:
    """So many as take a few seconds; the tests below try every one."""
    if isinstance(scene, RestoreFresh):
        pytest.skip("tests/peers/test_restore_faults.py has its share")
    with scene.warm(reads=False) as warm:
        trial = Trial(scene, warm)
        calls = trial.calls
        naming = ("link", "linkat", "rename", "fdatasync")
        decisive = [at for at, call in enumerate(calls, 1) if call.name in naming][-3:]
        for at in {1, len(calls) // 2, *decisive}:
            trial.kill("kill", at)
        writes = [at for at, call in enumerate(calls, 1) if "write" in call.name]
        trial.kill("torn", writes[-1])
        for turn, error in enumerate(ERRORS):
            trial.refuse(1 + (turn * len(calls)) // len(ERRORS), getattr(errno, error))
        trial.fill(writes[-1])


@pytest.mark.usefixtures("_every")
@pytest.mark.parametrize("mode", ["kill", "torn"])
def test_killed_anywhere_it_is_done_or_it_is_not(scene: Scene, mode: Mode) -> None:
    with scene.warm(reads=mode == "kill") as warm:
        trial = Trial(scene, warm)
        points = [
            at for at, call in enumerate(trial.calls, 1) if mode == "kill" or "write" in call.name
        ]
        left = sum(trial.kill(mode, at, again=at % 7 == 0) for at in points)
    print(f"{scene.name}: {mode} at {len(points)} calls, {left} with leftovers")  # noqa: T201 - the figures of a long run


@pytest.mark.usefixtures("_every")
@pytest.mark.parametrize("error", ERRORS)
def test_refused_anywhere_it_says_so_and_is_done_or_is_not(scene: Scene, error: str) -> None:
    # A call that only reads is refused for few reasons.
    with scene.warm(reads=error in ("EIO", "EACCES", "EINTR")) as warm:
        trial = Trial(scene, warm)
        number = getattr(errno, error)
        ends = Counter(trial.refuse(at, number) for at in range(1, len(trial.calls) + 1))
    print(f"{scene.name}: {error} at {len(trial.calls)} calls: {dict(ends)}")  # noqa: T201 - see above


def _check_sentence(document: dict[str, dict[str, object]], status: int) -> None:
    """An error is one clause in lower case without a full stop."""
    error = document["error"]
    message = str(error["message"])
    assert error["status"] == status
    assert message
    assert message[0] == message[0].lower()
    assert "\n" not in message
    assert not message.endswith(".")


@pytest.mark.usefixtures("_every")
def test_a_disk_that_is_full_from_any_call_on(scene: Scene) -> None:
    with scene.warm(reads=False) as warm:
        trial = Trial(scene, warm)
        for at in range(1, len(trial.calls) + 1):
            trial.fill(at)


def test_what_a_killed_run_left_is_gone_after_the_next(tmp_path: Path, require_peers: bool) -> None:
    need(missing(), required=require_peers)
    scene = ExportOver(tmp_path)
    with scene.warm(reads=False) as warm:
        _, new, calls = _learned(scene, warm)
        (at,) = (at for at, call in enumerate(calls, 1) if call.name == "rename")
        scene.lay()
        assert warm.run(scene.words, Fault("kill", at)).status == -9
        assert len(scene.leftovers()) == 1
        assert warm.run(scene.words).status == 0
        assert (scene.leftovers(), scene.state()) == ([], new)


# --- there is no vfat in most containers' kernels: what it answers is put in place of the answers


@pytest.mark.parametrize("kind", [Export, ExportOver])
def test_on_vfat_it_is_written_and_the_lack_of_modes_told(
    kind: type[Scene], tmp_path: Path, require_peers: bool
) -> None:
    need(missing(), required=require_peers)
    scene = kind(tmp_path)
    vfat = {"FAULT_VFAT": "1"}
    with scene.warm(reads=False) as warm:
        old, new, _ = _learned(scene, warm)
        scene.lay()
        log = scene.cli.folder / "vfat"
        done = warm.run(scene.words, more={**vfat, "FAULT_LOG": str(log)})
        assert (done.status, scene.state()) == (0, new)
        assert "keeps no file permissions" in done.stderr
        assert (scene.leftovers(), scene.secrets()) == ([], [])
        calls = log.read_text().splitlines()
        for at, call in enumerate(calls, 1):
            if "rename" in call or "write" in call:
                scene.lay()
                killed = warm.run(scene.words, Fault("kill", at), more=vfat)
                assert killed.status == -9
                assert scene.state() in (old, new), call
                assert scene.secrets() == []


@pytest.mark.parametrize(
    ("clock", "status"),
    [("0", "not-yet-valid"), ("4102444800", "expired")],
)
def test_a_clock_that_is_far_off_is_no_obstacle(
    tmp_path: Path, require_peers: bool, clock: str, status: str
) -> None:
    need(missing(), required=require_peers)
    scene = Export(tmp_path)
    with scene.warm(reads=False) as warm:
        _, new, _ = _learned(scene, warm)
        scene.lay()
        # Named, for what is not valid is not chosen by itself.
        done = warm.run((*scene.words, "Jane Doe"), more={"FAULT_CLOCK": clock})
        assert (done.status, scene.state()) == (0, new), done
        assert json.loads(done.stdout)["identity"]["status"] == status
        assert (scene.cli.here / NEW_NAME).stat().st_size > 1000


@pytest.mark.usefixtures("_every")
def test_the_library_sees_every_call_that_the_kernel_sees(
    scene: Scene, tmp_path: Path, require_peers: bool
) -> None:
    """Or the points above would not be all there are."""
    need(None if shutil.which("strace") else "no strace is installed", required=require_peers)
    with scene.warm(reads=True) as warm:
        _, _, calls = _learned(scene, warm)
    scene.lay()
    words = ["strace", "-f", "-y", "-s", "0", "-e", "trace=file,desc", "-o", str(tmp_path / "seen")]
    assert scene.cli.run(*scene.words, prefix=words).status == 0
    seen: dict[str, int] = {}
    for shown in (tmp_path / "seen").read_text().splitlines():
        # The current folder is shown with every path, also with one that doesn't depend on it.
        line = re.sub(r'AT_FDCWD<[^>]*>, "/', '"/', shown)
        found = re.match(r"\d+ +(\w+)\((.*)\) = ", line)
        if found and any(str(folder) in found[2] for folder in scene.folders):
            seen[found[1]] = seen.get(found[1], 0) + 1
    counted: dict[str, int] = {}
    for call in calls:
        counted[call.name] = counted.get(call.name, 0) + 1
    print(scene.name, seen, counted)  # noqa: T201 - see above
    for kind, names in _KINDS.items():
        # One more, as Python may look into the current folder when it starts.
        assert sum(seen.get(name, 0) for name in kind.split()) <= 1 + sum(
            counted.get(name, 0) for name in names.split()
        ), kind


# The kernel's calls, and the C library's.
_KINDS = {
    "open openat": "open open64 openat openat64 opendir",
    "write pwrite64": "write pwrite pwrite64",
    "read pread64": "read pread pread64",
    "unlink unlinkat rmdir": "unlink unlinkat rmdir",
    "link linkat": "link linkat",
    "rename renameat renameat2": "rename renameat",
    "mkdir mkdirat": "mkdir mkdirat",
    "fsync fdatasync": "fsync fdatasync",
    "ftruncate truncate": "ftruncate ftruncate64 truncate truncate64",
    "chmod fchmod fchmodat": "chmod fchmod fchmodat",
    "chown lchown fchown fchownat": "chown lchown fchown",
}

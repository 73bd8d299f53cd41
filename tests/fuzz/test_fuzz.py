"""The short run: every seed, every input that was once a finding, and some hundred changed seeds.

No input may raise anything but our errors, take five seconds or 256 MB, or write outside its
folder. `python -m tests.fuzz` is the long run.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from nssbackup.errors import UsageError
from tests.fuzz import guard, scratch
from tests.fuzz.mutation import mutants
from tests.fuzz.target import Target, expose
from tests.fuzz.targets import TARGETS

REGRESSIONS = Path(__file__).parent / "regressions"
MUTANTS = 250
# Files have to be written for these.
SLOW = {"database": 60, "journal": 40, "legacy": 60, "groups": 60, "state": 60, "rows": 120}


@pytest.fixture(autouse=True)
def _own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def regressions(target: Target) -> list[Path]:
    return sorted(REGRESSIONS.glob(f"{target.name}/*"))


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_no_input_gets_out_of_hand(target: Target) -> None:
    seeds = [seed[: target.size] for seed in target.seeds()]
    assert seeds
    inputs = [path.read_bytes() for path in regressions(target)]
    inputs += [*seeds, *mutants(seeds, SLOW.get(target.name, MUTANTS), target.size)]
    for data in inputs:
        with guard.limits():
            expose(target, data)


def test_every_finding_has_its_target() -> None:
    assert {folder.name for folder in REGRESSIONS.iterdir()} <= set(TARGETS)


# As in pyproject.toml.
HAS_WHEEL = (
    sys.platform == "linux" and platform.machine() == "x86_64" and sys.version_info < (3, 15)
)


def test_a_few_seconds_of_the_long_run(tmp_path: Path, *, require_peers: bool) -> None:
    if find_spec("atheris") is None:
        if require_peers and HAS_WHEEL:
            pytest.fail("atheris is missing")
        pytest.skip("no atheris for this Python")
    words = [sys.executable, "-m", "tests.fuzz", "all", "--seconds=4", "--seed=1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    assert "all: 0 executions" not in done.stdout
    assert list(tmp_path.iterdir()) == []


# --- whether any of this would be noticed


def _endless(_: bytes) -> None:
    while True:
        pass


def _hungry(_: bytes) -> None:
    bytearray(b"x") * (300 * 1024 * 1024)


def _writing(_: bytes) -> None:
    with scratch.folder({"a": b"b"}) as folder:
        (folder / "a").write_bytes(b"c")


def _littering(_: bytes) -> None:
    with scratch.folder({"a": b"b"}) as folder:
        folder.with_name("beside").touch()


def _littering_in_vain(_: bytes) -> None:
    with scratch.folder({"a": b"b"}) as folder:
        (folder / "beside").touch()
        message = "one of ours"
        raise UsageError(message)


def _lookup(_: bytes) -> None:
    {"b": 1}["a"]


@pytest.mark.parametrize(
    ("run", "raised"),
    [
        (_endless, guard.Exceeded),
        (_hungry, guard.Exceeded),
        (_writing, scratch.UntidyError),
        (_littering, scratch.UntidyError),
        (_littering_in_vain, scratch.UntidyError),
        (_lookup, KeyError),
    ],
)
def test_a_finding_is_one(
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[bytes], None],
    raised: type[BaseException],
) -> None:
    monkeypatch.setattr(guard, "SECONDS", 0.05)
    target = Target("x", run, tuple, 1)
    with pytest.raises(raised), guard.limits():
        expose(target, b"")


_STRAYING = """
from pathlib import Path
from tests.fuzz import guard
guard.confine(Path({top!r}))
open({top!r} + "/inside", "w").close()
open({file!r}).close()
{act}
"""


@pytest.mark.parametrize(
    "act", ["open({file!r}, 'a')", "import os; os.mkdir({top!r} + '/../x')", "os.rename"]
)
def test_who_writes_elsewhere_is_caught(tmp_path: Path, act: str) -> None:
    if act == "os.rename":
        act = "import os; os.rename({top!r} + '/inside', {file!r})"
    top, file = tmp_path / "scratch", tmp_path / "precious"
    top.mkdir()
    file.touch()
    facts = {"top": str(top), "file": str(file)}
    program = _STRAYING.format(**facts, act=act.format(**facts))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Strayed" in done.stderr
    assert (top / "inside").exists()

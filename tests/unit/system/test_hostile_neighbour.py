"""A folder that everybody may write to, and a neighbour who does all the time."""

from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nssbackup.errors import NssBackupError, VerificationError
from nssbackup.system.files import write_verified
from tests import is_root

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not is_root(), reason="only root has a neighbour to run"
)

DATA = b"the backup that nobody else may read"
NEIGHBOUR = 47_003
ROUNDS = 60

# Puts links of both kinds in the place of whatever comes up there, and in that of the final name.
_HOSTILE = """
import os, sys
folder, victim, user = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.setgroups([])
os.setgid(user)
os.setuid(user)
os.chdir(folder)
open("mine", "w").close()
print("ready", flush=True)
turn = 0
while True:
    turn += 1
    for name in [*os.listdir("."), "a.pfx"]:
        if name == "mine":
            continue
        for act in (
            lambda: os.rename(name, f"taken-{turn}"),
            lambda: os.symlink(victim, name),
            lambda: os.unlink(name),
            lambda: os.link("mine", name),
            lambda: os.unlink(name),
            lambda: os.link(name, f"kept-{turn}"),
        ):
            try:
                act()
            except OSError:
                pass
"""


@pytest.fixture(params=[0o1777, 0o777], ids=["sticky", "open"])
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        made = Path(top, "everybodys")
        made.mkdir()
        made.chmod(request.param)
        yield made


@pytest.mark.parametrize("replace", [True, False])
def test_a_neighbour_gets_nothing_and_has_nothing_overwritten(folder: Path, replace: bool) -> None:
    victim = folder.parent / "victim"
    victim.write_bytes(b"of somebody")
    victim.chmod(0o666)
    sticky = bool(folder.stat().st_mode & stat.S_ISVTX)
    path = folder / "a.pfx"

    def check(written: Path) -> None:
        if written.read_bytes() != DATA:
            message = "another file"
            raise VerificationError(message, (message,))

    words = [sys.executable, "-c", _HOSTILE, str(folder), str(victim), str(NEIGHBOUR)]
    done = 0
    with subprocess.Popen(words, stdout=subprocess.PIPE) as neighbour:
        assert neighbour.stdout is not None
        assert neighbour.stdout.readline() == b"ready\n"
        try:
            for _ in range(ROUNDS):
                try:
                    write_verified(path, DATA, check, replace=replace)
                except NssBackupError:
                    continue  # it said that it was not done
                done += 1
                if sticky:
                    facts = path.lstat()
                    assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (0, 0o600)
                    assert path.read_bytes() == DATA
                    path.unlink()
        finally:
            neighbour.kill()
    assert victim.read_bytes() == b"of somebody"
    for left in folder.iterdir():
        facts = left.lstat()
        if stat.S_ISREG(facts.st_mode) and left.read_bytes() == DATA:
            assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (0, 0o600)
    if sticky and replace:
        assert done == ROUNDS

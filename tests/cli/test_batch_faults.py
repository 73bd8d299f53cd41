"""A batch that is cut off, or that the world changes under: nothing is lost, nothing is half."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from tests import LIMIT
from tests.builders.disks import mounted, remount
from tests.builders.homes import (
    JANE,
    add_home,
    backups,
    kept_passwords,
    opened,
    profile_in,
    report_of,
    sha256_of,
)
from tests.builders.store import issue, rsa_key
from tests.cli.runner import Cli, finish, interrupt, names, unprivileged

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="faults are made with Linux' means")

USERS = 6
TRIES = 6  # for each kill that has to meet something alive

# The library itself: the command line would take most of the time, and it is not what is killed.
DRIVER = """
import sys
from dataclasses import replace
from pathlib import Path
from nssbackup.batch.options import BatchOptions, Roots
from nssbackup.batch.run import run_batch
homes, folder, force, escrow = sys.argv[1:]
roots = Roots(parents=(Path(homes),))
options = BatchOptions(roots, Path(folder), "h", force=force == "force", jobs=2)
if escrow:
    options = replace(options, escrow=(Path(escrow).read_bytes(),))
print("begun", flush=True)
result = run_batch(options)
sys.exit(3 if result.report.totals["failed"] else 0)
"""


@dataclass(frozen=True, slots=True)
class Building:
    """Homes, a folder for their backups, and where the passwords are kept."""

    homes: Path
    folder: Path
    escrow: Path | None

    def start(self, *, force: bool) -> subprocess.Popen[bytes]:
        words = [
            str(self.homes),
            str(self.folder),
            "force" if force else "",
            str(self.escrow or ""),
        ]
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        return process

    def run(self, *, force: bool = False) -> int:
        with self.start(force=force) as process:
            return process.wait(LIMIT)

    def check(self) -> None:
        """Every backup with a final name is whole, and its password is known."""
        if self.escrow is None:
            found = opened(self.folder)
        else:
            certificate = x509.load_der_x509_certificate(self.escrow.read_bytes())
            found = opened(self.folder, rsa_key(5), certificate)
        for left in found:
            assert left.contents.key is not None
            assert left.contents.identity is not None


@pytest.fixture(params=["passwords.csv", "escrow"])
def building(tmp_path: Path, request: pytest.FixtureRequest) -> Building:
    for number in range(USERS):
        add_home(tmp_path / "homes", f"user{number}", JANE)
    escrow = None
    if request.param == "escrow":
        escrow = tmp_path / "it.der"
        escrow.write_bytes(issue(rsa_key(5), "IT"))
    return Building(tmp_path / "homes", tmp_path / "out", escrow)


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many have to meet something alive: 52 in these four tests together, or 50 in each."""
    return 50 if request.config.getoption("--every-fault") else 13


def test_a_batch_that_is_killed_anywhere_loses_no_password(building: Building, kills: int) -> None:
    with building.start(force=False) as process:
        began = time.monotonic()
        assert process.wait(LIMIT) == 0
        length = time.monotonic() - began
    chance = random.Random(2026)  # noqa: S311 - to be the same every time
    hits = 0
    for number in range(kills * TRIES):
        with building.start(force=True) as process:
            time.sleep(chance.uniform(0.1, 1.0) * length)
            process.kill()
            hits += process.wait(LIMIT) == -signal.SIGKILL
        building.check()
        # What is cut off is finished by the next run, which has nothing else to do.
        if number % 6 == 5:
            assert building.run() == 0
            assert len(backups(building.folder)) == USERS
            building.check()
        if hits == kills:
            break
    assert hits == kills
    assert building.run() == 0
    assert report_of(building.folder)["totals"]["failed"] == 0
    assert leftovers(building.folder) == []
    building.check()


def test_a_worker_that_is_killed_takes_one_user_with_it(building: Building, kills: int) -> None:
    chance = random.Random(1999)  # noqa: S311 - to be the same every time
    hits = 0
    for _ in range(kills * TRIES):
        with building.start(force=True) as process:
            victim = _child_of(process)
            time.sleep(chance.uniform(0.0, 0.2))
            with suppress(ProcessLookupError):
                if victim is not None:
                    os.kill(victim, signal.SIGKILL)
            status = process.wait(LIMIT)
        totals = report_of(building.folder)["totals"]
        assert totals["items"] == USERS
        assert totals["failed"] <= 1
        assert status == (3 if totals["failed"] else 0)
        for item in report_of(building.folder)["items"]:
            if item["status"] == "failed":
                assert item["error"]["code"] == "worker-ended"
        building.check()
        hits += totals["failed"]
        if hits == kills:
            break
    assert hits == kills
    assert building.run() == 0
    assert len(backups(building.folder)) == USERS
    building.check()


def _child_of(process: subprocess.Popen[bytes]) -> int | None:
    """A worker of a batch, as soon as there is one; None if the batch was quicker than we."""
    path = Path(f"/proc/{process.pid}/task")
    while process.poll() is None:
        for thread in path.iterdir():
            children = (thread / "children").read_text().split()
            if children:
                return int(children[-1])
        time.sleep(0.002)
    return None


def test_ctrl_c_is_130_and_leaves_nothing_half_written(cli: Cli) -> None:
    homes = cli.folder / "homes"
    for number in range(40):
        add_home(homes, f"user{number}", JANE)
    process = cli.start("batch", "--homes", homes, "-o", "out")
    while not backups(cli.here / "out") and process.poll() is None:
        time.sleep(0.005)
    result = interrupt(process)
    assert result.status == 130
    assert "nssbackup: error: interrupted" in result.stderr
    assert re.search(r"warning: \d+ of 40 done; the same command continues", result.stderr)
    assert leftovers(cli.here / "out") == []
    assert 0 < len(backups(cli.here / "out")) < 40
    assert cli.run("batch", "--homes", homes, "-o", "out", "-q").status == 0
    assert len(opened(cli.here / "out")) == 40


@pytest.mark.mounts
def test_a_full_disk_leaves_whole_files_and_the_rest_for_later(cli: Cli) -> None:
    homes = cli.folder / "homes"
    for number in range(12):
        add_home(homes, f"user{number:02}", JANE)
    out = cli.here / "out"
    with mounted(out, "size=96k,mode=700"):
        result = cli.run("batch", "--homes", homes, "-o", "out", "--jobs", "1", "--json")
        assert result.status in (3, 31)
        totals = result.document["totals"]
        assert 0 < totals["failed"] < 12
        assert totals["backed-up"] + totals["failed"] == 12
        for item in result.document["items"]:
            if item["status"] == "failed":
                assert item["error"]["status"] == 31
                assert "no space left" in item["error"]["message"]
        assert len(opened(out)) == len(backups(out)) == totals["backed-up"]
        remount(out, "size=4m")
        assert cli.run("batch", "--homes", homes, "-o", "out", "--jobs", "1", "-q").status == 0
        assert len(opened(out)) == 12


def test_an_output_that_is_read_only(cli: Cli) -> None:
    add_home(cli.folder / "homes", "jane", JANE)
    (cli.here / "out").mkdir(mode=0o500)
    words = ("batch", "--homes", cli.folder / "homes", "-o", "out", "--json")
    result = cli.run(*words, prefix=unprivileged())
    assert (result.status, result.error["status"]) == (31, 31)
    assert names(cli.here / "out") == []


def test_a_home_that_disappears_is_one_failure(cli: Cli) -> None:
    """The share goes away between the listing of the homes and the reading of one."""
    homes = cli.folder / "homes"
    for number in range(30):
        add_home(homes, f"user{number:02}", JANE)
    process = cli.start("batch", "--homes", homes, "-o", "out", "--jobs", "1", "--json")
    while not backups(cli.here / "out") and process.poll() is None:
        time.sleep(0.002)
    (homes / "user29").rename(cli.folder / "gone")
    result = finish(process)
    assert result.status == 3
    (failed,) = (item for item in result.document["items"] if item["status"] == "failed")
    assert (failed["user"], failed["error"]["code"]) == ("user29", "store-unreadable")
    assert len(opened(cli.here / "out")) == 29


def test_two_runs_at_the_same_time_do_the_work_once(cli: Cli) -> None:
    homes = cli.folder / "homes"
    for number in range(10):
        add_home(homes, f"user{number}", JANE)
    both = [
        cli.start("batch", "--homes", homes, "-o", "out", "--jobs", "1", "--json") for _ in range(2)
    ]
    results = [finish(process) for process in both]
    assert all(result.status in (0, 31) for result in results)
    assert 0 in [result.status for result in results]
    for result in results:
        if result.status == 31:
            assert result.error["code"] == "folder-locked"
    assert len(kept_passwords(cli.here / "out")) == len(opened(cli.here / "out")) == 10


def test_databases_that_change_while_they_are_read(cli: Cli) -> None:
    homes = cli.folder / "homes"
    for number in range(8):
        add_home(homes, f"user{number}", JANE)
    busy = [profile_in(homes / f"user{number}") for number in range(4)]
    over = threading.Event()

    def write() -> None:
        """What Firefox does when it learns of a certificate: a transaction, and again."""
        while not over.is_set():
            for profile in busy:
                for name in ("cert9.db", "key4.db"):
                    with closing(sqlite3.connect(profile / name, timeout=20)) as database:
                        database.execute("CREATE TABLE IF NOT EXISTS noise (a)")
                        database.execute("INSERT INTO noise VALUES (randomblob(2000))")
                        database.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        results = [
            cli.run("batch", "--homes", homes, "-o", "out", "--jobs", "2", "--json")
            for _ in range(3)
        ]
    finally:
        over.set()
        writer.join()
    assert [result.status for result in results] == [0, 0, 0]
    result = results[-1]
    found = opened(cli.here / "out")
    assert len(found) == 8
    # What else is in the databases is no matter: nothing was made anew.
    assert result.document["totals"]["unchanged"] == 8
    assert {sha256_of(path.read_bytes()) for path in backups(cli.here / "out")} == {
        item["sha256"] for item in result.document["items"]
    }

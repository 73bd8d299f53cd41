"""The workers: one that dies takes one user with it."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from nssbackup.batch.orders import Orders
from nssbackup.batch.pool import Pool, Program
from nssbackup.batch.report import Outcome
from nssbackup.batch.tables import Owner, PasswordTable
from nssbackup.batch.users import Member, User
from nssbackup.secret import Secret

# Talks as the worker does; what it does for a user is in the user's name.
SCRIPT = """
import json, os, signal, sys, time
orders = json.loads(sys.stdin.readline())
for line in sys.stdin:
    user = json.loads(line)
    what = user["folder"].partition(" ")[0]
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        time.sleep(600)
    if what == "exit":
        sys.exit(3)
    if what == "babble":
        print("something else", flush=True)
        continue
    note = json.dumps([os.getpid(), sys.argv[1:], dict(os.environ), orders])
    print(json.dumps({"items": [], "notes": [user["folder"], note], "profiles": 1}), flush=True)
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    script = tmp_path / "worker.py"
    script.write_text(SCRIPT, encoding="utf-8")
    return Program(script, time_limit=2)


def users(*names: str) -> list[User]:
    return [User(name, (Member(name, Path("/home", name), home=True),)) for name in names]


def outcomes(program: Program, *names: str, jobs: int = 2) -> list[Outcome]:
    with Pool(Orders(Path("/b"), "h"), jobs, program=program) as pool:
        return list(pool.outcomes(users(*names)))


@pytest.mark.parametrize("how", ["die", "exit", "hang", "babble"])
def test_a_worker_that_dies_is_one_failure_and_the_rest_goes_on(program: Program, how: str) -> None:
    names = ["a", "b", f"{how} c", "d", "e", "f"]
    found = outcomes(program, *names)
    assert sorted(one.notes[0] for one in found if one.notes) == ["a", "b", "d", "e", "f"]
    (failure,) = (one.items for one in found if one.items)
    (item,) = failure
    assert (item.status, item.user, item.home) == ("failed", f"{how} c", f"/home/{how} c")
    assert item.error is not None
    assert item.error["code"] == "worker-ended"
    words = {"hang": "there was no end to it", "babble": "something else"}.get(how, "was killed")
    assert words in str(item.error["message"])


def test_there_are_no_more_workers_than_jobs(program: Program) -> None:
    names = [str(number) for number in range(20)]
    for jobs in (1, 3):
        pids = {one.notes[1].partition(",")[0] for one in outcomes(program, *names, jobs=jobs)}
        assert 1 <= len(pids) <= jobs


def test_no_worker_outlives_the_pool(program: Program) -> None:
    (found,) = outcomes(program, "a")
    with pytest.raises(ProcessLookupError):
        os.kill(int(found.notes[1].partition(",")[0].strip("[")), 0)


def test_a_pool_without_work_starts_nothing(tmp_path: Path) -> None:
    with Pool(Orders(tmp_path, "h"), 4, program=Program(tmp_path / "missing")) as pool:
        assert list(pool.outcomes([])) == []


def test_a_worker_that_can_not_be_started_is_a_failure(tmp_path: Path) -> None:
    found = outcomes(Program(tmp_path / "missing"), "a", "b")
    assert [item.status for one in found for item in one.items] == ["failed"] * 2


def test_an_interruption_ends_the_workers(program: Program) -> None:
    pids: list[str] = []

    def interrupted() -> None:
        with Pool(Orders(Path("/b"), "h"), 2, program=program) as pool:
            for found in pool.outcomes(users("a", "hang b", "hang c")):
                pids.append(found.notes[1].partition(",")[0].strip("["))
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids[0]), 0)


def test_secrets_reach_a_worker_by_the_pipe_and_by_nothing_else(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(SCRIPT, encoding="utf-8")
    table = PasswordTable.of_rows([({"user": "jane"}, Secret("hunter2"))])
    orders = Orders(tmp_path, "h", passwords=table, primary=Secret("hunter3"))
    with Pool(orders, 1, program=Program(script)) as pool:
        (found,) = pool.outcomes(users("a"))
    _, arguments, environment, told = json.loads(found.notes[1])
    for secret in ("hunter2", "hunter3"):
        assert secret not in repr((arguments, environment, orders, pool))
        assert secret in repr(told)


def test_orders_survive_the_pipe(tmp_path: Path) -> None:
    table = PasswordTable.of_rows([({"user": "jane"}, Secret("hunter2"))])
    orders = Orders(
        tmp_path,
        "h",
        certificates=("a",),
        all_issuers=True,
        applications=("firefox",),
        formats=("modern", "compatible"),
        rounds=600_000,
        chain=False,
        passwords=table,
        primary=Secret("hunter3"),
        escrow=(b"\x30\x00",),
        force=True,
    )
    there = Orders.from_wire(orders.to_wire())
    assert there.wanted == orders.wanted
    assert there.to_wire() == orders.to_wire()
    assert isinstance(there.passwords, PasswordTable)
    found = there.passwords.password_of(Owner("jane"))
    assert found is not None
    assert found.reveal() == "hunter2"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_workers_do_not_hear_a_ctrl_c_that_is_their_parents(program: Program) -> None:
    with Pool(Orders(Path("/b"), "h"), 1, program=program) as pool:
        found = pool.outcomes(users("a", "b"))
        pid = int(next(found).notes[1].partition(",")[0].strip("["))
        assert os.getpgid(pid) != os.getpgid(0)
        os.kill(pid, signal.SIG_DFL)
        assert len(list(found)) == 1

"""The workers: one that dies takes one user with it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from nssbackup.batch.options import BatchOptions, Roots
from nssbackup.batch.password_table import Owner, PasswordTable
from nssbackup.batch.report import HomeResult
from nssbackup.batch.user_backup import Outcome
from nssbackup.batch.users import Source, User
from nssbackup.batch.workers import Workers
from nssbackup.secret import Secret

OPTIONS = BatchOptions(Roots(), Path("/b"), "h", jobs=2)


def told(*notes: str) -> Outcome:
    return Outcome(homes=(HomeResult("h", "/", "u", 1, 0, "no-certificate", notes),))


def notes_of(outcome: Outcome) -> tuple[str, ...]:
    return tuple(note for home in outcome.homes for note in home.notes)


def pretend(user: User, _: BatchOptions) -> Outcome:
    """What a worker does here: the first word of the user's name."""
    what = user.folder.partition(" ")[0]
    if what == "die":
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    if what == "hang":
        time.sleep(600)
    if what == "exit":
        os._exit(3)
    if what == "babble":
        return "something else"  # type: ignore[return-value] # meant
    if what == "fail":
        raise RuntimeError("hunter2")  # noqa: EM101 - of a fault of ours
    print("not in the parent's output")  # noqa: T201 - meant
    return told(user.folder, str(os.getpid()))


def tell_secrets(_: User, options: BatchOptions) -> Outcome:
    """What a worker sees of the secrets, and where."""
    table, primary = options.passwords, options.primary
    assert isinstance(table, PasswordTable)
    assert isinstance(primary, Secret)
    found = table.password_of(Owner("jane"))
    assert found is not None
    environment = Path("/proc/self/environ").read_text() if sys.platform == "linux" else ""
    arguments = Path("/proc/self/cmdline").read_text() if sys.platform == "linux" else ""
    dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == "linux" else 0
    import resource  # here: a worker on Windows loads this module and has no such one

    limit = resource.getrlimit(resource.RLIMIT_CORE)
    private = f"{dumpable} {limit}"
    return told(found.reveal(), primary.reveal(), private, environment, arguments)


def users(*names: str) -> list[User]:
    return [User(name, (Source(name, Path("/home", name), is_home=True),)) for name in names]


def outcomes(*names: str, time_limit: float = 60) -> list[Outcome]:
    workers = Workers(OPTIONS, time_limit, pretend)
    return list(workers.outcomes(users(*names)))


@pytest.mark.parametrize("how", ["die", "exit", "hang", "babble", "fail"])
def test_a_worker_that_dies_is_one_failure(how: str, capfd: pytest.CaptureFixture[str]) -> None:
    names = ["a", "b", f"{how} c", "d", "e", "f"]
    # Long enough for a process to start on a busy machine.
    found = outcomes(*names, time_limit=20 if how == "hang" else 60)
    assert sorted(notes_of(one)[0] for one in found if notes_of(one)) == ["a", "b", "d", "e", "f"]
    (failure,) = (one.items for one in found if one.items)
    (item,) = failure
    assert (item.status, item.user, item.home) == (
        "failed",
        f"{how} c",
        str(Path("/home", f"{how} c")),
    )
    assert item.error is not None
    code = "internal-error" if how == "fail" else "worker-ended"
    assert item.error["code"] == code
    words = {"hang": "timed out", "babble": "invalid answer", "fail": "(RuntimeError)"}
    assert words.get(how, "was killed") in str(item.error["message"])
    assert "hunter2" not in repr(item)
    assert capfd.readouterr().out == ""


def test_there_are_no_more_workers_than_jobs_and_none_stays() -> None:
    pids = {notes_of(one)[1] for one in outcomes(*map(str, range(20)))}
    assert 1 <= len(pids) <= 2
    for pid in pids:
        assert not psutil.pid_exists(int(pid))


def test_an_interruption_ends_the_workers() -> None:
    pids: list[int] = []

    def interrupted() -> None:
        workers = Workers(OPTIONS, back_up=pretend)
        with closing(workers.outcomes(users("a", "hang b", "hang c"))) as found:
            for one in found:
                pids.append(int(notes_of(one)[1]))
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not psutil.pid_exists(pids[0])


@pytest.mark.posix("Windows shows no memory of processes")
def test_secrets_reach_a_worker_through_the_pipe_only() -> None:
    table = PasswordTable.of_rows([({"user": "jane"}, Secret("hunter2"))])
    options = BatchOptions(
        Roots(), Path("/b"), "h", passwords=table, primary=Secret("hunter3"), jobs=1
    )
    (found,) = Workers(options, back_up=tell_secrets).outcomes(users("a"))
    assert notes_of(found)[:3] == ("hunter2", "hunter3", "0 (0, 0)")
    assert "hunter" not in "".join(notes_of(found)[3:]) + repr(options)

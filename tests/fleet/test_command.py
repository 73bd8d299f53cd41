"""`nssbackup fleet` where nothing is reached: what it says, and what it leaves alone."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

from nssbackup.batch.report import BatchReport, HostResult, totals_of
from nssbackup.cli.commands.fleet import show_fleet, warn_of_passwords
from nssbackup.cli.printer import Printer
from nssbackup.fleet import play
from nssbackup.fleet.play import FleetStuckError, Play, error_of, run_play
from nssbackup.fleet.play import _summary as summary
from nssbackup.fleet.run import private_folder
from tests.cli.runner import Cli, names


@pytest.fixture(autouse=True)
def ansible(require_peers: bool) -> None:
    if find_spec("ansible_runner") is None:
        reason = "the extra `fleet` is not installed"
        if require_peers:
            pytest.fail(reason)
        pytest.skip(reason)


def test_the_extra_is_named_where_it_is_missing(cli: Cli) -> None:
    # A module of that name that can't be imported, as if there were none.
    hidden = cli.folder / "hidden"
    hidden.mkdir()
    (hidden / "ansible_runner.py").write_text("raise ImportError('hidden by the test')\n")
    without = Cli(cli.folder / "other", environment={"PYTHONPATH": str(hidden)})
    done = without.run("fleet", "one,two", "-o", "out")
    assert done.status == 2
    assert "pip install 'nssbackup[fleet]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert names(without.here) == []
    error = without.run("fleet", "one,two", "-o", "out", "--json").error
    assert (error["status"], error["code"]) == (2, "fleet-unavailable")


def test_an_inventory_that_is_not_there_is_named(cli: Cli) -> None:
    done = cli.run("fleet", "absent.ini", "-o", "out")
    assert (done.status, "`absent.ini`" in done.stderr) == (2, True)
    assert names(cli.here) == []


def test_what_ansible_can_not_read_is_told_in_its_words(cli: Cli) -> None:
    inventory = cli.file("hosts.yml", "all: [this, is, no, inventory")
    done = cli.run("fleet", inventory, "-o", "out")
    assert done.status == 2
    assert "Ansible could not begin" in done.stderr
    assert "hosts.yml" in done.stderr
    assert names(cli.temporary) == []


def test_a_limit_that_fits_no_host_is_an_error(cli: Cli) -> None:
    inventory = cli.file("hosts.yml", "all: {hosts: {ada: {ansible_connection: local}}}")
    done = cli.run("fleet", inventory, "-o", "out", "--limit", "berta", "--json")
    assert done.status == 2
    assert done.error["code"] == "ansible"
    assert "--limit" in str(done.error["message"])


def ended(process: int) -> bool:
    """Whether a process is gone, or is within the time that seeing it off takes."""
    for _ in range(2_000):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_an_ansible_that_comes_to_no_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inventory = tmp_path / "inventory"
    inventory.write_text(f"#!/bin/sh\necho $$ > '{tmp_path}/pid'\nexec sleep 100\n")
    inventory.chmod(0o755)
    waits = Play(str(inventory), time_limit=0)
    for silence in (2.0, 16.0, 128.0):  # until Ansible has got as far as its inventory
        monkeypatch.setattr(play, "_SILENCE", silence)
        with private_folder() as folder:
            (folder / "run").mkdir()
            with pytest.raises(FleetStuckError, match="Ansible reported nothing for"):
                run_play("backup", waits, {}, folder / "run", lambda _host, _step: None)
        if (tmp_path / "pid").exists():
            break
    assert ended(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--wheels", "absent"], "no wheels in `absent`"),
        (["--password-file", "absent"], "the `--password-file` file is missing"),
        (["--passwords", "x" * 300], "the `--passwords` file is missing"),
        (["--passwords", "pipe"], "not a regular file"),
        (["--passwords", "."], "not a regular file"),
        (
            ["--primary-password-file", "p", "--primary-passwords", "t"],
            "`--primary-password-file` and `--primary-passwords` exclude each other",
        ),
        (["--format", "modern", "--for", "windows"], "exclude each other"),
        (["--escrow-cert", "p"], "holds no certificate"),
        (["--password-file", "empty"], "an empty password is refused"),
        (["--passwords", "t"], "line 2 of the file of `--passwords` has 3 cells"),
    ],
)
def test_what_would_fail_everywhere_is_found_out_here(
    cli: Cli, words: list[str], said: str
) -> None:
    (cli.here / "p").write_text("password\n")
    (cli.here / "t").write_text("user,password\njane,one,two\n")
    (cli.here / "empty").write_text("")
    os.mkfifo(cli.here / "pipe")
    done = cli.run("fleet", "one,two", "-o", "out", *words)
    assert done.status == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (cli.here / "out").exists()


def test_hosts_may_be_many(cli: Cli) -> None:
    hosts = ",".join(f"host{number}.example" for number in range(100))
    done = cli.run("fleet", hosts, "-o", "out", "--wheels", "absent")
    assert (done.status, "no wheels in `absent`" in done.stderr) == (2, True)


def test_a_second_run_in_the_same_folder_is_kept_out(cli: Cli) -> None:
    fcntl = pytest.importorskip("fcntl")
    state = cli.here / "out" / ".nssbackup"
    state.mkdir(parents=True)
    with (state / "fleet.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = cli.run("fleet", "one,two", "-o", "out", "--json")
    assert (done.status, done.error["code"]) == (31, "folder-locked")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            {"stdout": '{"error": {"message": "it is broken", "hint": "mend it"}}', "msg": "no"},
            "it is broken (mend it)",
        ),
        ({"stdout": '{"error": {"message": "it is broken", "hint": null}}'}, "it is broken"),
        ({"stdout": "nonsense", "stderr": "Python 3.11\nis needed"}, "Python 3.11 is needed"),
        ({"stderr": "", "msg": "Task failed: Module failed: disk full"}, "disk full"),
        ({"msg": "non-zero return code"}, "the task `Pack` failed"),
        ({"censored": "hidden"}, "the task `Pack` failed"),
        ({"stdout": "[" * 100_000, "msg": "x" * 10_000}, "x"),
    ],
)
def test_an_error_is_told_in_the_words_of_who_knows(
    result: dict[str, object], expected: str
) -> None:
    said = error_of("Pack", result)
    assert expected in said
    assert len(said) <= 2_000


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        ({"backed-up": 2, "unchanged": 0, "failed": 1}, "2 backed up, 1 failed"),
        (
            {"backed-up": "x" * 10_000, "failed": [[]], "planned": True, "unchanged": 1e999},
            "nothing",
        ),
        ({"message": "there is no profile"}, "there is no profile"),
        ({"message": "x" * 10_000}, "x" * 2_000),
        ("nonsense", "nothing"),
        (None, "nothing"),
    ],
)
def test_the_totals_of_a_host_are_numbers_or_nothing(totals: object, expected: str) -> None:
    assert summary({"msg": totals}) == expected


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_hosts_are_shown_as_a_table_and_what_failed_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, *, dry_run: bool
) -> None:
    def totals(**counts: int) -> dict[str, int]:
        return {**totals_of(()), **{name.replace("_", "-"): n for name, n in counts.items()}}

    now = datetime.now(UTC)
    hosts = (
        HostResult("one", reached=True, error=None, totals=totals(backed_up=3, planned=4)),
        HostResult("two", reached=True, error="the disk is full", totals=totals(failed=1)),
        HostResult("three", reached=False, error="it does not answer", totals=totals(failed=1)),
    )
    report = BatchReport(now, now, None, tmp_path, (), dry_run, hosts=hosts)
    show_fleet(report, Printer())
    out, err = capsys.readouterr()
    lines = [line.split() for line in out.splitlines()]
    assert ["one", "4" if dry_run else "3", "0", "0", "0"] in lines
    assert ["two", "0", "0", "1", "0", "failed"] in lines
    assert ["three", "0", "0", "1", "0", "not", "reached"] in lines
    assert ("planned" if dry_run else "backed") in lines[0]
    assert "warning: two: the disk is full\n" in err
    assert "warning: three: it does not answer\n" in err
    assert (str(tmp_path / "report.html") in err) is not dry_run


@pytest.mark.parametrize(
    ("backed_up", "there", "said"), [(1, True, True), (0, True, False), (1, False, False)]
)
def test_passwords_in_the_clear_are_told_of_where_there_are_any(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, *, backed_up: int, there: bool, said: bool
) -> None:
    (tmp_path / "one").mkdir()
    if there:
        (tmp_path / "one" / "passwords.csv").write_text("password\n")
    now = datetime.now(UTC)
    totals = {**totals_of(()), "backed-up": backed_up}
    hosts = (HostResult("one", reached=True, error=None, totals=totals),)
    report = BatchReport(now, now, None, tmp_path, (), hosts=hosts)
    warn_of_passwords(report, Printer(json=True))
    assert ("the passwords are in" in capsys.readouterr().err) is said

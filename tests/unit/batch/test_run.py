"""A batch as a whole: the folder, its lock, the roots, and the reports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nssbackup.batch.options import BatchOptions, Roots
from nssbackup.batch.report import BatchItem
from nssbackup.batch.run import Listener, run_batch
from nssbackup.errors import OutputError, UsageError
from nssbackup.secret import Secret
from nssbackup.system.locking import FolderLockedError, lock, locked
from tests.builders.homes import JANE, add_home, backups, everything, opened, report_of
from tests.builders.store import issue, rsa_key

HOLD = """
import sys
from pathlib import Path
from nssbackup.system.locking import only_run
with only_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def options(tmp_path: Path, **changes: object) -> BatchOptions:
    roots = Roots(parents=(tmp_path / "homes",))
    chosen = BatchOptions(roots, tmp_path / "backups", "building-1", jobs=1)
    return replace(chosen, **changes)  # type: ignore[arg-type] # any of them


@contextmanager
def another_run(folder: Path) -> Iterator[None]:
    """Another process that has the lock of a folder."""
    path = folder / ".nssbackup" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.kill()


def test_a_batch_from_homes_to_reports(tmp_path: Path) -> None:
    for user in ("jane", "bob"):
        add_home(tmp_path / "homes", user, JANE)
    (tmp_path / "homes" / "empty").mkdir()
    told: list[object] = []
    listener = Listener(begin=told.append, item=told.append, user=lambda: told.append("done"))
    result = run_batch(options(tmp_path, expiring_days=30), listener)
    assert result.profiles == 2
    assert result.report.home_totals == {
        **dict.fromkeys(("expired", "failed", "gone"), 0),
        "backed-up": 2,
        "no-certificate": 1,
    }
    assert [path.name for path in result.files] == ["report.json", "report.csv", "report.html"]
    assert all(path.exists() for path in result.files)
    document = report_of(tmp_path / "backups")
    assert document["totals"]["backed-up"] == 2
    assert [item["user"] for item in document["items"]] == ["bob", "jane"]
    assert document["host"] == "building-1"
    assert document["roots"] == [str(tmp_path / "homes")]
    assert document["expiring_days"] == 30
    assert told[0] == 3
    assert told.count("done") == 3
    assert sum(isinstance(one, BatchItem) for one in told) == 2
    assert len(opened(tmp_path / "backups")) == 2


@pytest.mark.parametrize("escrow", [False, True])
def test_passwords_that_are_gone_are_told_of_every_night(tmp_path: Path, *, escrow: bool) -> None:
    for user in ("jane", "bob"):
        add_home(tmp_path / "homes", user, JANE)
    recipients = (issue(rsa_key(0), "IT"),) if escrow else ()
    chosen = options(tmp_path, escrow=recipients)
    assert run_batch(chosen).report.notes == ()
    assert run_batch(chosen).report.notes == ()
    if escrow:
        shutil.rmtree(tmp_path / "backups" / "escrow" / "bob")
    else:
        listed = tmp_path / "backups" / "passwords.csv"
        listed.rename(tmp_path / "safe.csv")
    told: list[str] = []
    for _ in range(2):
        report = run_batch(chosen, Listener(warn=told.append)).report
        assert report.totals["unchanged"] == 2
        assert report_of(tmp_path / "backups")["notes"] == list(report.notes)
    (note, again) = told
    assert note == again
    assert note.startswith(f"the passwords of {1 if escrow else 2} backups are missing from where")
    # They are not looked for where somebody else keeps them, or where none was made up.
    (tmp_path / "backups" / ".nssbackup" / "passwords-elsewhere").touch()
    assert run_batch(chosen).report.notes == ()


def test_what_spelling_a_users_folder_has_is_kept(tmp_path: Path) -> None:
    home = add_home(tmp_path / "homes", "jane", JANE)
    run_batch(options(tmp_path))
    home.rename(home.with_name("Jane"))
    report = run_batch(options(tmp_path)).report
    assert report.totals["unchanged"] == 1
    assert [path.parent.name for path in backups(tmp_path / "backups")] == ["jane"]


def test_what_expires_soon_is_marked(tmp_path: Path) -> None:
    add_home(tmp_path / "homes", "jane", JANE)
    for days, expected in ((30, 0), (365 * 40, 1), (10**9, 1), (10**30, 1), (None, 0)):
        run_batch(options(tmp_path, expiring_days=days))
        assert report_of(tmp_path / "backups")["totals"]["expiring"] == expected


@pytest.mark.parametrize("output", ["homes", "homes/jane", "homes/new/folder", ".", "link"])
def test_the_backups_lie_apart_from_what_is_read(tmp_path: Path, output: str) -> None:
    add_home(tmp_path / "homes", "jane", JANE)
    (tmp_path / "link").symlink_to(tmp_path / "homes")
    before = everything(tmp_path)
    given = options(tmp_path, folder=tmp_path / output)
    with pytest.raises(UsageError, match="lie one in the other"):
        run_batch(given)
    assert everything(tmp_path) == before


def test_a_home_that_disappears_is_gone_until_it_is_forgotten(tmp_path: Path) -> None:
    for user in ("jane", "bob"):
        add_home(tmp_path / "homes", user, JANE)
    assert run_batch(options(tmp_path)).report.home_totals["backed-up"] == 2
    shutil.rmtree(tmp_path / "homes" / "jane")
    for _ in range(2):
        report = run_batch(options(tmp_path)).report
        gone, there = report.homes
        assert (gone.user, gone.status, gone.home) == (
            "jane",
            "gone",
            str(tmp_path / "homes" / "jane"),
        )
        assert there.status == "backed-up"
        assert gone.notes == report.notes
        document = report_of(tmp_path / "backups")
        assert document["totals"]["homes"]["gone"] == 1
        assert document["homes"][0]["status"] == "gone"
        for name in ("report.csv", "report.html"):
            text = (tmp_path / "backups" / name).read_text("utf-8")
            assert "no longer found" in text
    # Not of other roots, not where the user is left out, and not if the root can't be read.
    other = add_home(tmp_path / "other", "zoe", JANE).parent
    for changed in (
        {"roots": Roots(parents=(other,))},
        {"exclude": ("JANE",)},
    ):
        assert run_batch(options(tmp_path, **changed)).report.home_totals["gone"] == 0
    (tmp_path / "homes").rename(tmp_path / "away")
    report = run_batch(options(tmp_path)).report
    assert (report.totals["failed"], report.home_totals["gone"]) == (1, 0)
    (tmp_path / "away").rename(tmp_path / "homes")
    report = run_batch(options(tmp_path, forget=("Jane",))).report
    assert report.home_totals["gone"] == 0
    assert run_batch(options(tmp_path)).report.home_totals["gone"] == 0
    assert len(backups(tmp_path / "backups")) == 3  # zoe's too: nothing is deleted
    with pytest.raises(UsageError, match="no backup of a user `nobody`"):
        run_batch(options(tmp_path, forget=("nobody",)))


@pytest.mark.parametrize("kind", ["any_kind", "parents"])
def test_a_chain_of_links_is_one_home_s_failure(tmp_path: Path, kind: str) -> None:
    add_home(tmp_path / "homes", "jane", JANE)
    mallory = tmp_path / "homes" / "mallory"
    mallory.mkdir()
    for number in range(1_500):
        (mallory / f"link{number}").symlink_to(f"link{number + 1}")
    (mallory / ".mozilla").symlink_to("link0")
    report = run_batch(options(tmp_path, roots=Roots(**{kind: (tmp_path / "homes",)}))).report
    assert [(home.user, home.status) for home in report.homes] == [
        ("mallory", "failed"),
        ("jane", "backed-up"),
    ]


def test_passwords_do_not_leave_the_escrow(tmp_path: Path) -> None:
    add_home(tmp_path / "homes", "jane", JANE)
    escrow = (issue(rsa_key(0), "IT"),)
    run_batch(options(tmp_path, escrow=escrow))
    with pytest.raises(UsageError, match="no `--escrow-cert` is given"):
        run_batch(options(tmp_path))
    assert not (tmp_path / "backups" / "passwords.csv").exists()
    given = options(tmp_path, passwords=Secret("Correct-Horse-Battery-Staple-47"))
    assert run_batch(given).report.totals["backed-up"] == 1
    assert run_batch(options(tmp_path, no_escrow=True)).report.totals["backed-up"] == 1
    assert (tmp_path / "backups" / "passwords.csv").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_a_home_whose_name_is_no_text(tmp_path: Path) -> None:
    add_home(tmp_path / "homes", os.fsdecode(b"j\xe4ne\n"), JANE)
    assert run_batch(options(tmp_path)).report.totals["failed"] == 0
    assert [path.parent.name for path in backups(tmp_path / "backups")] == ["j_ne_"]
    assert len(opened(tmp_path / "backups")) == 1
    assert run_batch(options(tmp_path)).report.totals["unchanged"] == 1


@pytest.mark.posix("Wine has no locks")
def test_two_runs_keep_out_of_each_others_way(tmp_path: Path) -> None:
    add_home(tmp_path / "homes", "jane", JANE)
    with another_run(tmp_path / "backups"):
        with pytest.raises(FolderLockedError, match="another run is at work") as caught:
            run_batch(options(tmp_path))
        assert caught.value.exit_status == 31
        assert backups(tmp_path / "backups") == []
    # The other one was killed: its lock is gone, though the file is there.
    assert (tmp_path / "backups" / ".nssbackup" / "lock").exists()
    assert run_batch(options(tmp_path)).report.totals["failed"] == 0


@pytest.mark.posix("Wine has no locks")
def test_one_writer_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "list").touch()
    first, second = (os.open(tmp_path / "list", os.O_RDWR) for _ in range(2))
    with locked(first):
        assert lock(second, wait=False) is False
    with locked(second):
        pass
    os.close(first)
    os.close(second)


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    add_home(tmp_path / "homes", "jane", JANE)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't be written to"):
        run_batch(options(tmp_path, folder=tmp_path / "file" / "b"))

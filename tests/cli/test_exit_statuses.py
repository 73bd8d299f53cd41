"""Exit statuses: each provoked for real, and a failure leaves everything as it was."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nssbackup
from nssbackup.errors import NssBackupError
from tests import LIMIT
from tests.cli.failures import FAILURES, TAKEN, Failure
from tests.cli.runner import (
    COMMAND,
    FAST,
    STRONG,
    Cli,
    Result,
    finish,
    interrupt,
    names,
    open_for_reader,
    unprivileged,
)
from tests.conftest import MakeProfile, SnapshotOf

# The contract's table: /design/cli.md, "Exit status".
STATUSES = frozenset({0, 1, 2, 3, 4, 10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 130})

full_disk = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")


def failed(failure: Failure) -> str:
    return str(failure)


def test_success_is_0(cli: Cli, profile: MakeProfile) -> None:
    folder = profile("ec-p256")
    assert cli.export(folder, "-o", "a.pfx").status == 0
    assert cli.run("list", "--profile", folder).status == 0
    assert cli.run("verify", "--password-file", cli.password_file(), "a.pfx").status == 0


def test_help_and_version_are_0_and_on_stdout(cli: Cli) -> None:
    for words in (("--help",), ("-h",), ("--version",), ("export", "--help"), ("list", "-h")):
        result = cli.run(*words)
        assert result.status == 0
        assert result.stdout
        assert result.stderr == ""


def test_no_command_without_a_terminal_is_help_and_2(cli: Cli) -> None:
    result = cli.run()
    assert result.status == 2
    assert "Usage: nssbackup" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("failure", FAILURES, ids=failed)
def test_a_failure_has_its_status_and_sentence_and_no_trace(
    cli: Cli, profile: MakeProfile, snapshot_of: SnapshotOf, failure: Failure
) -> None:
    words = failure.words(cli, profile)
    folders = (cli.here, cli.home, cli.temporary)
    before = [snapshot_of(folder) for folder in folders]
    result = cli.run(*words)
    assert result.status == failure.status, result.stderr
    assert [snapshot_of(folder) for folder in folders] == before
    assert "Traceback" not in result.stderr
    assert '  File "' not in result.stderr
    if words[0] != "verify" or failure.status == 2:
        first = next(line for line in result.stderr.splitlines() if "error:" in line)
        assert re.fullmatch(r"nssbackup: error: \S.*[^.]", first)
        assert result.stdout == ""


def test_every_status_of_these_commands_is_provoked() -> None:
    # 0, 4 and 130 have tests of their own, 4 in test_prompts.
    assert {failure.status for failure in FAILURES} == {2, 10, 11, 12, 20, 21, 22, 30, 31, 32}


def test_no_status_1_for_a_reader_that_went_away(cli: Cli, profile: MakeProfile) -> None:
    with cli.start("list", "--profile", profile("ec-p256")) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read().decode()
        process.wait(LIMIT)
    assert process.returncode != 1
    assert "fault of nssbackup" not in said
    assert "Traceback" not in said


HELP = [("--help",), ("--version",), ("export", "--help")]


@pytest.mark.parametrize("words", HELP)
def test_help_for_a_reader_that_went_away_is_0(cli: Cli, words: tuple[str, ...]) -> None:
    end, start = os.pipe()
    os.close(end)
    result = _run(cli, *words, stdout=start)
    os.close(start)
    assert (result.status, result.stderr) == (0, "")


@pytest.mark.posix("it has a full disk and a locale of POSIX")
@full_disk
@pytest.mark.parametrize("words", [("list",), ("list", "--json"), *HELP])
def test_no_status_1_for_a_full_disk_behind_stdout(
    cli: Cli, profile: MakeProfile, words: tuple[str, ...]
) -> None:
    store = () if words in HELP else ("--profile", profile("ec-p256"))
    with Path("/dev/full").open("wb") as full:
        result = _run(cli, *words, *store, stdout=full.fileno())
    assert result.status == 31
    assert result.stderr == (
        "nssbackup: error: standard output can't be written: no space left on device\n"
    )


@full_disk
def test_an_error_that_stderr_has_no_room_for_keeps_its_status(cli: Cli) -> None:
    with Path("/dev/full").open("wb") as full:
        assert _run(cli, "list", "--nosuch", stderr=full.fileno()).status == 2
        # The document finds its place, and where it doesn't, the words do.
        store = ("list", "--json", "--profile", "nobody")
        result = _run(cli, *store, stderr=full.fileno())
        assert (result.status, result.error["code"]) == (10, "no-profile")
        result = _run(cli, *store, stdout=full.fileno())
        assert result.status == 10
        assert "nobody" in result.stderr


def _run(
    cli: Cli,
    *words: str | Path,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> Result:
    """Run a command with streams of one's own."""
    done = subprocess.run(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd=cli.here,
        env=cli.variables(),
        timeout=LIMIT,
        check=False,
    )
    return Result(done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode())


@pytest.mark.parametrize("words", [("list",), ("list", "--json")])
def test_a_closed_stdout_is_no_fault(
    cli: Cli, profile: MakeProfile, words: tuple[str, ...]
) -> None:
    closed = ("sh", "-c", 'exec "$@" >&-', "sh")
    result = cli.run(*words, "--profile", profile("ec-p256"), prefix=closed)
    assert "fault of nssbackup" not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_closed_to_the_user_is_31(
    cli: Cli, profile: MakeProfile, snapshot_of: SnapshotOf
) -> None:
    closed = cli.home / "closed"
    closed.mkdir(mode=0o500)
    before = snapshot_of(closed)
    words = ("export", "--profile", profile("ec-p256"), "--password-file", cli.password_file())
    result = cli.run(*words, "-o", closed, prefix=unprivileged())
    assert result.status == 31
    assert snapshot_of(closed) == before


def test_a_database_closed_to_the_user_is_11(cli: Cli, profile: MakeProfile) -> None:
    folder = profile("ec-p256")
    folder.joinpath("cert9.db").chmod(0)
    result = cli.run("list", "--profile", folder, prefix=unprivileged())
    assert result.status == 11
    assert "permission denied" in result.stderr


def test_a_folder_closed_to_the_user_is_11(cli: Cli, profile: MakeProfile) -> None:
    folder = profile("ec-p256")
    folder.chmod(0)
    try:
        result = cli.run("list", "--profile", folder, prefix=unprivileged())
    finally:
        folder.chmod(0o700)
    assert result.status == 11


def test_a_full_disk_is_31_and_leaves_nothing(
    cli: Cli, profile: MakeProfile, snapshot_of: SnapshotOf
) -> None:
    (cli.here / "a.pfx").write_bytes(TAKEN)
    before = snapshot_of(cli.here)
    words = ("export", "--profile", profile("ec-p256"), "--password-file", cli.password_file())
    result = cli.run(*(*words, *FAST, "-o", "a.pfx", "--force"), prefix=("prlimit", "--fsize=1000"))
    assert result.status == 31, result.stderr
    assert snapshot_of(cli.here) == before


@pytest.mark.parametrize("wrong", ["wrong", " correct horse 7", "Correct horse 7", ""])
def test_a_failing_export_leaves_a_file_even_with_force(
    cli: Cli, profile: MakeProfile, snapshot_of: SnapshotOf, wrong: str
) -> None:
    (cli.here / "a.pfx").write_bytes(TAKEN)
    before = snapshot_of(cli.here)
    primary = cli.file("primary", f"{wrong}\n")
    words = ("--primary-password-file", primary, "--force", "-o", "a.pfx")
    assert cli.export(profile("nss387-password"), *words).status == 12
    assert snapshot_of(cli.here) == before


@pytest.fixture
def blocked(cli: Cli, profile: MakeProfile) -> Iterator[subprocess.Popen[bytes]]:
    """An export in the middle: it derives, and waits for the primary password from a FIFO."""
    fifo = cli.folder / "fifo"
    os.mkfifo(fifo)
    process = cli.start(
        *("export", "--profile", profile("nss387-password"), "--primary-password-file", fifo),
        *("--password-file", cli.password_file(), "-o", "a.pfx"),
    )
    with process:
        descriptor = open_for_reader(fifo, process)
        yield process
        process.kill()
        os.close(descriptor)


@pytest.mark.posix("it has a full disk and a locale of POSIX")
@pytest.mark.parametrize("command", ["export", "repassword", "restore"])
def test_a_name_beyond_the_locale_is_refused_not_cut(cli: Cli, command: str) -> None:
    file = () if command == "export" else ("a.pfx",)
    result = cli.run(command, *file, "--name", os.fsdecode("Jané".encode("latin-1")))
    assert result.status == 2
    assert "`--name` contains characters this locale can't encode" in result.stderr


# As under `ulimit -u` or in little memory: root is above the first, the second differs everywhere.
WITHOUT_THREADS = """
import threading
def start(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
from nssbackup.__main__ import main
main()
"""


def test_where_no_thread_can_be_had_it_works_without(cli: Cli, profile: MakeProfile) -> None:
    given = ("--password-file", cli.password_file(), "--kdf-rounds", "20000", "-o", "a.pfx")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THREADS, "export", "--profile", profile("ec-p256"), *given],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=cli.here,
        env=cli.variables(),
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert cli.verify(cli.here / "a.pfx")[0]["ok"]


def test_ctrl_c_is_130_and_leaves_nothing(cli: Cli, blocked: subprocess.Popen[bytes]) -> None:
    result = interrupt(blocked)
    assert result.status == 130
    assert result.stderr == "nssbackup: error: interrupted; nothing was written\n"
    assert names(cli.here) == []
    assert names(cli.temporary) == []


def test_ctrl_c_at_any_moment_leaves_a_whole_file_or_none(cli: Cli, profile: MakeProfile) -> None:
    folder = profile("ec-p256")
    words = ("export", "-v", "--profile", folder, "--password-file", cli.password_file())
    with cli.start(*words, "-o", "a.pfx") as process:
        assert process.stderr is not None
        process.stderr.readline()  # the profile is being read, the derivations run
        result = interrupt(process)
    assert (result.status, names(cli.here)) in ((130, []), (0, ["a.pfx"]))
    assert "Traceback" not in result.stderr


def test_a_wrong_backup_password_is_32(cli: Cli, profile: MakeProfile) -> None:
    assert cli.export(profile("ec-p256"), "-o", "a.pfx").status == 0
    result = cli.run("verify", "--password-file", cli.file("other", "other\n"), "a.pfx")
    assert result.status == 32


def test_a_wrong_primary_password_warns_of_the_reset(cli: Cli, profile: MakeProfile) -> None:
    primary = cli.file("primary", "wrong\n")
    result = cli.export(profile("nss387-password"), "--primary-password-file", primary)
    assert "deletes every certificate and key" in result.stderr


def test_an_engine_that_is_not_here_is_13_or_unknown(cli: Cli, profile: MakeProfile) -> None:
    result = cli.run("list", "--engine", "nss", "--profile", profile("ec-p256"))
    assert result.status in (0, 2, 13)  # 0 where NSS is installed, 2 before the engine exists
    assert "Traceback" not in result.stderr


def _classes() -> list[type[NssBackupError]]:
    """Every error class, wherever in the package it is defined, but bases without a code."""
    for module in pkgutil.walk_packages(nssbackup.__path__, "nssbackup."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[NssBackupError]] = []
    waiting: list[type[NssBackupError]] = [NssBackupError]
    while waiting:
        one = waiting.pop()
        is_base = bool(one.__subclasses__()) and "code" not in vars(one)
        if one.__module__.startswith("nssbackup.") and not is_base:
            found.append(one)
        waiting.extend(one.__subclasses__())
    return found


def test_every_error_has_its_code_and_a_status_of_the_table() -> None:
    classes = _classes()
    codes = [one.code for one in classes]
    assert sorted(codes) == sorted(set(codes))
    assert {one.exit_status for one in classes} <= STATUSES
    for one in classes:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one.code)
        # A class without a code of its own would bear its parent's.
        assert "code" in vars(one)


def test_only_the_root_and_internal_faults_have_status_1() -> None:
    ones = {one.__name__ for one in _classes() if one.exit_status == 1}
    assert ones == {"NssBackupError", "InternalError"}


def test_the_password_is_never_in_a_failure(cli: Cli, profile: MakeProfile) -> None:
    result = cli.export(profile("two-people"))
    assert STRONG not in result.stdout + result.stderr


def test_a_command_that_was_started_and_ended_says_so(cli: Cli) -> None:
    with cli.start("--version") as process:
        assert finish(process).stdout.startswith("nssbackup ")

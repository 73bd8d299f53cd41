"""Secrets of a running process: its memory, its faults, and what is logged at any level."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import LIMIT, PROJECT
from tests.cli.runner import FAST, Cli, finish, names, open_for_reader
from tests.cli.test_secrets import (
    BACKUP,
    PRIMARY,
    assert_clean,
    files_in,
    given,
    process_list,
)
from tests.conftest import MakeProfile
from tests.peers import need

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc and core dumps of Linux")


STORE = "nss387-password"
PACKAGE = PROJECT / "nssbackup"
_NO_LIMIT = ("prlimit", "--core=unlimited:unlimited")

# Loaded by Python itself before anything else: every log at every level goes to stderr, and what
# is told to fail does, with all the secrets it has in its message, its cause and its locals.
_SITE = """
import logging, os, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(name)s %(message)s")
logging.captureWarnings(True)
if os.environ.get("BREAK"):
    import importlib
    module, kind, method = os.environ["BREAK"].split(":")
    owner = getattr(importlib.import_module(module), kind)
    def fail(*values, **more):
        passwords = {password!r}
        held = [*values, *(getattr(one, "key", None) for one in values)]
        known = [str(values), repr(more), passwords, [getattr(one, "pkcs8", b"") for one in held]]
        try:
            raise KeyError(known)
        except KeyError as error:
            raise RuntimeError(str(known)) from error
    setattr(owner, method, fail)
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Somebody who has Python log everything, in development mode, with its fault handler."""
    site = tmp_path / "site"
    site.mkdir()
    passwords = repr([BACKUP, PRIMARY])
    (site / "sitecustomize.py").write_text(_SITE.replace("{password!r}", passwords))
    variables = {"PYTHONPATH": str(site), "PYTHONDEVMODE": "1", "PYTHONFAULTHANDLER": "1"}
    return Cli(tmp_path, variables)


def _broken(cli: Cli, what: str) -> Cli:
    return Cli(cli.folder, {**cli.environment, "BREAK": what})


@contextmanager
def _waiting(
    cli: Cli, profile: Path, *prefix: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """An export that has the backup password and waits for the other one from a FIFO."""
    backup, _ = given(cli)
    fifo = cli.folder / "fifo"
    os.mkfifo(fifo)
    words = ("export", "--profile", profile, "--password-file", backup, "-o", "a.pfx", *FAST)
    with cli.start(*words, "--primary-password-file", fifo, prefix=prefix) as process:
        try:
            yield process, fifo
        finally:
            process.kill()


def _limit_kept() -> str | None:
    """Why a process can't be begun without a limit for core dumps; None if it can."""
    if shutil.which(_NO_LIMIT[0]) is None:
        return "no prlimit is installed"
    done = subprocess.run([*_NO_LIMIT, "true"], check=False, capture_output=True)
    return "the limit for core dumps can't be lifted here" if done.returncode else None


def test_a_process_that_aborts_leaves_no_core_and_no_secret(
    cli: Cli, profile: MakeProfile, require_peers: bool
) -> None:
    need(_limit_kept(), required=require_peers)
    with _waiting(cli, profile(STORE), *_NO_LIMIT) as (process, fifo):
        end = open_for_reader(fifo, process)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert "Max core file size        0                    0" in limits
        process.send_signal(signal.SIGABRT)
        result = finish(process)
        os.close(end)
    assert result.status == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in result.stderr
    assert_clean(STORE, "the output", result.stdout, result.stderr)
    assert names(cli.here) == []
    assert_clean(STORE, "what is left", *files_in(cli.temporary))


def test_nobody_but_root_looks_into_the_memory(tmp_path: Path) -> None:
    for script in (PACKAGE / "system" / "ownership.py", PACKAGE / "stores" / "nss" / "worker.py"):
        code = (
            "import ctypes, resource, runpy, sys\n"
            "dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE\n"
            "print(dumpable())\n"
            f"names = runpy.run_path({str(script)!r})\n"
            "names.get('keep_memory_private', names.get('_keep_memory_private'))()\n"
            "print(dumpable(), resource.getrlimit(resource.RLIMIT_CORE))"
        )
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == "1\n0 (0, 0)\n", script


def test_every_process_sees_to_it_before_it_is_told_anything(require_peers: bool) -> None:
    """Also where a limit was not inherited: each is started with none."""
    need(_limit_kept(), required=require_peers)
    for script in ("stores/nss/worker.py",):
        words = [*_NO_LIMIT, sys.executable, "-I", str(PACKAGE / script), str(PACKAGE.parent)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            limits = Path(f"/proc/{process.pid}/limits")
            deadline = time.monotonic() + LIMIT
            while "Max core file size        0  " not in limits.read_text():
                assert process.poll() is None, script
                assert time.monotonic() < deadline, script
                time.sleep(0.01)
            process.kill()


@pytest.mark.parametrize(
    ("what", "command", "json_"),
    [
        ("nssbackup.backups.writing:Backup:write", "export", False),
        ("nssbackup.stores.native.store:NativeStore:private_key", "export", True),
        ("nssbackup.pkcs12.write:PfxWriter:encode_all", "repassword", False),
        ("nssbackup.restore.plan:Plan:additions", "restore", True),
    ],
)
def test_a_fault_of_ours_with_every_secret_in_hand_shows_none(
    cli: Cli, profile: MakeProfile, what: str, command: str, json_: bool
) -> None:
    backup, primary = given(cli)
    folder = profile(STORE)
    sealed = cli.here / "sealed.pfx"
    source = ("--profile", folder, "--primary-password-file", primary)
    words: dict[str, tuple[str | Path, ...]] = {
        "export": (*source, *FAST, "-o", "a"),
        "repassword": (sealed, "--old-password-file", backup, "-o", "a", *FAST),
        "restore": (sealed, *source),
    }
    if command != "export":
        made = cli.run("export", "--password-file", backup, *source, *FAST, "-o", sealed)
        assert made.status == 0, made
        if command == "restore":
            for name in ("cert9.db", "key4.db"):
                (folder / name).unlink()
    more = ("--json",) if json_ else ("-v",)
    result = _broken(cli, what).run(command, "--password-file", backup, *words[command], *more)
    assert result.status == 1, result
    assert "sitecustomize.py" in result.stderr  # where it happened is told, and nothing else
    assert_clean(STORE, "the output", result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    if json_:
        assert json.loads(result.stdout)["error"]["code"] == "internal-error"
    assert not (cli.here / "a.pfx").exists()
    assert_clean(STORE, "what is left", *files_in(cli.temporary), *files_in(cli.here))


def test_nothing_secret_is_logged_at_any_level(cli: Cli, profile: MakeProfile) -> None:
    backup, primary = given(cli)
    folder = profile(STORE)
    source = ("--profile", folder, "--primary-password-file", primary)
    results = [
        cli.run("export", "-v", *source, "--password-file", backup, *FAST, "-o", "a.pfx"),
        cli.run("verify", "-v", "--password-file", backup, "a.pfx"),
        cli.run(
            *("repassword", "-v", "a.pfx", "--old-password-file", backup, "-o", "b.pfx"),
            *("--password-file", primary, *FAST),
        ),
        cli.run("restore", "-v", "a.pfx", *source, "--password-file", backup),
        cli.run("export", "-v", *source, "--password-file", primary, *FAST, "-o", "/nowhere/a"),
    ]
    assert [result.status for result in results] == [0, 0, 0, 0, 31], results
    for result in results:
        assert_clean(STORE, "the output", result.stdout, result.stderr)
    assert_clean(STORE, "what is left", *files_in(cli.temporary), *files_in(cli.home))


@pytest.mark.parametrize("command", ["repassword", "restore"])
def test_nothing_secret_is_in_other_commands_process_list(
    tmp_path: Path, profile: MakeProfile, command: str
) -> None:
    cli = Cli(tmp_path)
    backup, primary = given(cli)
    folder = profile(STORE)
    made = ("export", "--profile", folder, "--primary-password-file", primary, *FAST, "-o", "a")
    assert cli.run(*made, "--password-file", backup).status == 0
    fifo = cli.folder / "fifo"
    os.mkfifo(fifo)
    words = {
        "repassword": ("a.pfx", "--old-password-file", fifo, "-o", "b.pfx", *FAST),
        "restore": ("a.pfx", "--profile", folder, "--primary-password-file", fifo),
    }[command]
    answer = {"repassword": BACKUP, "restore": PRIMARY}[command]
    with cli.start(command, "--password-file", backup, *words) as process:
        with open(open_for_reader(fifo, process), "wb") as end:  # noqa: PTH123 - a descriptor
            seen = [process_list(process.pid)]
            end.write(f"{answer}\n".encode())
        while process.poll() is None:
            seen.append(process_list(process.pid))
        result = finish(process)
    assert result.status == 0, result
    assert command.encode() in seen[0]
    assert_clean(STORE, "the process list", *seen)

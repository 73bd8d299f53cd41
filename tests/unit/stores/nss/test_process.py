"""The worker's process: whatever it does, it ends in words, in time, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nssbackup.errors import EngineFailedError, EngineUnavailableError
from nssbackup.stores.nss.process import (
    Program,
    RefusedError,
    WorkerProcess,
    _environment,
    nss_version,
)
from tests import LIMIT

pytestmark = pytest.mark.posix("the engine nss is not for Windows")

TALKS = """
import json, os, sys
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"result": request}), flush=True)
"""
"""A worker that answers each request with the request."""

Make = Callable[[str], Program]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    def make(text: str, time_limit: float = 20.0) -> Program:
        script = tmp_path / "script.py"
        script.write_text(text, encoding="utf-8")
        return Program(script, time_limit)

    return make


def children() -> set[int]:
    """The processes that this one has started and not waited for."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (folder / "stat").read_text().rpartition(") ")[2].split()[1]
            if int(parent) == os.getpid():
                found.add(int(folder.name))
    return found


def test_requests_and_answers_go_in_turn(made: Make) -> None:
    with WorkerProcess(made(TALKS)) as worker:
        for number in range(3):
            asked = {"operation": "echo", "number": number, "text": "ü\U0001f511 \ud800"}
            assert worker.ask(**asked) == asked  # type: ignore[arg-type]  # its name is one of them


def test_a_request_larger_than_a_pipe_arrives(made: Make) -> None:
    text = "x" * 1_000_000
    with WorkerProcess(made(TALKS)) as worker:
        assert worker.ask("echo", text=text)["text"] == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ended before it answered"),
        ("raise SystemExit(3)", "ended before it answered"),
        ("import os; os.kill(os.getpid(), 9)", "ended before it answered"),
        ("import os; os.kill(os.getpid(), 11)", "ended before it answered"),
        ("input(); import os; os.kill(os.getpid(), 9)", "ended before it answered"),
        ("input(); print('no line end', end='')", "ended before it answered"),
        ("import os; os.close(1); os.close(0); import time; time.sleep(600)", "ended before"),
        ("input(); print()", "sent an invalid answer"),
        ("input(); print('Segmentation fault')", "sent an invalid answer"),
        ("input(); print(7)", "sent an invalid answer"),
        ("input(); print('[]')", "sent an invalid answer"),
        ("input(); print('{}')", "sent an invalid answer"),
        ("input(); print('[' * 100000)", "sent an invalid answer"),
        ("import os; input(); os.write(1, b'\\xff\\xfe\\n')", "sent an invalid answer"),
        ("import time; time.sleep(600)", "did not answer within 0.5 seconds"),
        ("import time; input(); print('{', end='', flush=True); time.sleep(600)", "within 0.5"),
    ],
)
def test_a_worker_that_fails_is_an_error_in_words_and_no_zombie(
    made: Callable[..., Program], text: str, said: str
) -> None:
    before = children()
    limit = 0.5 if "0.5" in said else LIMIT
    with WorkerProcess(made(text, limit)) as worker, pytest.raises(EngineFailedError) as caught:
        worker.ask("hello")
    assert said in caught.value.message
    assert caught.value.exit_status == 11
    assert caught.value.hint is not None
    assert children() == before


def test_a_worker_that_ignores_everything_is_ended(
    made: Callable[..., Program],
) -> None:
    program = made(
        "import signal, time\n"
        "for number in (2, 13, 15): signal.signal(number, signal.SIG_IGN)\n"
        "time.sleep(600)",
        0.5,
    )
    before = children()
    with WorkerProcess(program) as worker, pytest.raises(EngineFailedError, match="did not answer"):
        worker.ask("unlock", password="x" * 10_000_000)  # more than a pipe takes
    assert children() == before


def test_what_the_worker_started_ends_with_it(made: Make, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = made(
        "import subprocess, sys, json\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(pid)!r}, 'w').write(str(child.pid))\n"
        "input(); print(json.dumps({'result': 1}), flush=True); input()"
    )
    with WorkerProcess(program) as worker:
        assert worker.ask("hello") == 1
    _wait_until(lambda: _is_gone(pid.read_text()))


def test_an_answer_is_read_up_to_a_bound(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nssbackup.stores.nss.process._LONGEST_ANSWER", 100_000)
    endless = "import sys\ninput()\nwhile True: sys.stdout.write('x' * 65536)"
    with WorkerProcess(made(endless)) as worker, pytest.raises(EngineFailedError, match="ended"):
        worker.ask("hello")


def test_a_refusal_has_nss_own_name_for_it(made: Make) -> None:
    answer = json.dumps({"error": "(SEC_ERROR_BAD_DATABASE) security library: bad database."})
    with WorkerProcess(made(f"input(); print({answer!r})")) as worker:
        with pytest.raises(RefusedError) as caught:
            worker.ask("open")
        assert caught.value.name == "SEC_ERROR_BAD_DATABASE"
        assert caught.value.message == (
            "NSS refused: (SEC_ERROR_BAD_DATABASE) security library: bad database"
        )
        assert caught.value.exit_status == 11


def test_after_its_end_every_request_fails_at_once(made: Make) -> None:
    with WorkerProcess(made("raise SystemExit")) as worker:
        for _ in range(3):
            with pytest.raises(EngineFailedError, match="ended"):
                worker.ask("hello")
    with pytest.raises(EngineFailedError):
        worker.ask("hello")


def test_a_python_that_is_not_there_is_an_error_in_words(
    made: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    program = made(TALKS)
    with pytest.raises(EngineFailedError, match="can't be started: no such file"):
        WorkerProcess(program)
    with pytest.raises(EngineUnavailableError, match="can't be started"):
        nss_version(program, None)


def test_the_worker_has_no_terminal_and_shows_no_secret(
    made: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "json.py").write_text("raise SystemExit('loaded')")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
    program = made(
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    print(json.dumps({'result': [os.getsid(0) == os.getpid(), sys.argv[1:],\n"
        "        dict(os.environ), open('/proc/self/cmdline').read()]}), flush=True)"
    )
    with WorkerProcess(program) as worker:
        own_session, arguments, environment, line = worker.ask("unlock", password="s3cr3t-here")
        shown = subprocess.run(["ps", "axeww"], capture_output=True, check=True).stdout
    assert own_session
    assert all(Path(each).is_absolute() for each in arguments)
    assert "s3cr3t-here" not in json.dumps([arguments, environment, line])
    assert b"s3cr3t-here" not in shown


@pytest.mark.parametrize(
    ("ours", "libraries", "expected"),
    [
        ({}, None, None),
        ({}, "/firefox", "/firefox"),
        ({"LD_LIBRARY_PATH": ""}, None, None),
        ({"LD_LIBRARY_PATH": ":"}, None, None),
        ({"LD_LIBRARY_PATH": ".:lib:../x"}, None, None),
        ({"LD_LIBRARY_PATH": "/opt/nss/lib"}, None, "/opt/nss/lib"),
        ({"LD_LIBRARY_PATH": ":/opt/nss/lib::lib:/b:"}, None, "/opt/nss/lib:/b"),
        ({"LD_LIBRARY_PATH": "/opt/nss/lib:."}, "/firefox", "/firefox:/opt/nss/lib"),
    ],
)
def test_libraries_are_looked_for_in_absolute_folders_only(
    ours: dict[str, str], libraries: str | None, expected: str | None
) -> None:
    found = _environment(ours, None if libraries is None else Path(libraries))
    assert found.get("LD_LIBRARY_PATH") == expected


def test_what_would_change_how_nss_works_is_left_out() -> None:
    ours: dict[str, Any] = {
        "NSS_DEFAULT_DB_TYPE": "dbm",
        "NSS_SDB_USE_CACHE": "yes",
        "NSPR_LOG_FILE": "/log",
        "NSPR_LOG_MODULES": "all:5",
        "NSRANDFILE": "/file",
        "HOME": "/home/jane",
        "LANG": "de_CH.UTF-8",
    }
    assert _environment(ours, None) == {"HOME": "/home/jane", "LANG": "de_CH.UTF-8"}


def _is_gone(pid: str) -> bool:
    """Return whether a process has ended, even if nobody has asked for its status yet."""
    try:
        return ") Z " in Path("/proc", pid, "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

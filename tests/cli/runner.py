"""Run the real command line in a process of its own: with files, pipes, or on a pseudo-terminal.

Each `Cli` has its own home, current folder and folder for temporary files, and its processes see no
other variable of this one's environment.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import LIMIT
from tests.cli.forks import HEARS_SIGNALS, fork

COMMAND = (sys.executable, "-m", "nssbackup")
SILENCE = 120.0  # seconds after which a command on a terminal is taken to wait for an answer

# Rounds are the time that a backup takes, and rarely what a test is about.
FAST = ("--kdf-rounds", "2048")
STRONG = "Correct-Horse-Battery-Staple-47"

# Root may read and write everything; without these capabilities it is a user like any other.
_UNPRIVILEGED = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner")

# Makes the pseudo-terminal on stdin the controlling one, so that Ctrl-C arrives as a signal.
ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " os.execv(sys.executable, [sys.executable, '-m', 'nssbackup', *sys.argv[1:]])"
)
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

# An answer that types the generated password which the command has shown.
SHOWN = "shown"

CTRL_C, CTRL_D = "\x03", "\x04"


# What no input may cost one command.
SECONDS = 5.0
MEGABYTES = 256


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended, what it wrote, and what it took if it was forked."""

    status: int
    stdout: str
    stderr: str
    seconds: float = 0.0
    megabytes: float = 0.0

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout: exactly one, and nothing beside it."""
        parsed = json.loads(self.stdout)
        assert isinstance(parsed, dict)
        return parsed

    @property
    def error(self) -> dict[str, Any]:
        """The error of the JSON document."""
        found = self.document["error"]
        assert isinstance(found, dict)
        return found

    def behaved(self, *statuses: int) -> None:
        """Require one of these statuses, no traceback, and no more than an input may cost."""
        assert self.status in statuses, (self.status, self.stdout, self.stderr)
        assert "Traceback" not in self.stderr
        if sys.platform != "win32":  # nothing is forked there, so nothing is measured
            assert 0 < self.seconds < SECONDS, self
            assert 0 < self.megabytes < MEGABYTES, self


@dataclass(frozen=True, slots=True)
class Talk:
    """How a command on a terminal ended, all that the terminal showed, and what went to a file."""

    status: int
    transcript: str
    stdout: str

    @property
    def text(self) -> str:
        """The transcript without escape sequences."""
        return _ESCAPE.sub("", self.transcript)


@dataclass(frozen=True, slots=True)
class Cli:
    """A user with a home of their own, who types commands.

    Attributes:
        folder: where all of it lies.
        environment: variables beyond the usual ones.
        fresh: whether each command starts Python anew, rather than forks from a server.
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False

    def __post_init__(self) -> None:
        for made in (self.home, self.here, self.temporary):
            made.mkdir(parents=True, exist_ok=True)

    @property
    def home(self) -> Path:
        """The home folder; empty at the beginning."""
        return self.folder / "home"

    @property
    def here(self) -> Path:
        """The current folder of the commands; empty at the beginning."""
        return self.folder / "here"

    @property
    def temporary(self) -> Path:
        """The folder for temporary files; nothing may stay in it."""
        return self.folder / "temporary"

    def variables(self) -> dict[str, str]:
        """The environment of the commands."""
        kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
        system = self._of_windows() if sys.platform == "win32" else self._of_posix()
        return {"PATH": os.environ.get("PATH", os.defpath), **kept, **system, **self.environment}

    def _of_posix(self) -> dict[str, str]:
        return {"LANG": "C.UTF-8", "HOME": str(self.home), "TMPDIR": str(self.temporary)}

    def _of_windows(self) -> dict[str, str]:
        kept = ("SYSTEMROOT", "SYSTEMDRIVE", "PATHEXT", "PYTHONPATH", "WINEPREFIX", "WINEDEBUG")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "USERPROFILE": str(self.home),
            "APPDATA": str(self.home / "AppData" / "Roaming"),
            "LOCALAPPDATA": str(self.home / "AppData" / "Local"),
            "MOZ_APP_DATA": str(self.home / ".mozilla" / "firefox"),  # where most tests put it
            "TMPDIR": str(self.temporary),  # Wine has its own idea of TEMP
            "PYTHONUTF8": "1",  # for the tests' own pipes: they decode what is written as UTF-8
        }

    def file(self, name: str, content: str | bytes) -> Path:
        """A file of the user's, beside the home folder."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o600)
        return path

    def password_file(self, password: str = STRONG) -> Path:
        """A file with a password in it."""
        return self.file("password", f"{password}\n")

    def start(
        self,
        *arguments: str | Path,
        stdin: int = subprocess.DEVNULL,
        prefix: Sequence[str] = (),
        umask: int = -1,
    ) -> subprocess.Popen[bytes]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            [*HEARS_SIGNALS, *prefix, *COMMAND, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.here,
            env=self.variables(),
            umask=umask,
        )

    def run(
        self,
        *arguments: str | Path,
        stdin: bytes | None = None,
        prefix: Sequence[str] = (),
        umask: int = -1,
    ) -> Result:
        """Run a command to its end; without `stdin` there is none."""
        if stdin is None and umask == -1 and not self._starts_anew(prefix):
            streams = (self.folder / "forked-stdout", self.folder / "forked-stderr")
            forked = fork(arguments, self.here, self.variables(), (os.devnull, *streams))
            ended = forked.wait()
            out, err = (stream.read_bytes().decode() for stream in streams)
            for stream in streams:
                stream.unlink()
            return Result(ended.status, out, err, ended.seconds, ended.megabytes)
        pipe = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        with self.start(*arguments, stdin=pipe, prefix=prefix, umask=umask) as process:
            try:
                return finish(process, stdin)
            finally:
                process.kill()

    def _starts_anew(self, prefix: Sequence[str]) -> bool:
        return sys.platform == "win32" or self.fresh or bool(prefix or self.environment)

    def export(self, profile: Path, *arguments: str | Path, password: str = STRONG) -> Result:
        """Run `export` for a profile with a password file and, unless given others, few rounds."""
        file = self.password_file(password)
        rounds = () if FAST[0] in arguments else FAST
        words = ("--profile", profile, "--password-file", file, *rounds, *arguments)
        return self.run("export", *words)

    def verify(self, *files: Path, password: str = STRONG) -> list[dict[str, Any]]:
        """Run `verify --json` and return what it says of each file."""
        given = self.password_file(password)
        found = self.run("verify", "--json", "--password-file", given, *files)
        assert found.stderr == ""
        verdicts = found.document["files"]
        assert isinstance(verdicts, list)
        return verdicts

    def talk(
        self,
        *arguments: str | Path,
        answers: Sequence[tuple[str, str]],
        split: bool = False,
        prefix: Sequence[str] = (),
    ) -> Talk:
        """Run a command on a pseudo-terminal.

        Args:
            arguments: of the command.
            answers: pairs of a text that the command shows and what is typed thereupon.
            split: whether stdout is a file instead of the terminal.
            prefix: words before the command; they have to end in its place.
        """
        terminal, end = open_terminal()
        output = self.folder / "stdout"
        output.write_bytes(b"")
        variables = {"TERM": "xterm-256color", **self.variables()}
        if not self._starts_anew(prefix):
            name = os.ttyname(end)
            streams = (name, output if split else name, name)
            forked = fork(arguments, self.here, variables, streams, leads=True)
            try:
                os.close(end)
                transcript = converse(forked.pid, terminal, answers)
            except BaseException:
                os.kill(forked.pid, signal.SIGKILL)
                raise
            finally:
                status = forked.wait().status
                os.close(terminal)
            return Talk(status, transcript, output.read_text())
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*HEARS_SIGNALS, *prefix, sys.executable, "-c", ON_TERMINAL, *arguments],
                stdin=end,
                stdout=file if split else end,
                stderr=end,
                cwd=self.here,
                env=variables,
                start_new_session=True,
            )
        os.close(end)
        with process:
            try:
                transcript = converse(process.pid, terminal, answers)
                status = process.wait(LIMIT)
            finally:
                process.kill()
                os.close(terminal)
        return Talk(status, transcript, output.read_text())


def open_terminal() -> tuple[int, int]:
    """Open both ends of a pseudo-terminal of 50 lines and 200 columns."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    return terminal, end


def finish(process: subprocess.Popen[bytes], stdin: bytes | None = None) -> Result:
    """Wait for the end of a command."""
    out, err = process.communicate(stdin, LIMIT)
    stdout, stderr = (said.decode().replace("\r\n", "\n") for said in (out, err))
    return Result(process.returncode, stdout, stderr)


def unprivileged() -> tuple[str, ...]:
    """The words before a command that make it respect file modes; none where it does anyway."""
    return _UNPRIVILEGED if os.geteuid() == 0 else ()


def interrupt(process: subprocess.Popen[bytes]) -> Result:
    """What Ctrl-C does to a command without a terminal."""
    process.send_signal(signal.SIGINT)
    return finish(process)


def open_for_reader(fifo: Path, process: subprocess.Popen[bytes]) -> int:
    """Wait until a command reads a FIFO, and return the other end of it."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        if process.poll() is not None:
            break
        time.sleep(0.01)
    pytest.fail(f"`{fifo.name}` was never read: {finish(process)}")


def names(folder: Path) -> list[str]:
    """The names of all that lies in a folder."""
    return sorted(entry.name for entry in folder.iterdir())


def without_one(mapping: Mapping[str, object], keys: Sequence[str]) -> set[str]:
    """Which of the keys a JSON object lacks."""
    return set(keys) - set(mapping)


def wait_until_asleep(pid: int) -> None:
    """Wait until a process that has asked waits for the answer.

    Python's `read` never hears of a signal that comes after its last look for one and before the
    system call; no person presses Ctrl-C within these microseconds, but `_converse` may.
    """
    status = Path(f"/proc/{pid}/status")
    fields = ("State:", "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:")
    deadline = time.monotonic() + LIMIT
    before: list[str] = []
    while time.monotonic() < deadline:
        now = [line for line in status.read_text().splitlines() if line.startswith(fields)]
        if now == before and "S (sleeping)" in now[0]:
            return
        before = now
        time.sleep(0.01)
    pytest.fail(f"the command asks and does not wait: {before}")


def _unbroken(shown: str) -> str:
    """What was shown, without escape sequences and with each line break as a blank."""
    return re.sub(r"\s*\r?\n\s*", " ", _ESCAPE.sub("", shown))


def converse(pid: int, terminal: int, answers: Sequence[tuple[str, str]]) -> str:
    """Answer what a process asks on a terminal, and return all that the terminal showed."""
    shown, position = "", 0
    left = list(answers)
    while True:
        while left and (found := _unbroken(shown).find(left[0][0], position)) >= 0:
            expected, typed = left.pop(0)
            position = found + len(expected)
            if typed == SHOWN:
                typed = re.findall(r"Password of the backup: (\S+)", shown)[-1] + "\n"
            if CTRL_C in typed:
                wait_until_asleep(pid)
            os.write(terminal, typed.encode())
        ready, _, _ = select.select([terminal], [], [], SILENCE)
        if not ready:
            pytest.fail(f"the command waits at:\n{shown}")
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other end is closed: Linux says EIO
            data = b""
        if not data:
            break
        shown += data.decode("utf-8", "replace")
    assert not left, f"never asked: {left[0][0]!r} in:\n{shown}"
    return shown

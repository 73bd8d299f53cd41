"""A real shell on a pseudo-terminal, whose `nssbackup` completes and otherwise notes its arguments.

What a shell makes of a completed line is seen in what it calls, not in what the terminal shows.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shlex
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.runner import SILENCE, Cli

SHELLS = ("bash", "zsh", "fish")

TAB, ENTER = "\t", "\r"

# The prompt is the number of calls so far: a new number means that the last one is done.
_SETTINGS = {
    "bash": (".bashrc", "PS1='<$(cat ~/calls)>'; unset HISTFILE\n"),
    "zsh": (".zshrc", "setopt prompt_subst; PROMPT='<$(cat ~/calls)>'\n"),
    "fish": (
        ".config/fish/config.fish",
        "set fish_greeting; function fish_prompt; echo -n '<'(cat ~/calls)'>'; end\n",
    ),
}
_START = {
    "bash": ("bash", "--noprofile", "-i"),
    "zsh": ("zsh", "-i"),
    "fish": ("fish", "--private", "-i"),
}

_NSSBACKUP = """\
#!/bin/sh
[ -n "$_NSSBACKUP_COMPLETE" ] && exec {python} -m nssbackup "$@"
printf '%s\\0' "$@" > ~/arguments
echo "$(($(cat ~/calls) + 1))" > ~/calls.new
mv ~/calls.new ~/calls
"""


def missing(shell: str) -> str | None:
    """Why a shell can't be used, or None."""
    return None if shutil.which(shell) else f"{shell} is not installed"


def install(cli: Cli, shell: str) -> None:
    """Write the user's settings, with Typer's completion script in them."""
    asking = Cli(cli.folder, {"_NSSBACKUP_COMPLETE": f"source_{shell}"})
    script = asking.run()
    assert (script.status, script.stderr) == (0, "")
    file, prompt = _SETTINGS[shell]
    start = "autoload -Uz compinit; compinit -u\n" if shell == "zsh" else ""
    _write(cli.home / file, f"{prompt}{start}{script.stdout}")


@dataclass(slots=True)
class Interactive:
    """A shell that waits for what is typed."""

    cli: Cli
    terminal: int
    shown: str = ""

    def typed(self, keys: str) -> list[str]:
        """The arguments that `nssbackup` is called with when these keys and Enter are typed."""
        seen = len(self.shown)
        calls = int((self.cli.home / "calls").read_text())
        os.write(self.terminal, (keys + ENTER).encode())
        self.wait_for_prompt(calls + 1, seen)
        noted = (self.cli.home / "arguments").read_bytes().decode()
        return noted.split("\0")[:-1]

    def wait_for_prompt(self, calls: int, seen: int = 0) -> None:
        """Read until the shell asks for a command."""
        while f"<{calls}>" not in self.shown[seen:]:
            ready, _, _ = select.select([self.terminal], [], [], SILENCE)
            if not ready:
                pytest.fail(f"no prompt; the terminal shows:\n{self.shown}")
            try:
                self.shown += os.read(self.terminal, 65536).decode("utf-8", "replace")
            except OSError:
                pytest.fail(f"the shell has ended; the terminal shows:\n{self.shown}")


@contextmanager
def interactive(cli: Cli, shell: str) -> Iterator[Interactive]:
    """Start a shell with the user's settings."""
    programs = cli.folder / "programs"
    _write(programs / "nssbackup", _NSSBACKUP.format(python=shlex.quote(sys.executable)))
    (programs / "nssbackup").chmod(0o755)
    _write(cli.home / "calls", "0\n")
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    variables = cli.variables()
    variables |= {"PATH": f"{programs}:{variables['PATH']}", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", _ON_TERMINAL, *_START[shell]],
        stdin=end,
        stdout=end,
        stderr=end,
        cwd=cli.here,
        env=variables,
        start_new_session=True,
    )
    os.close(end)
    try:
        started = Interactive(cli, terminal)
        started.wait_for_prompt(0)
        yield started
    finally:
        os.close(terminal)
        process.kill()
        process.wait()


# A shell with jobs wants the terminal to be its own.
_ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " os.execvp(sys.argv[1], sys.argv[1:])"
)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")

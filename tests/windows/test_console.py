"""Questions on the console of Windows' Python: Wine's console, on a pseudo-terminal of Linux."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tty
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nssbackup.pkcs12 import open_pfx
from nssbackup.secret import Secret
from tests import LIMIT, PROFILES, PROJECT, windows
from tests.cli.runner import FAST, STRONG, Cli, Talk, converse, open_terminal
from tests.peers import need

TalkTo = Callable[..., Talk]

LEFT, END, DELETE, BACKSPACE, CTRL_D = "\x1b[D", "\x1b[F", "\x1b[3~", "\x7f", "\x04"
NEW, AGAIN = "New password for the backup", "The same again:"
FOREIGN = "Grün-日本-Batterie-😀-Staple"

# Takes the terminal, and becomes Wine. There, the user's folders come from Wine's own variables.
ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " os.execvp('wine', ['wine', *sys.argv[1:]])"
)
AS_JANE = (
    "import os, sys; home = sys.argv[1]; roaming = home + r'\\AppData\\Roaming';"
    " os.environ.update(USERPROFILE=home, APPDATA=roaming, LOCALAPPDATA=roaming);"
    " sys.argv[:2] = ['nssbackup']; from nssbackup.__main__ import main; main()"
)


@pytest.fixture
def jane(tmp_path: Path, *, require_peers: bool) -> Cli:
    """A user of Windows with a profile where Windows' Firefox has it."""
    if reason := windows.unsupported():
        pytest.skip(reason)
    need(windows.missing(), required=require_peers)
    cli = Cli(tmp_path)
    root = cli.home / "AppData" / "Roaming" / "Mozilla" / "Firefox"
    shutil.copytree(PROFILES / "firefox-nopassword", root / "Profiles" / "x1.work")
    lines = ("[Profile0]", "Name=work", "IsRelative=1", "Path=Profiles/x1.work")
    (root / "profiles.ini").write_text("\r\n".join(lines))
    return cli


@pytest.fixture
def talk(jane: Cli) -> TalkTo:
    """Run a command on Windows' console, and type answers."""
    site = windows.metadata(jane.folder / "site")

    def run(*words: str, answers: Sequence[tuple[str, str]]) -> Talk:
        terminal, end = open_terminal()
        tty.setraw(end)  # Wine's console wants the keys as they are
        python = str(windows.folder() / "python" / "python.exe")
        home = windows.windows_path(jane.home)
        with subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, python, "-c", AS_JANE, home, *words],
            stdin=end,
            stdout=end,
            stderr=end,
            cwd=jane.here,
            env=windows.variables(jane.temporary, (PROJECT, site), TERM="xterm"),
            start_new_session=True,
        ) as process:
            os.close(end)
            try:
                # Wine's console goes over blanks instead of showing them.
                shown = re.sub(r"\x1b\[C|\x1b\[1C", " ", converse(process.pid, terminal, answers))
                return Talk(process.wait(LIMIT), shown, "")
            finally:
                process.kill()
                os.close(terminal)

    return run


def test_a_password_is_edited_and_never_shown(jane: Cli, talk: TalkTo) -> None:
    mistyped = "Grün-日本-BXatteri" + 6 * LEFT + BACKSPACE + END + "e-😀-Staples" + LEFT + DELETE
    done = talk(
        *("export", "-o", "a.pfx", *FAST),
        answers=[(NEW, f"{mistyped}\r"), (AGAIN, f"{FOREIGN}\r")],
    )
    assert done.status == 0, done.text
    assert not set("日本😀") & set(done.transcript)
    file = jane.here / "a.pfx"
    assert open_pfx(file.read_bytes(), Secret(FOREIGN)).keys
    # Wine makes a mode of the access list: others have no part in it.
    assert file.stat().st_mode & 0o007 == 0


def test_a_key_that_is_no_character_is_refused(talk: TalkTo) -> None:
    done = talk(
        *("export", *FAST),
        answers=[(NEW, f"abc{CTRL_D}def\r"), (NEW, f"{STRONG}\r"), (AGAIN, f"{STRONG}\r")],
    )
    assert done.status == 0, done.text
    assert "a password with control characters is refused" in done.text


def test_the_guide_takes_names_of_any_script(jane: Cli, talk: TalkTo) -> None:
    (jane.here / "Grüße-日本-😀").mkdir()
    done = talk(
        answers=[
            ("a name that `--for` takes", "\r"),
            ("Type a number, or another folder or file", "Grüße-日本-😀\r"),
            ("Type a number, or another folder (", "\r"),
            (NEW, f"{STRONG}\r"),
            (AGAIN, f"{STRONG}\r"),
            ("Go on?", "\r"),
        ]
    )
    assert done.status == 0, done.text
    (file,) = (jane.here / "Grüße-日本-😀").iterdir()
    assert open_pfx(file.read_bytes(), Secret(STRONG)).keys

"""The manual page and the help: both say what the commands are, in full."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from typing import Any

import pytest
import typer

import nssbackup
from nssbackup.cli import app
from nssbackup.cli.manual import EXAMPLES, manual
from nssbackup.cli.statuses import exit_statuses
from nssbackup.errors import NssBackupError
from tests import LIMIT, PROJECT
from tests.peers import need

PAGE = PROJECT / "nssbackup" / "nssbackup.1"
BUILD = "python -m nssbackup.cli.manual > nssbackup/nssbackup.1"

# Success, and a batch of which a part failed.
WITHOUT_ERROR = {0, 3}

EVERYWHERE = {"--json", "--quiet", "--verbose", "--help"}
CONTRACT = {
    "profiles": {"--app"},
    "list": {"--all", "--app", "--engine", "--expiring", "--profile"},
    "export": {
        *("--app", "--certificate", "--certificate-only", "--copy-to", "--eml", "--engine"),
        *("--for", "--force", "--format", "--generate-password", "--kdf-rounds", "--mail-to"),
        *("--name", "--no-chain", "--output", "--password-file", "--primary-password-file"),
        "--profile",
    },
    "verify": {"--password-file"},
    "repassword": {"--for", "--force", "--format", "--generate-password", "--password-file"},
    "restore": {"--password-file", "--primary-password-file", "--profile"},
    "doctor": {"--app", "--profile"},
    "batch": {
        "--dry-run",
        "--escrow-cert",
        "--expiring",
        "--home",
        "--homes",
        "--jobs",
        "--output",
    },
    "fleet": {"--escrow-cert", "--output"},
}


def group() -> Any:  # noqa: ANN401 - Typer's class for any command is private
    return typer.main.get_group(app)


def parameters() -> list[tuple[str, Any]]:
    """Every option and argument with the name of its command."""
    root = group()
    context = root.make_context("nssbackup", [], resilient_parsing=True)
    found = [("nssbackup", one) for one in root.get_params(context)]
    for name, command in root.commands.items():
        context = command.make_context(name, [], resilient_parsing=True)
        found += [(name, one) for one in command.get_params(context)]
    return found


def options_of(name: str) -> set[str]:
    return {option for command, one in parameters() if command == name for option in one.opts}


def readme_statuses() -> dict[int, str]:
    """The table of exit statuses in the README."""
    text = (PROJECT / "nssbackup/cli/README.md").read_text(encoding="utf-8")
    table = text.partition("| status | meaning |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE)
    assert rows
    return {int(status): meaning for status, meaning in rows}


# --- the help


def test_every_option_and_argument_says_in_sentences_what_it_is_for() -> None:
    for command, one in parameters():
        assert re.fullmatch(r"[A-Z].*\.", one.help or "", re.DOTALL), f"{command} {one.opts}"


def test_the_options_of_the_contract_are_there() -> None:
    assert set(CONTRACT) <= set(group().commands)
    for name, options in CONTRACT.items():
        assert options | EVERYWHERE <= options_of(name), name


def test_no_help_names_a_file_that_is_not_installed() -> None:
    assert "nssbackup(1)" in group().epilog
    texts = [group().epilog, group().help, *(one.help or "" for _, one in parameters())]
    texts += [one.help or "" for one in group().commands.values()]
    assert not [text for text in texts if "README" in text]


def test_the_help_of_list_says_what_it_shows_without_a_certificate() -> None:
    helps = {name: one.help for name, one in parameters() if one.name == "cert"}
    assert "Default: the WIPO certificate." in helps["export"]
    assert "Default: all that have their key, and WIPO's without it." in helps["list"]


# --- the exit statuses


def test_every_exit_status_of_an_error_has_a_meaning() -> None:
    for module in pkgutil.walk_packages(nssbackup.__path__, "nssbackup."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    waiting: list[type[NssBackupError]] = [NssBackupError]
    statuses = set()
    while waiting:
        one = waiting.pop()
        statuses.add(one.exit_status)
        waiting.extend(one.__subclasses__())
    assert set(exit_statuses()) - WITHOUT_ERROR == statuses - WITHOUT_ERROR
    assert 0 in exit_statuses()
    assert all(exit_statuses().values())


def test_the_readme_gives_the_exit_statuses_their_meanings() -> None:
    assert readme_statuses() == exit_statuses()


# --- the page


def test_the_page_is_the_one_that_the_commands_give() -> None:
    is_current = PAGE.read_text(encoding="utf-8") == manual(group())
    assert is_current, f"the commands have changed; build the page again: {BUILD}"


def test_the_page_is_the_same_for_everyone() -> None:
    found = set()
    for variables in ({"COLUMNS": "40", "HOME": "/a", "TZ": "UTC-14"}, {"NO_COLOR": "1"}):
        kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
        done = subprocess.run(
            [sys.executable, "-m", "nssbackup.cli.manual"],
            capture_output=True,
            check=True,
            timeout=LIMIT,
            cwd=PROJECT,
            env={**kept, "PATH": os.environ["PATH"], **variables},
        )
        assert done.stderr == b""
        found.add(done.stdout.decode())
    assert found == {manual(group())}


def test_the_page_has_every_command_option_and_status() -> None:
    page = manual(group())
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "FILES", "SECURITY", "EXAMPLES"):
        assert page.count(f"\n.SH {section}\n") == 1
    for name, command in group().commands.items():
        _, _, part = page.partition(f"\n.SS {name}\n")
        part = re.split(r"\n\.S[SH] ", part, maxsplit=1)[0].replace("\\-", "-")
        assert command.help.split()[0] in part
        for option in options_of(name) - {"-h", "--help"}:
            assert option.startswith("-") is (f"\\fB{option}\\fR" in part), (name, option)
    for status, meaning in exit_statuses().items():
        assert f".TP\n\\fB{status}\\fR\n{meaning}.\n" in page


def test_the_examples_can_be_typed() -> None:
    for _, line in EXAMPLES:
        program, *words = shlex.split(line.partition(" >> ")[0])
        assert program == "nssbackup"
        if words[0].startswith("-"):
            assert words[0] in options_of("nssbackup")
            continue
        # Not run: that would read this user's profiles. A word it does not know is an error.
        group().commands[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize(
    "checker",
    [
        ("mandoc", "-Tlint", "-Wall"),
        ("groff", "-man", "-ww", "-z"),
        ("man", "--warnings", "-l"),
    ],
    ids=lambda checker: str(checker[0]),
)
def test_the_tools_for_manual_pages_find_no_fault(
    checker: tuple[str, ...], require_peers: bool
) -> None:
    need(None if shutil.which(checker[0]) else f"no {checker[0]}", required=require_peers)
    done = subprocess.run(
        [*checker, PAGE],
        capture_output=True,
        check=False,
        timeout=LIMIT,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "MANWIDTH": "80"},
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    said = done.stdout.decode()
    if checker[0] == "man":
        assert "nssbackup export [OPTIONS] [CERT]" in re.sub(".\b", "", said)
        assert max(map(len, said.splitlines())) <= 80
    else:
        assert said == ""


def test_the_page_is_packed_where_man_looks_for_it() -> None:
    """The wheel itself is looked into in tests/test_packaging.py."""
    settings = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"nssbackup/nssbackup.1" = "share/man/man1/nssbackup.1"' in settings

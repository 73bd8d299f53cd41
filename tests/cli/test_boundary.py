"""The error boundary: a fault of our own is said, placed, and gives nothing away."""

from __future__ import annotations

import json
import os

import pytest
import typer
from typer.core import TyperCommand, TyperOption

from nssbackup.cli import exit_status_of
from nssbackup.cli.commands import COMMANDS, load_command
from tests.cli.runner import Cli

SECRET = "what nobody may see"


def fault() -> None:
    raise KeyError(SECRET)


def test_a_fault_is_1_with_its_place_and_without_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_status_of(fault, json=False) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "a bug in nssbackup (KeyError)" in err
    assert "test_boundary.py" in err
    assert " in fault" in err
    assert SECRET not in err
    assert "Traceback" not in err


def test_a_fault_with_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status_of(fault, json=True) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == "internal-error"
    assert SECRET not in out + err


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert exit_status_of(interrupted, json=False) == 130
    assert capsys.readouterr().err == "nssbackup: error: interrupted; nothing was written\n"


def test_the_end_of_the_input_at_a_question_is_4(capsys: pytest.CaptureFixture[str]) -> None:
    def aborted() -> None:
        raise typer.Abort

    assert exit_status_of(aborted, json=False) == 4
    assert "cancelled" in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 2, 32])
def test_a_status_that_a_command_chose_is_kept(status: int) -> None:
    assert exit_status_of(lambda: status, json=False) == status


def test_typers_own_word_for_ctrl_c_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status_of(lambda: 130, json=False) == 130
    assert capsys.readouterr().err == "nssbackup: error: interrupted; nothing was written\n"


def test_what_ctrl_c_became_in_the_middle_is_ctrl_c(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    def entangled() -> None:
        try:
            interrupted()
        except KeyboardInterrupt:
            raise RuntimeError(SECRET)  # noqa: B904 - as a lock does it

    assert exit_status_of(entangled, json=False) == 130
    assert capsys.readouterr().err == "nssbackup: error: interrupted; nothing was written\n"


@pytest.mark.parametrize("gone", [True, False])
def test_a_missing_file_is_a_fault_but_for_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, gone: bool
) -> None:
    def missing() -> None:
        raise FileNotFoundError

    if gone:
        monkeypatch.setattr(os, "getcwd", missing)  # what Path.cwd asks
    assert exit_status_of(missing, json=False) == (2 if gone else 1)
    said = "the current folder was removed" if gone else "a bug in nssbackup"
    assert said in capsys.readouterr().err


# --- an option that means one thing is given once


def is_refused(
    capsys: pytest.CaptureFixture[str],
    command: TyperCommand,
    words: list[str],
) -> bool:
    """Whether a command finds that one of these options was given too often."""
    status = exit_status_of(lambda: command.make_context("it", [*words]), json=False)
    found = f"`{words[0]}` can be given only once" in capsys.readouterr().err
    assert not found or status == 2
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_with_a_value_is_given_once_unless_repeatable(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    command = load_command(name)
    options = [one for one in command.params if isinstance(one, TyperOption)]
    assert options
    for one in options:
        value = [] if one.is_flag else ["1"]
        twice = is_refused(capsys, command, [one.opts[0], *value, one.opts[-1], *value])
        repeatable = one.is_flag or "Repeatable" in (one.help or "")
        assert twice is not repeatable, one.opts
        assert not is_refused(capsys, command, [one.opts[0], *value])


def test_restore_writes_to_neither_of_two_profiles(cli: Cli) -> None:
    words = ("--password-file", cli.password_file(), "--profile", "a", "--profile=b")
    error = cli.run("restore", "a.pfx", *words, "--json").error
    assert error["status"] == 2
    assert error["message"] == "`--profile` can be given only once"
    assert error["hint"] == "`nssbackup restore --help` shows the usage"

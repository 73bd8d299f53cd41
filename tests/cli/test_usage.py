"""What is said to somebody who types something wrong, and how help and errors look."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nssbackup.backups.writing import Dialogue, telling_placed
from nssbackup.cli.commands import COMMANDS
from nssbackup.errors import InterruptedByUserError
from tests.cli.runner import CTRL_C, Cli
from tests.conftest import MakeProfile

NEW = "New password for the backup"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path, {"COLUMNS": "80"})


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_fits_into_80_columns_and_leaks_nothing(cli: Cli, command: tuple[str, ...]) -> None:
    help_ = cli.run(*command, "--help").stdout
    lines = help_.splitlines()
    assert max(map(len, lines)) <= 80
    # Neither a summary that is cut, nor the types of Python, nor a name parted at its hyphen.
    _usage, _, text = help_.partition("\n")
    assert not re.search(r"\.\.\.$|\u2026|<|Path\]|str\]", text, re.MULTILINE)
    assert not any(re.search(r"[a-z]-$", line) for line in lines)


def test_every_command_has_its_summary(cli: Cli) -> None:
    shown = cli.run("--help").stdout
    for name, entry in COMMANDS.items():
        assert f"  {name} " in shown
        assert entry.summary in shown


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("help",), "there is no command `help`", "`nssbackup --help`"),
        (("version",), "there is no command `version`", "`nssbackup --version`"),
        (("exprot",), "there is no command `exprot`", "did you mean `nssbackup export`?"),
        (("export", "--for", "win"), "no destination `win`", "did you mean `windows`?"),
        (("export", "--for", "Mcos"), "no destination `Mcos`", "did you mean `macos`?"),
        (("export", "--password-file"), "`--password-file`", "`nssbackup export --help`"),
        (("list", "--nope"), "no such option: --nope", "`nssbackup list --help`"),
        (("verify",), "missing argument `FILE`", "`nssbackup verify --help`"),
        (("export", "--kdf-rounds", "many"), "should be a valid integer", "export --help"),
        (("list", "--engine", "x"), "`--engine`", "`nssbackup list --help`"),
        (("batch", "x", "-o", "o", "--jobs", "0"), "`--jobs`", "`nssbackup batch --help`"),
        (("--nope",), "no such option: --nope", "`nssbackup --help`"),
    ],
)
def test_wrong_usage_is_answered_with_what_is_right(
    cli: Cli, words: tuple[str, ...], message: str, hint: str
) -> None:
    result = cli.run(*words)
    assert result.status == 2
    said, hinted = result.stderr.split("\nhint: ")
    assert message in said
    assert hint in hinted
    assert "Value error" not in result.stderr


def test_an_app_without_profiles_is_told_which_there_are(cli: Cli, profile: MakeProfile) -> None:
    root = cli.home / ".mozilla" / "firefox"
    root.mkdir(parents=True)
    profile("ec-p256").rename(root / "abc")
    (root / "profiles.ini").write_text("[Profile0]\nName=me\nIsRelative=1\nPath=abc\n")
    error = cli.run("list", "--app", "thunderbird", "--json").error
    assert error["status"] == 10
    assert "Thunderbird" in error["message"]
    assert error["hint"] == "there are profiles of Firefox"


@pytest.mark.parametrize(
    ("variables", "colour"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_an_error_on_a_terminal_is_seen_as_one(
    cli: Cli, variables: dict[str, str], *, colour: bool
) -> None:
    talk = Cli(cli.folder, variables).talk("list", "--profile", "nobody", answers=[])
    assert ("\x1b[1;31merror:\x1b[0m" in talk.transcript) is colour
    assert ("\x1b" in talk.transcript) is colour
    assert "nssbackup: error: " in talk.text


def test_text_on_a_terminal_breaks_between_words(cli: Cli) -> None:
    words = {"a-long-name-with-hyphens-" * 3, "nobody"}
    talk = cli.talk("list", "--profile", " ".join(words), answers=[])
    lines = talk.text.replace("\r", "").splitlines()
    assert all(len(line) <= 80 or " " not in line.strip() for line in lines)
    assert all(any(word in line for line in lines) for word in words)


def test_a_dumb_terminal_gets_no_lines(cli: Cli, profile: MakeProfile) -> None:
    words = ("list", "--profile", profile("ec-p256"))
    dumb = Cli(cli.folder, {"TERM": "dumb"}).talk(*words, answers=[])
    assert "Jane Doe" in dumb.text
    assert not re.search("[\u2500-\u257f]|---|\x1b", dumb.transcript)


def test_the_names_of_the_certificate_make_a_weak_password(cli: Cli, profile: MakeProfile) -> None:
    own = "Jane Doe 2026"
    talk = cli.talk(
        *("export", "--profile", profile("ec-p256"), "-o", "a.pfx"),
        answers=[(NEW, f"{own}\n"), ("The same again", f"{own}\n")],
    )
    assert talk.status == 0
    assert "easy to guess" in " ".join(talk.text.split())


def test_ctrl_c_says_that_nothing_was_written(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk("export", "--profile", profile("ec-p256"), answers=[(NEW, CTRL_C)])
    assert talk.status == 130
    assert "interrupted; nothing was written" in talk.text
    assert list(cli.here.iterdir()) == []


def test_ctrl_c_after_a_file_was_written_names_it() -> None:
    dialogue = Dialogue(lambda *_: None, lambda _: pytest.fail("a password"))
    with pytest.raises(InterruptedByUserError, match=r"already written and verified: `a\.pfx`$"):  # noqa: SIM117
        with telling_placed([Path("a.pfx")], dialogue):
            raise KeyboardInterrupt

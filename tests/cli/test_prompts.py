"""Questions: asked on a terminal, never elsewhere, and what is typed is not shown."""

from __future__ import annotations

import subprocess

import pytest

from tests import LIMIT
from tests.cli.runner import (
    CTRL_C,
    CTRL_D,
    FAST,
    STRONG,
    Cli,
    finish,
    names,
)
from tests.conftest import MakeProfile

NEW, AGAIN, PRIMARY, WHICH = (
    "New password for the backup",
    "The same again",
    "Primary password of profile",
    "Which one?",
)
FIREFOX_PASSWORD = "correct horse 7"
WRONG = "Wrong-Guess-77"


def test_the_backup_password_is_asked_twice(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk(
        *("export", "--profile", profile("ec-p256"), "-o", "a.pfx", *FAST),
        answers=[(NEW, f"{STRONG}\n"), (AGAIN, f"{STRONG}\n")],
    )
    assert talk.status == 0
    assert cli.verify(cli.here / "a.pfx")[0]["ok"]


NO_TEXT = "not all of it is text"


def test_letters_that_the_terminal_has_not_are_asked_again(cli: Cli, profile: MakeProfile) -> None:
    # As on a Latin-1 terminal: bytes that are no letters of the locale's encoding.
    ascii_ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    talk = Cli(cli.folder, ascii_).talk(
        *("export", "--profile", profile("ec-p256"), "-o", "a.pfx", *FAST),
        answers=[(NEW, "ümlaut-77\n"), (NO_TEXT, ""), (NEW, f"{STRONG}\n"), (AGAIN, f"{STRONG}\n")],
    )
    assert talk.status == 0
    assert cli.verify(cli.here / "a.pfx")[0]["ok"]


def test_a_password_with_a_nul_is_asked_again(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk("export", "--profile", profile("ec-p256"), answers=[(NEW, "a\0b\n")] * 3)
    assert talk.status == 4
    assert talk.text.count(NO_TEXT) == 2
    assert names(cli.here) == []


def test_two_different_answers_are_asked_again(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk(
        *("export", "--profile", profile("ec-p256"), "-o", "a.pfx", *FAST),
        answers=[
            (NEW, f"{STRONG}\n"),
            (AGAIN, f"{WRONG}\n"),
            ("differ", ""),
            (NEW, f"{STRONG}\n"),
            (AGAIN, f"{STRONG}\n"),
        ],
    )
    assert talk.status == 0
    assert cli.verify(cli.here / "a.pfx")[0]["ok"]


def test_an_empty_backup_password_is_refused_and_asked_again(
    cli: Cli, profile: MakeProfile
) -> None:
    talk = cli.talk(
        *("export", "--profile", profile("ec-p256"), "-o", "a.pfx", *FAST),
        answers=[(NEW, "\n"), ("empty", ""), (NEW, f"{STRONG}\n"), (AGAIN, f"{STRONG}\n")],
    )
    assert talk.status == 0


def test_only_empty_answers_end_without_a_file(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk("export", "--profile", profile("ec-p256"), answers=[(NEW, "\n")] * 3)
    assert talk.status == 4
    assert names(cli.here) == []


def test_a_weak_backup_password_that_is_typed_gets_a_warning(
    cli: Cli, profile: MakeProfile
) -> None:
    talk = cli.talk(
        *("export", "--profile", profile("ec-p256"), *FAST),
        answers=[(NEW, "secret1\n"), (AGAIN, "secret1\n")],
    )
    assert talk.status == 0
    assert "warning: the backup password is easy to guess" in talk.text


def test_questions_are_on_stderr_and_data_on_stdout(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk(
        *("export", "--profile", profile("nss387-password"), "-o", "a.pfx", *FAST),
        answers=[
            (PRIMARY, f"{FIREFOX_PASSWORD}\n"),
            (NEW, f"{STRONG}\n"),
            (AGAIN, f"{STRONG}\n"),
        ],
        split=True,
    )
    assert talk.status == 0
    assert talk.stdout == f"{cli.here}/a.pfx\n"
    assert NEW in talk.text


def test_json_stays_one_document_when_questions_are_asked(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk(
        *("export", "--json", "--profile", profile("ec-p256"), *FAST),
        answers=[(NEW, f"{STRONG}\n"), (AGAIN, f"{STRONG}\n")],
        split=True,
    )
    assert talk.status == 0
    assert talk.stdout.startswith('{"identity"')
    assert talk.stdout.count("\n") == 1


@pytest.mark.parametrize("key", [CTRL_D, CTRL_C])
@pytest.mark.parametrize("at", [NEW, AGAIN, PRIMARY, WHICH])
def test_the_way_out_of_each_question_leaves_nothing_behind(
    cli: Cli, profile: MakeProfile, at: str, key: str
) -> None:
    store = {PRIMARY: "nss387-password", WHICH: "two-people"}.get(at, "ec-p256")
    answers = [(NEW, f"{STRONG}\n")] if at == AGAIN else []
    talk = cli.talk("export", "--profile", profile(store), answers=[*answers, (at, key)])
    assert talk.status == (130 if key == CTRL_C else 4)
    assert "Traceback" not in talk.text
    assert "nssbackup: error:" in talk.text
    assert names(cli.here) == []
    assert names(cli.temporary) == []


@pytest.mark.parametrize("key", [CTRL_D, CTRL_C])
def test_the_question_of_verify_can_be_left(cli: Cli, profile: MakeProfile, key: str) -> None:
    assert cli.export(profile("ec-p256"), "-o", "a.pfx").status == 0
    talk = cli.talk("verify", "a.pfx", answers=[("Password of a.pfx", key)])
    assert talk.status == (130 if key == CTRL_C else 4)
    assert "Password of a.pfx: \r\nnssbackup: error: " in talk.text


def test_the_name_in_a_question_cannot_act_on_the_terminal(cli: Cli, profile: MakeProfile) -> None:
    assert cli.export(profile("ec-p256"), "-o", "a.pfx").status == 0
    (cli.here / "a.pfx").rename(cli.here / "a\x1b[31mb\x07.pfx")
    question = "Password of a\\x1b[31mb\\x07.pfx: "
    talk = cli.talk("verify", "a\x1b[31mb\x07.pfx", answers=[(question, f"{STRONG}\n")])
    assert talk.status == 0
    assert not {"\x1b", "\x07"} & set(talk.transcript)


def test_verify_asks_for_no_password_where_there_is_no_backup(
    cli: Cli, profile: MakeProfile
) -> None:
    assert cli.export(profile("ec-p256"), "-o", "a.pfx").status == 0
    (cli.here / "none.pfx").write_bytes(b"no PFX")
    talk = cli.talk("verify", "typo.pfx", "none.pfx", answers=[])
    assert talk.status == 32
    assert "typo.pfx: not usable" in talk.text
    assert "none.pfx: not usable" in talk.text
    assert "assword of" not in talk.text
    # Of several files the first that is one is asked for.
    talk = cli.talk("verify", "typo.pfx", "a.pfx", answers=[("Password of a.pfx", f"{STRONG}\n")])
    assert talk.status == 32
    assert "a.pfx: ok" in talk.text


def test_a_cancelled_question_is_an_error_document_with_json(
    cli: Cli, profile: MakeProfile
) -> None:
    talk = cli.talk(
        *("export", "--json", "--profile", profile("ec-p256")), answers=[(NEW, CTRL_C)], split=True
    )
    assert talk.status == 130
    assert '"code": "interrupted"' in talk.stdout


def test_a_wrong_primary_password_is_asked_again(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk(
        *("export", "--profile", profile("nss387-password"), "-o", "a.pfx", *FAST),
        answers=[
            (PRIMARY, f"{WRONG}\n"),
            (PRIMARY, f"{FIREFOX_PASSWORD}\n"),
            (NEW, f"{STRONG}\n"),
            (AGAIN, f"{STRONG}\n"),
        ],
    )
    assert talk.status == 0
    assert "nss387-password" in talk.text  # whose password it is


@pytest.mark.parametrize("store", ["firefox-password-unicode", "nss387-password-unicode"])
def test_a_primary_password_in_other_scripts_can_be_typed(
    cli: Cli, profile: MakeProfile, store: str
) -> None:
    talk = cli.talk(
        *("export", "--profile", profile(store), *FAST),
        answers=[(PRIMARY, "Ünï-пароль-密码\n"), (NEW, f"{STRONG}\n"), (AGAIN, f"{STRONG}\n")],
    )
    assert talk.status == 0


def test_after_three_wrong_ones_the_reset_is_warned_of(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk(
        *("export", "--profile", profile("nss387-password")), answers=[(PRIMARY, f"{WRONG}\n")] * 3
    )
    assert talk.status == 12
    assert "deletes every certificate and key" in " ".join(talk.text.split())
    assert NEW not in talk.text
    assert names(cli.here) == []


def test_without_a_primary_password_none_is_asked(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk(
        *("export", "--profile", profile("firefox-nopassword"), *FAST),
        answers=[(NEW, f"{STRONG}\n"), (AGAIN, f"{STRONG}\n")],
    )
    assert talk.status == 0
    assert PRIMARY not in talk.text


def test_several_people_are_a_numbered_choice(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk(
        *("export", "--profile", profile("two-people"), "-o", "a.pfx", *FAST),
        answers=[
            (WHICH, "0\n"),
            (WHICH, "3\n"),
            (WHICH, "Jane\n"),
            (WHICH, "²\n"),
            (WHICH, "2\n"),
            (NEW, f"{STRONG}\n"),
            (AGAIN, f"{STRONG}\n"),
        ],
    )
    assert talk.status == 0
    lines = [line.split() for line in talk.text.splitlines()]
    second = next(line for line in lines if line[:1] == ["2"])
    found = cli.verify(cli.here / "a.pfx")[0]["identity"]
    assert " ".join(second[1:3]) == found["common_name"]
    assert found["sha256"][:8] in " ".join(second)


def test_an_empty_choice_cancels(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk("export", "--profile", profile("two-people"), answers=[(WHICH, "\n")])
    assert talk.status == 4
    assert names(cli.here) == []


def test_without_a_wipo_certificate_the_others_are_offered(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk(
        *("export", "--profile", profile("foreign-only"), "-o", "a.pfx", *FAST),
        answers=[("Back this one up? [Y/n]", "\n"), (NEW, f"{STRONG}\n"), (AGAIN, f"{STRONG}\n")],
    )
    assert talk.status == 0
    assert cli.verify(cli.here / "a.pfx")[0]["identity"]["wipo"] is False


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--kdf-rounds", "2047"), 2),
        (("-o", "missing/a.pfx"), 31),
        (("-o", "taken.pfx"), 30),
        (("--copy-to", "missing"), 31),
        (("nobody",), 20),
    ],
)
def test_nothing_is_asked_where_the_answer_could_not_help(
    cli: Cli, profile: MakeProfile, arguments: tuple[str, ...], status: int
) -> None:
    (cli.here / "taken.pfx").write_text("taken")
    talk = cli.talk("export", "--profile", profile("nss387-password"), *arguments, answers=[])
    assert talk.status == status


def test_nothing_typed_is_shown(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk(
        *("export", "-v", "--profile", profile("nss387-password"), "-o", "a.pfx", *FAST),
        answers=[
            (PRIMARY, f"{WRONG}\n"),
            (PRIMARY, f"{FIREFOX_PASSWORD}\n"),
            (NEW, f"{STRONG}\n"),
            (AGAIN, f"{STRONG}\n"),
        ],
    )
    again = cli.talk("verify", "a.pfx", answers=[("Password of a.pfx", f"{STRONG}\n")])
    assert (talk.status, again.status) == (0, 0)
    for password in (WRONG, FIREFOX_PASSWORD, STRONG):
        assert password not in talk.transcript + again.transcript


def test_verify_asks_again_after_a_wrong_password(cli: Cli, profile: MakeProfile) -> None:
    assert cli.export(profile("ec-p256"), "-o", "a.pfx").status == 0
    question = "assword of a.pfx"
    talk = cli.talk(
        *("verify", "a.pfx"), answers=[(question, f"{WRONG}\n"), (question, f"{STRONG}\n")]
    )
    assert talk.status == 0


def test_list_and_profiles_ask_for_nothing(cli: Cli, profile: MakeProfile) -> None:
    talk = cli.talk("list", "--all", "--profile", profile("firefox-password"), answers=[])
    assert talk.status == 0
    assert "Password of" not in talk.text
    assert PRIMARY not in talk.text


@pytest.mark.parametrize("pipe", [subprocess.DEVNULL, subprocess.PIPE])
@pytest.mark.parametrize(
    ("store", "given", "status", "option"),
    [
        ("ec-p256", (), 2, "--password-file"),
        ("nss387-password", ("--generate-password",), 12, "--primary-password-file"),
    ],
)
def test_without_a_terminal_the_error_names_the_option(
    cli: Cli,
    profile: MakeProfile,
    pipe: int,
    store: str,
    given: tuple[str, ...],
    status: int,
    option: str,
) -> None:
    # The pipe is never closed and never written to: reading it would take for ever.
    process = cli.start("export", "--profile", profile(store), *given, stdin=pipe)
    with process:
        process.wait(LIMIT)
        result = finish(process)
    assert result.status == status
    assert f"`{option} FILE`" in result.stderr
    assert result.stdout == ""
    assert names(cli.here) == []


def test_without_a_terminal_verify_names_the_option(cli: Cli, profile: MakeProfile) -> None:
    assert cli.run("verify", cli.file("a.pfx", b"no PFX"), stdin=b"").status == 32
    assert cli.run("verify", "missing.pfx", stdin=b"").status == 32
    assert cli.export(profile("ec-p256"), "-o", "b.pfx").status == 0
    result = cli.run("verify", "b.pfx", stdin=b"")
    assert result.status == 2
    assert "`--password-file FILE`" in result.stderr


def test_without_a_terminal_people_have_their_fingerprints(cli: Cli, profile: MakeProfile) -> None:
    folder = profile("two-people")
    result = cli.export(folder)
    assert result.status == 21
    identities = cli.run("list", "--json", "--profile", folder / "cert9.db").document["identities"]
    assert len(identities) == 2
    for identity in identities:
        assert identity["sha256"][:8] in result.stderr
        assert cli.export(folder, identity["sha256"][:8]).status == 0

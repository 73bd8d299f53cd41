"""`repassword`: through real processes, with files, pipes and a terminal."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from nssbackup.identity.certificate import from_der
from nssbackup.identity.model import Identity
from nssbackup.identity.private_keys import from_pkcs8
from nssbackup.pkcs12 import MODERN, PfxWriter
from nssbackup.secret import Secret
from tests import LIMIT
from tests.builders.store import ec_key, issue, name
from tests.cli.runner import (
    CTRL_C,
    CTRL_D,
    FAST,
    STRONG,
    Cli,
    Result,
    finish,
    names,
    unprivileged,
    without_one,
)
from tests.conftest import MakeProfile, SnapshotOf
from tests.unit.pkcs12.identities import pfx_of, pkcs8_of

OLD, NEW, AGAIN = (
    "Old password of a.pfx",
    "New password for the backup",
    "The same again",
)
GIVEN = "WIPO-made-this-up-4711"
WRONG = "Wrong-Guess-77"
WIPO = name("WIPO Test CA", "WIPO")


@cache
def sealed() -> bytes:
    """A backup as `export` makes it, with the password GIVEN and two CA certificates."""
    root = issue(ec_key(8), "Root", ca=True)
    authority = issue(ec_key(9), WIPO, "Root", ec_key(8), ca=True)
    own = replace(from_der(issue(ec_key(0), "Jane Doe", WIPO, ec_key(9))), nickname="jane")
    identity = Identity(None, own, (from_der(authority), from_der(root)))
    writer = PfxWriter(Secret(GIVEN), MODERN, rounds=2_048)
    return writer.encode(identity, from_pkcs8(pkcs8_of(ec_key(0))))


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A user who has such a file in the current folder: `a.pfx`."""
    cli = Cli(tmp_path)
    (cli.here / "a.pfx").write_bytes(sealed())
    (cli.here / "a.pfx").chmod(0o600)
    return cli


def old_file(cli: Cli, password: str = GIVEN) -> Path:
    return cli.file("old-password", f"{password}\n")


def repassword(cli: Cli, *words: str | Path, password: str = GIVEN) -> Result:
    """With both passwords from files and few rounds."""
    files = ("--old-password-file", old_file(cli, password), "--password-file", cli.password_file())
    return cli.run("repassword", *files, *FAST, *words)


def two_people(cli: Cli) -> Path:
    people = ((ec_key(0), "Jane Doe"), (ec_key(1), "Zoë Müller"))
    certificates = [issue(key, who, WIPO, ec_key(9)) for key, who in people]
    path = cli.here / "a.pfx"
    path.write_bytes(pfx_of([key for key, _ in people], certificates, Secret(GIVEN)))
    return path


def opens(cli: Cli, file: str, password: str = STRONG) -> bool:
    (found,) = cli.verify(cli.here / file, password=password)
    return bool(found["ok"])


# --- to another file


def test_the_same_identity_gets_another_password(cli: Cli) -> None:
    (before,) = cli.verify(cli.here / "a.pfx", password=GIVEN)
    content = (cli.here / "a.pfx").read_bytes()
    result = repassword(cli, "a.pfx", "-o", "b")
    assert result.status == 0
    assert result.stdout == f"{cli.here}/b.pfx\n"
    assert "a.pfx is unchanged, and still opens with its old password" in result.stderr
    assert (cli.here / "a.pfx").read_bytes() == content
    (after,) = cli.verify(cli.here / "b.pfx")
    assert after["identity"] == before["identity"]
    assert len(after["identity"]["chain"]) == 2
    assert not opens(cli, "b.pfx", GIVEN)
    assert (cli.here / "b.pfx").stat().st_mode & 0o777 == 0o600


def test_the_document_is_that_of_export(cli: Cli, profile: MakeProfile) -> None:
    exported = cli.export(profile("ec-p256"), "-o", "c.pfx", "--json").document
    (cli.here / "usb").mkdir()
    words = ("-o", "b.pfx", "--copy-to", "usb", "--format", "compatible", "--json")
    result = repassword(cli, "a.pfx", *words)
    found = result.document
    assert without_one(found, list(exported)) == set()
    assert found["output"] == "b.pfx"
    assert found["copies"] == [str(Path("usb", "b.pfx"))]
    assert found["format"] == "compatible"
    assert found["verified"] is True
    assert found["identity"]["profile"] is None
    assert "password" not in found
    assert opens(cli, "usb/b.pfx")


def test_a_folder_gets_the_default_name(cli: Cli) -> None:
    (cli.here / "new").mkdir()
    result = repassword(cli, "a.pfx", "-o", "new")
    assert result.status == 0
    (made,) = names(cli.here / "new")
    assert result.stdout == f"{cli.here / 'new' / made}\n"
    assert made.endswith(".pfx")


def test_for_any_writes_both_files(cli: Cli) -> None:
    assert repassword(cli, "a.pfx", "-o", "b.pfx", "--for", "any").status == 0
    verdicts = cli.verify(cli.here / "b.pfx", cli.here / "b.compatible.pfx")
    assert [one["encryption"][:4] for one in verdicts] == ["AES-", "3DES"]


def test_a_name_and_no_chain(cli: Cli) -> None:
    assert repassword(cli, "a.pfx", "-o", "b", "--name", "my key", "--no-chain").status == 0
    (found,) = cli.verify(cli.here / "b.pfx")
    assert found["identity"]["nickname"] == "my key"
    assert found["identity"]["chain"] == []


def test_a_generated_password_is_shown_once(cli: Cli) -> None:
    words = ("repassword", "a.pfx", "--old-password-file", old_file(cli), *FAST)
    result = cli.run(*words, "--generate-password", "-o", "b", "--json")
    password = result.document["password"]
    assert password not in result.stderr  # with --json it is in the document alone
    assert opens(cli, "b.pfx", password)
    again = cli.run(*words, "--generate-password", "-o", "c", "-q")
    assert again.stderr.startswith("Password of the backup: ")
    assert again.stdout == f"{cli.here}/c.pfx\n"


@pytest.mark.parametrize("which", ["--old-password-file", "--password-file"])
def test_one_of_the_passwords_can_come_from_stdin(cli: Cli, which: str) -> None:
    passwords = {"--old-password-file": old_file(cli), "--password-file": cli.password_file()}
    typed = passwords.pop(which).read_bytes()
    ((other, file),) = passwords.items()
    words = ("repassword", "a.pfx", which, "-", other, file, *FAST, "-o", "b")
    assert cli.run(*words, stdin=typed).status == 0
    assert opens(cli, "b.pfx")


# --- in place


def test_in_place_needs_force(cli: Cli, snapshot_of: SnapshotOf) -> None:
    before = snapshot_of(cli.here)
    result = repassword(cli, "a.pfx")
    assert result.status == 30
    assert "`--output`" in result.stderr
    assert "`--force`" in result.stderr
    assert snapshot_of(cli.here) == before


@pytest.mark.parametrize("given", ["a.pfx", "a.p12", "old backup"])
def test_with_force_the_file_itself_is_replaced(cli: Cli, given: str) -> None:
    path = (cli.here / "a.pfx").rename(cli.here / given)
    path.chmod(0o644)
    result = repassword(cli, given, "--force")
    assert result.status == 0
    assert result.stdout == f"{cli.here / given}\n"
    assert f"Other copies of the old {given} still open with its old password" in result.stderr
    assert names(cli.here) == [given]
    assert path.stat().st_mode & 0o777 == 0o600
    assert opens(cli, given)
    assert not opens(cli, given, GIVEN)


def test_a_link_to_the_file_stays_a_link(cli: Cli) -> None:
    target = (cli.here / "a.pfx").rename(cli.home / "target.p12")
    (cli.here / "a.pfx").symlink_to(target)
    assert repassword(cli, "a.pfx", "--force").status == 0
    assert (cli.here / "a.pfx").is_symlink()
    assert names(cli.home) == ["target.p12"]
    assert opens(cli, "a.pfx")


def test_the_format_alone_can_be_changed(cli: Cli) -> None:
    both = ("--old-password-file", old_file(cli), "--password-file", old_file(cli))
    result = cli.run(
        *("repassword", "a.pfx", *both, *FAST, "--for", "macos", "--force"),
    )
    assert result.status == 0
    assert "warning" not in result.stderr
    assert cli.verify(cli.here / "a.pfx", password=GIVEN)[0]["encryption"].startswith("3DES")


# --- what goes wrong


@pytest.mark.parametrize("output", [("--force",), ("-o", "b.pfx")])
def test_a_wrong_old_password_is_32(
    cli: Cli, snapshot_of: SnapshotOf, output: tuple[str, ...]
) -> None:
    before = snapshot_of(cli.here)
    result = repassword(cli, "a.pfx", *output, "--json", password=WRONG)
    assert result.status == 32
    assert result.error["code"] == "wrong-backup-password"
    assert snapshot_of(cli.here) == before
    assert names(cli.temporary) == []


def test_an_output_that_exists_is_30(cli: Cli, snapshot_of: SnapshotOf) -> None:
    (cli.here / "b.pfx").write_bytes(b"mine")
    before = snapshot_of(cli.here)
    assert repassword(cli, "a.pfx", "-o", "b.pfx").status == 30
    assert repassword(cli, "a.pfx", "-o", "b").status == 30
    assert snapshot_of(cli.here) == before
    assert repassword(cli, "a.pfx", "-o", "b", "--force").status == 0


@pytest.mark.parametrize("words", [("closed/a.pfx", "--force"), ("a.pfx", "-o", "closed")])
def test_a_folder_closed_to_the_user_is_31(
    cli: Cli, snapshot_of: SnapshotOf, words: tuple[str, ...]
) -> None:
    closed = cli.here / "closed"
    closed.mkdir()
    (closed / "a.pfx").write_bytes((cli.here / "a.pfx").read_bytes())
    closed.chmod(0o500)
    before = snapshot_of(closed)
    files = ("--old-password-file", old_file(cli), "--password-file", cli.password_file())
    result = cli.run("repassword", *files, *words, prefix=unprivileged())
    assert result.status == 31
    assert "can't be written to" in result.stderr
    assert snapshot_of(closed) == before


def test_a_full_disk_leaves_the_old_file(cli: Cli, snapshot_of: SnapshotOf) -> None:
    files = ("--old-password-file", old_file(cli), "--password-file", cli.password_file())
    before = snapshot_of(cli.here)
    result = cli.run(
        *("repassword", *files, *FAST, "a.pfx", "--force"), prefix=("prlimit", "--fsize=1000")
    )
    assert result.status == 31
    assert snapshot_of(cli.here) == before
    assert opens(cli, "a.pfx", GIVEN)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO on this system")
def test_what_is_no_pfx_is_32_and_never_waited_for(cli: Cli, snapshot_of: SnapshotOf) -> None:
    os.mkfifo(cli.here / "fifo")
    (cli.here / "loop").symlink_to("loop")
    (cli.here / "garbage").write_bytes(b"no PFX")
    (cli.here / "empty").touch()
    (cli.here / "short").write_bytes((cli.here / "a.pfx").read_bytes()[:-1])
    with (cli.here / "large").open("wb") as large:
        large.truncate(2**31)
    before = snapshot_of(cli.here)
    found = ("missing", ".", "", "fifo", "loop", "garbage", "empty", "short", "large", "/dev/zero")
    for given in found:
        result = repassword(cli, given, "--force")
        assert result.status == 32, given
        assert "Traceback" not in result.stderr
    assert snapshot_of(cli.here) == before


@pytest.mark.parametrize(
    "words",
    [
        ("--old-password-file", "-", "--password-file", "-"),
        ("--old-password-file", "missing", "--generate-password"),
        ("--password-file", "x", "--generate-password"),
        ("--for", "any", "--format", "modern"),
        ("--kdf-rounds", "2047"),
        ("b.pfx",),
        ("--password", "x"),
    ],
)
def test_wrong_usage_is_2(cli: Cli, snapshot_of: SnapshotOf, words: tuple[str, ...]) -> None:
    before = snapshot_of(cli.here)
    result = cli.run("repassword", "a.pfx", "--force", *words, stdin=b"one\ntwo\n")
    assert result.status == 2
    assert snapshot_of(cli.here) == before


def test_without_a_file_it_is_wrong_usage(cli: Cli) -> None:
    assert cli.run("repassword").status == 2


def test_an_empty_new_password_is_refused(cli: Cli, snapshot_of: SnapshotOf) -> None:
    before = snapshot_of(cli.here)
    words = ("--old-password-file", old_file(cli), "--password-file", cli.file("empty", "\n"))
    assert cli.run("repassword", "a.pfx", "--force", *words).status == 2
    assert snapshot_of(cli.here) == before


@pytest.mark.parametrize("pipe", [subprocess.DEVNULL, subprocess.PIPE])
@pytest.mark.parametrize("missing", ["--old-password-file", "--password-file"])
def test_without_a_terminal_the_error_names_the_option(cli: Cli, pipe: int, missing: str) -> None:
    files = {"--old-password-file": old_file(cli), "--password-file": cli.password_file()}
    del files[missing]
    ((option, file),) = files.items()
    # The pipe is never closed and never written to: reading it would take for ever.
    process = cli.start("repassword", "a.pfx", "-o", "b", option, file, stdin=pipe)
    with process:
        process.wait(LIMIT)
        result = finish(process)
    assert result.status == 2
    assert f"`{missing} FILE`" in result.stderr
    assert names(cli.here) == ["a.pfx"]


# --- on a terminal


def test_the_old_password_is_asked_once_and_the_new_one_twice(cli: Cli) -> None:
    talk = cli.talk(
        *("repassword", "a.pfx", "-o", "b.pfx", *FAST),
        answers=[(OLD, f"{GIVEN}\n"), (NEW, f"{STRONG}\n"), (AGAIN, f"{STRONG}\n")],
        split=True,
    )
    assert talk.status == 0
    assert talk.stdout == f"{cli.here}/b.pfx\n"
    assert opens(cli, "b.pfx")
    for password in (GIVEN, STRONG):
        assert password not in talk.transcript


def test_a_wrong_old_password_is_asked_again_three_times(cli: Cli, snapshot_of: SnapshotOf) -> None:
    before = snapshot_of(cli.here)
    talk = cli.talk(
        *("repassword", "a.pfx", "--force"),
        answers=[(OLD, f"{WRONG}\n"), (f"Wrong. {OLD}", "\n"), (f"Wrong. {OLD}", f"{WRONG}\n")],
    )
    assert talk.status == 32
    assert NEW not in talk.text
    assert snapshot_of(cli.here) == before


def test_a_weak_new_password_gets_a_warning(cli: Cli) -> None:
    talk = cli.talk(
        *("repassword", "a.pfx", "--force", *FAST),
        answers=[(OLD, f"{WRONG}\n"), (OLD, f"{GIVEN}\n"), (NEW, "jane\n"), (AGAIN, "jane\n")],
    )
    assert talk.status == 0
    assert "easy to guess" in talk.text
    assert opens(cli, "a.pfx", "jane")


@pytest.mark.parametrize("words", [(), ("-o", "missing/b.pfx"), ("--copy-to", "missing")])
def test_nothing_is_asked_where_the_answer_could_not_help(cli: Cli, words: tuple[str, ...]) -> None:
    assert cli.talk("repassword", "a.pfx", *words, answers=[]).status in {30, 31}


@pytest.mark.parametrize("key", [CTRL_D, CTRL_C])
@pytest.mark.parametrize("at", [OLD, NEW, AGAIN])
def test_leaving_at_a_question_leaves_all_as_it_was(
    cli: Cli, snapshot_of: SnapshotOf, at: str, key: str
) -> None:
    before = snapshot_of(cli.here)
    asked = (OLD, NEW, AGAIN)
    answers = [(one, f"{GIVEN}\n") for one in asked[: asked.index(at)]]
    talk = cli.talk("repassword", "a.pfx", "--force", answers=[*answers, (at, key)])
    assert talk.status == (130 if key == CTRL_C else 4)
    assert "Traceback" not in talk.text
    assert snapshot_of(cli.here) == before
    assert names(cli.temporary) == []


def test_the_old_password_can_be_asked_for_and_the_new_one_made(cli: Cli) -> None:
    talk = cli.talk(
        *("repassword", "a.pfx", "--force", "--generate-password", *FAST),
        answers=[(OLD, f"{GIVEN}\n")],
    )
    assert talk.status == 0
    (line,) = [one for one in talk.text.splitlines() if one.startswith("Password of the backup")]
    assert opens(cli, "a.pfx", line.split(": ")[1].strip())


# --- several in one file


def test_several_people_are_all_written_or_the_one_named(cli: Cli, snapshot_of: SnapshotOf) -> None:
    two_people(cli)
    made = repassword(cli, "a.pfx", "-o", "b.pfx", "--json").document
    assert {one["common_name"] for one in made["identities"]} == {"Jane Doe", "Zoë Müller"}
    found = cli.verify(cli.here / "b.pfx")[0]["identities"]
    assert [one["sha256"] for one in found] == [one["sha256"] for one in made["identities"]]
    for number, one in enumerate(made["identities"]):
        only = repassword(
            cli, "a.pfx", "-o", f"{number}.pfx", "--json", "--cert", one["sha256"][:8]
        )
        assert only.document["identities"] == [only.document["identity"]]
        assert only.document["identity"]["sha256"] == one["sha256"]
    assert repassword(cli, "a.pfx", "-o", "c.pfx", "--cert", "nobody").status == 20
    before = snapshot_of(cli.here)
    result = repassword(cli, "a.pfx", "--force", "--cert", "Jane Doe")
    assert result.status == 2
    assert "`--output FILE`" in result.stderr
    assert snapshot_of(cli.here) == before
    assert repassword(cli, "a.pfx", "--force").status == 0


# --- secrets


def test_no_password_is_in_what_it_says(cli: Cli) -> None:
    for words in (
        ("-o", "b.pfx", "-v"),
        ("-o", "b.pfx", "-v"),
        ("-o", "c.pfx", "--json", "-v"),
        ("--force", "-v"),
    ):
        result = repassword(cli, "a.pfx", *words)
        for password in (GIVEN, STRONG):
            assert password not in result.stdout + result.stderr
    wrong = repassword(cli, "a.pfx", "--force", password=WRONG)
    assert wrong.status == 32
    assert WRONG not in wrong.stdout + wrong.stderr

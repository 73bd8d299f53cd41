"""The backup password: files, stdin, made up; what is refused and what is warned of."""

from __future__ import annotations

import math
import os
import re
import subprocess
from pathlib import Path

import pytest

from nssbackup.cli.commands import COMMANDS, load_command
from tests import LIMIT
from tests.cli.runner import (
    COMMAND,
    FAST,
    STRONG,
    Cli,
    Result,
    finish,
    names,
    open_for_reader,
)
from tests.conftest import MakeProfile

WEAK = "warning: the backup password is easy to guess"


@pytest.fixture
def store(profile: MakeProfile) -> Path:
    return profile("ec-p256")


def opens(file: Path, password: str) -> bool:
    """Whether OpenSSL opens a file with a password."""
    found = subprocess.run(
        ["openssl", "pkcs12", "-noout", "-in", file, "-passin", "stdin"],
        input=password.encode() + b"\n",
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    return found.returncode == 0


def export_with(cli: Cli, store: Path, content: bytes, *more: str) -> Result:
    file = cli.file("given", content)
    words = ("--password-file", file, *FAST, "-o", "a.pfx")
    return cli.run("export", "--profile", store, *words, *more)


@pytest.mark.parametrize(
    ("content", "password"),
    [
        ("Grün-und-Süß-47\n", "Grün-und-Süß-47"),
        ("正确的马电池订书钉\n", "正确的马电池订书钉"),
        ("🔑🐎🔋 emoji 🔑\n", "🔑🐎🔋 emoji 🔑"),
        ("windows\r\n", "windows"),
        ("\ufeffmark\r\n", "mark"),
        ("no newline", "no newline"),
        ("first\nsecond\n", "first"),
        (" blanks stay \n", " blanks stay "),
        ("dollar$ and 'quotes\"\n", "dollar$ and 'quotes\""),
        ("x" * 300 + "\n", "x" * 300),
    ],
)
def test_the_first_line_of_the_file_is_the_password(
    cli: Cli, store: Path, content: str, password: str
) -> None:
    assert export_with(cli, store, content.encode()).status == 0
    assert opens(cli.here / "a.pfx", password)
    assert cli.verify(cli.here / "a.pfx", password=password)[0]["ok"]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"\r\nsecond\n", "empty"),
        (b"\xef\xbb\xbf\r\n", "empty"),
        (b"p\xe4ss\n", "not UTF-8"),
        (b"tab\tstop\n", "control characters"),
        ("Password".encode("utf-16-le"), "NUL"),
    ],
)
def test_a_file_without_a_usable_password_is_refused(
    cli: Cli, store: Path, content: bytes, word: str
) -> None:
    result = export_with(cli, store, content)
    assert result.status == 2
    assert word in result.stderr
    assert names(cli.here) == []


def test_a_line_too_long_for_a_password_is_not_cut_in_silence(cli: Cli, store: Path) -> None:
    result = export_with(cli, store, b"x" * 70_000)
    cut = "x" * 65_536
    assert result.status == 2 or not cli.verify(cli.here / "a.pfx", password=cut)[0]["ok"]


@pytest.mark.parametrize("given", ["missing", "."])
def test_an_unreadable_file_is_a_usage_error_with_the_option(
    cli: Cli, profile: MakeProfile, given: str
) -> None:
    locked = profile("nss387-password")
    for option in ("--password-file", "--primary-password-file"):
        more = () if option == "--password-file" else ("--generate-password",)
        result = cli.run("export", "--profile", locked, option, given, *more, *FAST)
        assert result.status == 2
        assert f"`{option}`" in result.stderr


def test_stdin_is_a_file_too(cli: Cli, store: Path) -> None:
    words = ("export", "--profile", store, "--password-file", "-", *FAST, "-o", "a.pfx")
    assert cli.run(*words, stdin=f"{STRONG}\r\nmore\n".encode()).status == 0
    assert opens(cli.here / "a.pfx", STRONG)
    found = cli.run("verify", "--password-file", "-", "a.pfx", stdin=STRONG.encode())
    assert found.status == 0


def test_an_empty_stdin_is_an_empty_password(cli: Cli, store: Path) -> None:
    result = cli.run("export", "--profile", store, "--password-file", "-", *FAST, stdin=b"")
    assert result.status == 2
    assert "empty" in result.stderr


@pytest.mark.parametrize("words", [("export",), ("verify", "a.pfx")])
def test_a_closed_stdin_is_wrong_usage(cli: Cli, store: Path, words: tuple[str, ...]) -> None:
    given = ("--profile", store) if words == ("export",) else ()
    closed = ("sh", "-c", 'exec "$@" <&-', "sh")
    result = cli.run(*words, *given, "--password-file", "-", prefix=closed)
    assert result.status == 2
    assert "`--password-file` names stdin, which is closed" in result.stderr


def test_a_pipe_is_a_file_too(cli: Cli, store: Path) -> None:
    fifo = cli.folder / "fifo"
    os.mkfifo(fifo)
    with cli.start(
        *("export", "--profile", store, "--password-file", fifo, *FAST, "-o", "a.pfx")
    ) as process:
        with open(open_for_reader(fifo, process), "wb") as end:  # noqa: PTH123 - a descriptor
            end.write(f"{STRONG}\n".encode())
        assert finish(process).status == 0
    assert opens(cli.here / "a.pfx", STRONG)


@pytest.mark.parametrize(
    "store_name", ["nss387-password", "firefox-password", "tripledes-password"]
)
def test_the_primary_password_comes_from_a_file_or_stdin(
    cli: Cli, profile: MakeProfile, store_name: str
) -> None:
    folder = profile(store_name)
    primary = cli.file("primary", "\ufeffcorrect horse 7\r\n")
    assert cli.export(folder, "--primary-password-file", primary, "-o", "a").status == 0
    file = cli.password_file()
    words = ("export", "--profile", folder, "--password-file", file, *FAST, "-o", "b")
    found = cli.run(*words, "--primary-password-file", "-", stdin=b"correct horse 7\n")
    assert found.status == 0


def test_a_primary_password_in_other_scripts_comes_from_a_file(
    cli: Cli, profile: MakeProfile
) -> None:
    primary = cli.file("primary", "Ünï-пароль-密码\n")
    folder = profile("firefox-password-unicode")
    assert cli.export(folder, "--primary-password-file", primary).status == 0


def test_a_primary_password_that_is_not_needed_does_no_harm(cli: Cli, store: Path) -> None:
    primary = cli.file("primary", "whatever\n")
    assert cli.export(store, "--primary-password-file", primary).status == 0


def test_two_sources_are_a_usage_error(cli: Cli, store: Path) -> None:
    assert cli.export(store, "--generate-password").status == 2
    assert cli.export(store, "--password-file", cli.file("other", "other\n")).status == 2
    both = ("--password-file", "-", "--primary-password-file", "-")
    result = cli.run("export", "--profile", store, *both, stdin=b"one\ntwo\n")
    assert result.status == 2
    assert names(cli.here) == []


def test_no_option_takes_a_password() -> None:
    seen = set()
    for name in COMMANDS:
        command = load_command(name)
        context = command.make_context(name, [], resilient_parsing=True)
        for one in command.get_params(context):
            assert one.envvar is None, (name, one.opts)
            words = {*one.opts, *one.secondary_opts}
            if any(re.search("pass|secret", word, re.IGNORECASE) for word in words):
                seen |= words
                # Either a choice without a value, or the name of a file.
                assert getattr(one, "is_flag", False) or one.metavar in ("FILE", "CSV"), name
    assert seen == {
        *("--generate-password", "--generate-passwords"),
        *("--password-file", "--old-password-file", "--primary-password-file"),
        "--recovery-password-file",
        *("--passwords", "--primary-passwords"),
    }


def test_no_environment_variable_holds_a_password(cli: Cli, store: Path) -> None:
    names_ = ("PASSWORD", "NSSBACKUP_PASSWORD", "NSSBACKUP_BACKUP_PASSWORD", "PFX_PASSWORD")
    talker = Cli(cli.folder, dict.fromkeys(names_, STRONG))
    assert talker.run("export", "--profile", store).status == 2


def test_a_generated_password_is_shown_once_and_opens_the_file(cli: Cli, store: Path) -> None:
    words = ("export", "--profile", store, "--generate-password", *FAST, "-o", "a.pfx")
    result = cli.run(*words)
    assert result.status == 0
    (shown,) = re.findall(r"Password of the backup: (\S+)", result.stderr)
    assert result.stderr.count(shown) == 1
    assert shown not in result.stdout
    assert opens(cli.here / "a.pfx", shown)
    assert WEAK not in result.stderr


def test_a_generated_password_is_in_the_json_and_has_128_bits(cli: Cli, store: Path) -> None:
    words = ("export", "--profile", store, "--generate-password", *FAST, "--json", "--force")
    found = [cli.run(*words, "-o", f"{n}") for n in range(3)]
    assert [result.stderr for result in found] == [""] * 3
    passwords = [result.document["password"] for result in found]
    assert len(set(passwords)) == 3
    letters = set("".join(passwords)) - {"-"}
    # Not more than one kind of each look-alike, and nothing that a keyboard layout moves.
    assert letters <= set("abcdefghijklmnopqrstuvwxyz0123456789")
    assert not letters & set("01lio")
    for password in passwords:
        assert len(password.replace("-", "")) * math.log2(31) >= 128
        assert opens(cli.here / f"{passwords.index(password)}.pfx", password)


def test_a_generated_password_of_a_failed_export_is_not_shown(
    cli: Cli, profile: MakeProfile
) -> None:
    folder = profile("two-people")
    result = cli.run("export", "--profile", folder, "--generate-password", *FAST)
    assert result.status == 21
    assert "Password of the backup" not in result.stderr
    found = cli.run("export", "--profile", folder, "--generate-password", *FAST, "--json")
    assert "password" not in found.document


def _without_reader(cli: Cli, *words: str | Path, stderr: str) -> int:
    """The status of a command whose stderr is closed, or a pipe that nobody reads any more."""
    end, start = os.pipe()
    os.close(end)
    closed = ("sh", "-c", 'exec "$@" 2>&-', "sh") if stderr == "closed" else ()
    done = subprocess.run(
        [*closed, *COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=start,
        cwd=cli.here,
        env=cli.variables(),
        timeout=LIMIT,
        check=False,
    )
    os.close(start)
    return done.returncode


@pytest.mark.parametrize("stderr", ["closed", "gone"])
def test_a_password_that_nobody_saw_replaces_no_backup(cli: Cli, store: Path, stderr: str) -> None:
    assert cli.export(store, "-o", "a.pfx").status == 0
    before = (cli.here / "a.pfx").read_bytes()
    words = ("repassword", "a.pfx", "--generate-password", "--force", *FAST)
    old = ("--old-password-file", cli.password_file())
    assert _without_reader(cli, *words, *old, stderr=stderr) == 31
    assert (cli.here / "a.pfx").read_bytes() == before
    # With --json it is in the document alone.
    assert _without_reader(cli, *words, *old, "--json", stderr=stderr) == 0


def test_with_json_and_no_stdout_no_password_is_generated(cli: Cli, store: Path) -> None:
    words = ("export", "--profile", store, "--generate-password", *FAST, "--json")
    closed = ("sh", "-c", 'exec "$@" >&-', "sh")
    result = cli.run(*words, prefix=closed)
    assert (result.status, names(cli.here)) == (31, [])


def test_an_unseen_warning_hides_no_unseen_password(cli: Cli, profile: MakeProfile) -> None:
    words = ("export", "--profile", profile("expired"), "--generate-password", *FAST)
    assert _without_reader(cli, *words, stderr="gone") == 31
    assert names(cli.here) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_of_a_windows_editor_is_utf_16(cli: Cli, store: Path, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    # Some line ends are hidden in other characters: U+0A0D, U+0D0A.
    password = "Pässwörd-\u0a0d\u0d0a-47"
    content = f"{mark}{password}\r\nsecond\n".encode(encoding)
    assert export_with(cli, store, content).status == 0
    assert cli.verify(cli.here / "a.pfx", password=password)[0]["ok"]


def test_a_blank_at_the_end_is_kept_and_said(cli: Cli, store: Path) -> None:
    assert "ends in a blank" in export_with(cli, store, f"{STRONG} \n".encode()).stderr
    assert cli.verify(cli.here / "a.pfx", password=f"{STRONG} ")[0]["ok"]


def test_only_what_a_person_types_is_judged(cli: Cli, store: Path) -> None:
    result = export_with(cli, store, b"password")
    assert (result.status, WEAK in result.stderr) == (0, False)


@pytest.mark.parametrize("destination", ["java", "java-old", "any"])
def test_java_and_a_password_that_is_not_ascii_get_a_warning(
    cli: Cli, store: Path, destination: str
) -> None:
    result = export_with(cli, store, "Grün-und-Süß-und-Öde".encode(), "--for", destination)
    assert result.status == 0
    assert "Java" in result.stderr
    assert "ASCII" in result.stderr
    plain = export_with(cli, store, STRONG.encode(), "--for", destination, "--force")
    assert "ASCII" not in plain.stderr


def test_other_destinations_take_any_password(cli: Cli, store: Path) -> None:
    result = export_with(cli, store, "Grün-und-Süß-und-Öde".encode(), "--for", "windows")
    assert "ASCII" not in result.stderr

"""Streams: data on stdout, talk on stderr, and with `--json` exactly one document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import FIXTURES, LIMIT
from tests.cli.failures import FAILURES, Failure
from tests.cli.runner import FAST, STRONG, Cli, without_one
from tests.conftest import MakeProfile

ERROR = ("status", "code", "message", "hint")
PROFILE = ("application", "name", "path", "default", "in_use", "store", "primary_password")
EXPORT = ("identity", "output", "copies", "format", "sha256", "bytes", "verified")
VERIFIED = ("file", "ok", "identity", "encryption", "kdf_rounds", "mac", "mac_rounds", "warnings")
IDENTITY = (
    *("profile", "nickname", "subject", "common_name", "email", "issuer", "serial", "sha1"),
    *("sha256", "not_before", "not_after", "status", "wipo", "key", "chain"),
)


@pytest.fixture
def backup(cli: Cli, profile: MakeProfile) -> Path:
    assert cli.export(profile("ec-p256"), "-o", "a.pfx").status == 0
    return cli.here / "a.pfx"


def fixture_facts(name: str) -> dict[str, Any]:
    path = FIXTURES / "profiles.json"
    facts = json.loads(path.read_text(encoding="utf-8"))["profiles"][name]
    assert isinstance(facts, dict)
    return facts


def firefox_home(cli: Cli, profile: MakeProfile, store: str) -> Path:
    """Put a fixture profile where Firefox has them."""
    root = cli.home / ".mozilla" / "firefox"
    root.mkdir(parents=True)
    ini = "[Profile0]\nName=work\nIsRelative=1\nPath=abc.work\nDefault=1\n"
    (root / "profiles.ini").write_text(ini)
    return profile(store).rename(root / "abc.work")


def failed(failure: Failure) -> str:
    return str(failure)


def test_export_prints_the_path_on_stdout_and_talks_on_stderr(
    cli: Cli, profile: MakeProfile
) -> None:
    result = cli.export(profile("ec-p256"), "-o", "a.pfx")
    assert result.stdout == f"{cli.here}/a.pfx\n"
    assert "verified" in result.stderr
    assert "Jane Doe" in result.stderr


def test_list_prints_its_table_on_stdout_and_nothing_on_stderr(
    cli: Cli, profile: MakeProfile
) -> None:
    result = cli.run("list", "--profile", profile("foreign-and-wipo"))
    assert len([line for line in result.stdout.splitlines() if "Jane Doe" in line]) == 2
    assert len([line for line in result.stdout.splitlines() if "(WIPO)" in line]) == 1
    assert result.stderr == ""


def test_profiles_prints_its_table_on_stdout(cli: Cli, profile: MakeProfile) -> None:
    folder = firefox_home(cli, profile, "ec-p256")
    result = cli.run("profiles")
    assert str(folder) in result.stdout
    assert result.stderr == ""


def test_verify_prints_findings_on_stdout_warnings_on_stderr(cli: Cli, backup: Path) -> None:
    result = cli.run("verify", "--password-file", cli.password_file(), backup)
    assert result.stdout.startswith(f"{backup}: ok\n")
    assert "AES-256" in result.stdout
    assert result.stderr.startswith("warning: a.pfx: weak")  # 2,048 rounds


@pytest.mark.parametrize("failure", FAILURES, ids=failed)
def test_a_failure_with_json_is_one_document_on_stdout(
    cli: Cli, profile: MakeProfile, failure: Failure
) -> None:
    words = failure.words(cli, profile)
    result = cli.run(words[0], "--json", *words[1:])
    assert result.status == failure.status
    assert "nssbackup: error" not in result.stderr
    if words[0] == "verify" and failure.status == 32:
        error = result.document["files"][0]["error"]
    else:
        assert set(result.document) == {"error"}
        error = result.error
    assert without_one(error, ERROR) == set()
    assert error["status"] == failure.status
    assert error["code"] == failure.code
    assert isinstance(error["message"], str)
    assert error["hint"] is None or isinstance(error["hint"], str)


def test_no_command_with_json_is_an_error_document(cli: Cli) -> None:
    result = cli.run("--json")
    assert result.status == 2
    assert result.error["status"] == 2


def test_json_anywhere_in_the_line_counts(cli: Cli) -> None:
    for words in (("--json", "list"), ("list", "--bogus", "--json"), ("bogus", "--json")):
        assert cli.run(*words).error["code"] == "usage"


def test_json_behind_a_double_dash_is_a_certificate(cli: Cli, profile: MakeProfile) -> None:
    result = cli.run("list", "--profile", profile("ec-p256"), "--", "--json")
    assert result.status == 20
    assert result.stdout == ""


def test_the_keys_of_export_are_the_contracts(cli: Cli, profile: MakeProfile) -> None:
    folder = profile("ec-p256")
    facts = fixture_facts("ec-p256")["identities"][0]
    found = cli.export(folder, "-o", "a.pfx", "--json").document
    assert without_one(found, EXPORT) == set()
    assert found["output"].endswith("a.pfx")
    assert found["copies"] == []
    assert found["format"] == "modern"
    assert found["verified"] is True
    assert found["bytes"] == (cli.here / "a.pfx").stat().st_size
    assert "password" not in found
    identity = found["identity"]
    assert without_one(identity, IDENTITY) == set()
    assert identity["profile"] == str(folder)
    assert identity["nickname"] == facts["nickname"]
    assert identity["serial"] == facts["serial"]
    assert identity["sha256"] == facts["fingerprint"]
    assert identity["issuer"] == facts["issuer"]
    assert identity["email"] == "jane.doe@example.com"
    assert identity["not_after"] == "2056-05-01T00:00:00Z"
    assert identity["status"] == "valid"
    assert identity["wipo"] is True
    assert identity["key"] == {"present": True, "type": "EC", "bits": 256}
    assert len(identity["chain"]) == 2


def test_the_keys_of_list_are_the_contracts(cli: Cli, profile: MakeProfile) -> None:
    found = cli.run("list", "--json", "--profile", profile("certificate-without-key")).document
    assert without_one(found, ("identities", "errors")) == set()
    assert found["errors"] == []
    (identity,) = found["identities"]
    assert without_one(identity, IDENTITY) == set()
    assert identity["key"]["present"] is False


def test_the_keys_of_profiles_are_the_contracts(cli: Cli, profile: MakeProfile) -> None:
    folder = firefox_home(cli, profile, "nss387-password")
    (found,) = cli.run("profiles", "--json").document["profiles"]
    assert without_one(found, PROFILE) == set()
    assert found["path"] == str(folder)
    assert found["default"] is True
    assert found["store"] == "sqlite"
    assert found["primary_password"] is True


def test_the_keys_of_verify_are_the_contracts(cli: Cli, backup: Path) -> None:
    (found,) = cli.verify(backup)
    assert without_one(found, VERIFIED) == set()
    assert found["file"] == str(backup)
    assert found["ok"] is True
    identity = found["identity"]
    assert without_one(identity, IDENTITY) == set()
    assert identity["profile"] is None
    assert identity["key"] == {"present": True, "type": "EC", "bits": 256}


def test_the_candidates_stand_in_the_error(cli: Cli, profile: MakeProfile) -> None:
    error = cli.export(profile("two-people"), "--json").error
    assert {one["common_name"] for one in error["candidates"]} == {"Jane Doe", "Zoë Müller"}
    error = cli.export(profile("foreign-only").parent / "foreign-only", "--json").error
    assert [one["wipo"] for one in error["candidates"]] == [False]


@pytest.mark.parametrize("flag", ["-q", "--quiet"])
def test_quiet_leaves_the_data_alone(
    cli: Cli, profile: MakeProfile, backup: Path, flag: str
) -> None:
    folder = profile("renewed")
    result = cli.run("list", flag, "--profile", folder)
    assert result.stdout == cli.run("list", "--profile", folder).stdout != ""
    result = cli.export(folder.parent / "ec-p256", "-o", "b.pfx", flag)
    assert (result.stdout, result.stderr) == (f"{cli.here}/b.pfx\n", "")
    backup.unlink()


def test_quiet_silences_no_warning_and_no_error(cli: Cli, profile: MakeProfile) -> None:
    result = cli.export(profile("expired"), "-q", "-o", "a.pfx")
    assert "warning: the certificate expired" in result.stderr
    assert "nssbackup: error:" in cli.run("list", "-q", "--profile", "nobody").stderr


def test_quiet_shows_a_generated_password_nevertheless(cli: Cli, profile: MakeProfile) -> None:
    words = ("export", "-q", "--profile", profile("ec-p256"), "--generate-password", *FAST)
    result = cli.run(*words)
    assert result.status == 0
    assert len(result.stderr.splitlines()) == 1
    assert "-" in result.stderr.split()[-1]


@pytest.mark.parametrize("flag", ["-v", "--verbose"])
def test_verbose_says_more_on_stderr_and_the_same_on_stdout(
    cli: Cli, profile: MakeProfile, flag: str
) -> None:
    folder = profile("ec-p256")
    usual = cli.export(folder, "-o", "a.pfx")
    verbose = cli.export(folder, "-o", "b.pfx", flag)
    assert len(verbose.stderr) > len(usual.stderr)
    assert verbose.stdout == f"{cli.here}/b.pfx\n"
    assert str(folder) in verbose.stderr
    assert STRONG not in verbose.stderr


def test_verbose_says_what_verify_does(cli: Cli, backup: Path) -> None:
    given = ("verify", "--password-file", cli.password_file(), backup)
    usual, verbose = cli.run(*given), cli.run(*given, "-v")
    said = f"reading {backup}\nopened and checked: {backup}\n"
    assert (verbose.status, verbose.stdout) == (0, usual.stdout)
    assert verbose.stderr == said + usual.stderr


def test_verbose_and_quiet_change_no_json(cli: Cli, profile: MakeProfile) -> None:
    folder = profile("two-people")
    results = [
        cli.run("list", "--json", *more, "--profile", folder) for more in ((), ("-v",), ("-q",))
    ]
    assert len({result.stdout for result in results}) == 1
    assert results[0].stderr == ""


def test_json_is_ascii_and_one_line_where_it_is_no_terminal(cli: Cli, profile: MakeProfile) -> None:
    result = cli.run("list", "--json", "--profile", profile("two-people"))
    assert result.stdout.isascii()
    assert result.stdout.count("\n") == 1


def test_without_a_terminal_there_is_no_escape_sequence(
    cli: Cli, profile: MakeProfile, backup: Path
) -> None:
    folder = profile("two-people")
    terminal = Cli(cli.folder, {"TERM": "xterm-256color", "COLORTERM": "truecolor"})
    results = [
        terminal.run("list", "--profile", folder),
        terminal.export(folder),
        terminal.export(folder, "Jane"),
        terminal.run("verify", "--password-file", cli.password_file(), backup),
        terminal.run("list", "--bogus"),
        terminal.run("--help"),
    ]
    for result in results:
        assert "\x1b" not in result.stdout + result.stderr


def test_no_color_is_honoured_on_a_terminal(cli: Cli, profile: MakeProfile) -> None:
    plain = Cli(cli.folder, {"NO_COLOR": "1", "COLORTERM": "truecolor"})
    talk = plain.talk("list", "--profile", profile("two-people"), answers=[])
    assert talk.status == 0
    # SGR 30-49 and 90-107 are colours.
    for sequence in talk.transcript.split("\x1b[")[1:]:
        numbers = sequence.partition("m")[0].split(";")
        assert not [n for n in numbers if n.isdecimal() and 30 <= int(n) <= 107]


def test_a_table_in_a_pipe_is_never_cut(cli: Cli, profile: MakeProfile) -> None:
    narrow = Cli(cli.folder, {"COLUMNS": "20"})
    result = narrow.run("list", "--profile", profile("two-people"))
    row = next(line for line in result.stdout.splitlines() if "Zoë" in line)
    for expected in ("Zoë Müller", "WIPO Customer CA G2 (WIPO)", "2056-05-01", "two-people"):
        assert expected in row


@pytest.mark.parametrize("width", ["80", "79", "24"])
def test_what_names_a_certificate_is_never_folded(
    cli: Cli, profile: MakeProfile, width: str
) -> None:
    narrow = Cli(cli.folder, {"COLUMNS": width})
    store = profile("two-people")
    listed = narrow.talk("list", "--profile", store, answers=[]).text
    chosen = narrow.talk("export", "--profile", store, answers=[("Which one?", "\n")]).text
    for identity in cli.run("list", "--profile", store, "--json").document["identities"]:
        for text in (listed, chosen):
            assert identity["sha256"][:16] in text
            # Nor is anything left out.
            assert identity["common_name"].split()[1] in text
            assert identity["not_after"][:10] in text
            assert "RSA" in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_any_encoding_of_the_terminal_will_do(
    cli: Cli, profile: MakeProfile, encoding: str
) -> None:
    old = Cli(cli.folder, {"PYTHONIOENCODING": encoding})
    with old.start("list", "--profile", profile("two-people")) as process:
        out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert err == b""
    assert b"Jane Doe" in out
    rule = out.splitlines()[1].decode(encoding)
    assert set(rule) == ({"─"} if encoding == "utf-8" else {"-"})

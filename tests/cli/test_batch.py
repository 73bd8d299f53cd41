"""`nssbackup batch`: a building in one command."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.builders.homes import (
    JANE,
    JANES_FILE,
    LOCKED,
    PRIMARY,
    add_home,
    backups,
    everything,
    opened,
    password_rows,
    profile_in,
    report_of,
)
from tests.builders.store import issue, rsa_key
from tests.cli.runner import STRONG, Cli, names, unprivileged


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    """Three users: one with a backup to be made, one locked, one with nothing."""
    add_home(tmp_path / "homes", "jane", JANE)
    add_home(tmp_path / "homes", "bob", LOCKED)
    add_home(tmp_path / "homes", "zoe", "foreign-only")
    return tmp_path / "homes"


def test_a_building_is_backed_up_and_what_failed_is_told(cli: Cli, homes: Path) -> None:
    before = everything(homes)
    result = cli.run("batch", homes, "-o", "out", "--jobs", "1")
    assert result.status == 3
    assert everything(homes) == before
    out = cli.here / "out"
    assert result.stdout.splitlines() == [
        str(out / name) for name in ("report.json", "report.csv", "report.html")
    ]
    assert f"jane: Jane Doe: backed up: jane/{JANES_FILE}\n" in result.stderr
    assert "error: bob: Jane Doe: profile `p0` has a primary password\n" in result.stderr
    assert "1 backed up, 1 failed\n" in result.stderr
    assert "3 homes: 1 backed up, 1 without a certificate, 1 failed\n" in result.stderr
    assert "The passwords are in" in result.stderr
    (left,) = opened(out)
    (row,) = password_rows(out)
    assert row["password"] not in result.stdout + result.stderr
    assert left.path.name == JANES_FILE
    assert names(out) == sorted(
        [".nssbackup", "jane", "passwords.csv", "report.csv", "report.html", "report.json"]
    )
    assert names(cli.temporary) == []


def test_every_night(cli: Cli, homes: Path) -> None:
    primary = cli.file("primary", PRIMARY)
    words = ("batch", homes, "-o", "out", "--jobs", "1", "--primary-password-file", primary)
    first = cli.run(*words, "--json")
    assert first.status == 0
    *done, warning = first.stderr.splitlines()
    assert [line.split(":")[0] for line in sorted(done)] == ["bob", "jane"]
    assert all(": Jane Doe: backed up: " in line for line in done)
    assert warning.startswith("The passwords are in")
    second = cli.run(*words, "--json")
    assert second.status == 0
    assert second.document["totals"]["unchanged"] == 2
    assert second.document == report_of(cli.here / "out")
    assert cli.run(*words).stderr == (
        "0 backed up, 2 unchanged\n3 homes: 2 backed up, 1 without a certificate\n"
    )
    third = cli.run(*words, "--json", "--force")
    assert third.document["totals"]["backed-up"] == 2
    assert len(opened(cli.here / "out")) == 2


def test_quiet_says_nothing_where_nothing_is_wrong(cli: Cli, homes: Path) -> None:
    result = cli.run("batch", homes, "-o", "out", "-q", "--cert", "mail")
    assert (result.status, result.stdout, result.stderr) == (0, "", "")
    shutil.rmtree(profile_in(homes / "zoe"))
    result = cli.run("batch", homes, "-o", "out", "-q", "--cert", "mail")
    assert (result.status, result.stdout) == (0, "")
    assert result.stderr.startswith("warning: `Jane Doe` of `zoe` was backed up earlier")
    result = cli.run("batch", homes, "-o", "out", "--forget", "zoe", "--json")
    assert result.document["totals"]["homes"]["gone"] == 0


def test_who_is_left_out_and_what_the_machine_is_called(cli: Cli, homes: Path) -> None:
    words = ("batch", homes, "-o", "out", "--exclude", "bob", "--host", "files", "--json")
    result = cli.run(*words)
    assert result.status == 0
    assert {home["user"] for home in result.document["homes"]} == {"jane", "zoe"}
    assert {one["host"] for one in result.document["items"]} == {"files"}


def test_a_terminal_gets_a_bar_and_no_question(cli: Cli, homes: Path) -> None:
    talk = cli.talk("batch", str(homes), "-o", "out", "--jobs", "1", answers=[], split=True)
    assert talk.status == 3
    assert "3/3" in talk.text
    assert "error: bob: Jane Doe: profile `p0` has a primary password" in talk.text
    assert "1 backed up, 1 failed" in talk.text
    assert "backed up: jane/" not in talk.text
    assert len(talk.stdout.splitlines()) == 3


def test_a_terminal_is_told_of_twenty_failures_at_most(cli: Cli, tmp_path: Path) -> None:
    for number in range(23):
        add_home(tmp_path / "many", f"user{number:02}", JANE)
        (profile_in(tmp_path / "many" / f"user{number:02}") / "key4.db").write_bytes(b"no database")
    talk = cli.talk("batch", "--homes", str(tmp_path / "many"), "-o", "out", answers=[], split=True)
    assert talk.status == 3
    assert talk.text.count("error: user") == 20
    assert "error: and 3 more: see the report" in talk.text
    assert "0 backed up, 23 failed" in talk.text
    assert "".join(talk.text.split()).count("/.mozilla/firefox/") == 20  # once in each


@pytest.mark.parametrize("json", [False, True])
def test_a_report_that_can_not_be_written_is_told(cli: Cli, homes: Path, *, json: bool) -> None:
    (cli.here / "out" / "report.html").mkdir(parents=True)
    words = ("batch", "--home", homes / "jane", "-o", "out", *(("--json",) if json else ()))
    done = cli.run(*words)
    assert done.status == 31
    assert "report.html" in done.stderr
    assert len(backups(cli.here / "out")) == 1
    if json:
        assert done.document["totals"]["backed-up"] == 1


def test_what_openssl_decrypts_is_a_password_file(cli: Cli, homes: Path) -> None:
    key = rsa_key(3)
    assert isinstance(key, rsa.RSAPrivateKey)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    words = ("-o", "out", "--escrow-cert", cli.file("it.der", issue(key, "IT")))
    assert cli.run("batch", homes / "jane", *words).status == 0
    (message,) = (cli.here / "out" / "escrow" / "jane").iterdir()
    printed = subprocess.run(
        [
            *("openssl", "cms", "-decrypt", "-inform", "DER", "-in", str(message)),
            *("-inkey", str(cli.file("it.key", pem))),
        ],
        check=True,
        capture_output=True,
    ).stdout
    (backup,) = backups(cli.here / "out")
    opened_by = cli.file("printed.json", printed)
    assert cli.run("verify", backup, "--password-file", opened_by).status == 0
    # A later run without escrow is refused, and says how it can be had.
    done = cli.run("batch", homes / "jane", "-o", "out", "--json")
    assert (done.status, done.error["code"]) == (2, "usage")
    assert "--no-escrow" in done.error["hint"]
    assert cli.run("batch", homes / "jane", "-o", "out", "--no-escrow").status == 0


@pytest.mark.posix("a matter of Unix permissions")
def test_a_password_file_that_others_can_read_is_told(cli: Cli, homes: Path) -> None:
    primary = cli.file("primary", PRIMARY)
    primary.chmod(0o644)
    done = cli.run("batch", homes, "-o", "out", "--primary-password-file", primary)
    assert done.status == 0
    told = f"warning: others can read the file of `--primary-password-file`: `chmod 600 {primary}`"
    assert done.stderr.startswith(told)


def test_given_passwords_have_the_rounds_that_they_need(cli: Cli, homes: Path) -> None:
    file = cli.password_file()
    assert cli.run("batch", homes / "jane", "-o", "out", "--password-file", file).status == 0
    (path,) = backups(cli.here / "out")
    (verified,) = cli.verify(path)
    assert (verified["kdf_rounds"], verified["mac_rounds"]) == (600_000, 600_000)
    table = cli.file("table.csv", f"user,password\nJane,{STRONG}\n")
    words = ("batch", homes / "jane", "-o", "other", "--passwords", table, "--kdf-rounds", "2048")
    assert cli.run(*words).status == 0
    (verified,) = cli.verify(*backups(cli.here / "other"))
    assert verified["kdf_rounds"] == 2_048


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("batch", "-o", "out"), "there is nothing to search"),
        (("batch", "HOMES"), "missing option `--output`"),
        (("batch", "HOMES", "-o", "HOMES/out"), "lie one in the other"),
        (
            ("batch", "HOMES", "-o", "out", "--password-file", "x", "--passwords", "y"),
            "`--password-file` and `--passwords` exclude each other",
        ),
        (
            ("batch", "HOMES", "-o", "out", "--generate-passwords", "--passwords", "y"),
            "`--generate-passwords` and `--passwords` exclude each other",
        ),
        (
            (
                *("batch", "HOMES", "-o", "out"),
                *("--primary-passwords", "x", "--primary-password-file", "y"),
            ),
            "`--primary-password-file` and `--primary-passwords` exclude each other",
        ),
        (
            ("batch", "HOMES", "-o", "out", "--escrow-cert", "x", "--password-file", "y"),
            "`--escrow-cert` and `--password-file` exclude each other",
        ),
        (("batch", "HOMES", "-o", "out", "--escrow-cert", "missing"), "can't be read"),
        (("batch", "HOMES", "-o", "out", "--passwords", "missing"), "can't be read"),
        (("batch", "HOMES", "-o", "out", "--password-file", "EMPTY"), "an empty password"),
        (("batch", "HOMES", "-o", "out", "--kdf-rounds", "1"), "1 rounds are not between"),
        (("batch", "HOMES", "-o", "out", "--kdf-rounds", "0"), "0 rounds are not between"),
        (("batch", "HOMES", "-o", "out", "--app", "lynx"), "knows no application `lynx`"),
        (("batch", "HOMES", "-o", "out", "--jobs", "0"), "--jobs"),
        (("batch", "HOMES", "-o", "out", "--expiring", "-1"), "--expiring"),
    ],
)
def test_wrong_usage_is_2_and_writes_nothing(
    cli: Cli, homes: Path, words: tuple[str, ...], message: str
) -> None:
    empty = cli.file("empty", b"")
    before = everything(homes)
    words = tuple(word.replace("HOMES", str(homes)).replace("EMPTY", str(empty)) for word in words)
    result = cli.run(*words)
    assert result.status == 2
    assert message.casefold() in result.stderr.casefold()
    assert result.stdout == ""
    assert names(cli.here) == []
    assert everything(homes) == before


def test_a_wrong_line_of_a_table_is_named_and_not_shown(cli: Cli, homes: Path) -> None:
    table = cli.file("t.csv", "user,password\njane,hunter2,hunter2\n")
    result = cli.run("batch", homes, "-o", "out", "--passwords", table, "--json")
    assert result.status == 2
    assert "line 2 of the file of `--passwords`" in result.error["message"]
    assert "hunter2" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("--homes", "EMPTY"), 10, "no-profile"),
        (("HOMES/zoe",), 20, "no-match"),
        (("HOMES", "--cert", "nobody"), 20, "no-match"),
    ],
)
def test_a_night_that_finds_nothing_is_noticed(
    cli: Cli, homes: Path, words: tuple[str, ...], status: int, code: str
) -> None:
    empty = cli.folder / "nobody"
    (empty / "amy").mkdir(parents=True)
    words = tuple(w.replace("HOMES", str(homes)).replace("EMPTY", str(empty)) for w in words)
    result = cli.run("batch", *words, "-o", "out", "--json")
    assert (result.status, result.error["code"]) == (status, code)
    assert result.error["hint"]
    assert report_of(cli.here / "out")["items"] == []


def test_a_root_that_is_gone_is_3(cli: Cli, homes: Path) -> None:
    result = cli.run("batch", homes / "jane", homes / "gone", "-o", "out")
    assert result.status == 3
    assert f"error: gone: `{homes / 'gone'}` can't be read" in result.stderr


def test_a_dry_run_says_what_would_be_and_writes_nothing(cli: Cli, homes: Path) -> None:
    result = cli.run("batch", homes, "-o", "out", "--dry-run")
    assert result.status == 3
    assert result.stderr.endswith(
        "0 backed up, 1 would be backed up, 1 failed; nothing was written\n"
        "3 homes: 1 would be backed up, 1 without a certificate, 1 failed\n"
    )
    primary = cli.file("primary", PRIMARY)
    result = cli.run("batch", homes, "-o", "out", "--dry-run", "--primary-password-file", primary)
    assert result.status == 0
    assert "bob: Jane Doe: would be backed up: bob/" in result.stderr
    assert result.stderr.endswith(
        "0 backed up, 2 would be backed up; nothing was written\n"
        "3 homes: 2 would be backed up, 1 without a certificate\n"
    )
    assert result.stdout == ""
    assert names(cli.here) == []


@pytest.mark.posix("it looks at file modes")
def test_the_folders_are_for_the_owner_alone_whatever_the_umask(cli: Cli, homes: Path) -> None:
    assert cli.run("batch", homes / "jane", "-o", "out/deep", umask=0).status == 0
    for path in [cli.here / "out", *(cli.here / "out").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_the_environment_of_the_caller_leads_nowhere(tmp_path: Path, homes: Path) -> None:
    mine = add_home(tmp_path / "mine", "me", "chain3")
    cli = Cli(
        tmp_path / "cli",
        {
            "MOZ_APP_DATA": str(profile_in(mine).parent),
            "XDG_CONFIG_HOME": str(mine / ".config"),
            "APPDATA": str(mine),
        },
    )
    assert cli.run("batch", "--home", homes / "jane", "-o", "out").status == 0
    assert [item["user"] for item in report_of(cli.here / "out")["items"]] == ["jane"]


def test_a_link_out_of_a_home_is_not_followed_but_told(cli: Cli, homes: Path) -> None:
    victim = profile_in(homes / "jane")
    thief = add_home(homes, "thief")
    stolen = profile_in(thief).parent / "stolen"
    stolen.symlink_to(victim)
    other = profile_in(thief, 1)
    other.mkdir()
    for name in ("cert9.db", "key4.db"):
        (other / name).symlink_to(victim / name)
    words = ("batch", "--home", thief, "-o", "out", "--json")
    for _ in range(2):  # the second night as well
        result = cli.run(*words)
        assert result.status == 3
        items = result.document["items"]
        assert {one["profile"] for one in items} == {str(stolen), str(other)}
        for one in items:
            assert (one["status"], one["identity"], one["file"]) == ("failed", None, None)
            assert one["error"]["code"] == "store-unreadable"
            assert "link out of the home" in one["error"]["message"]
            assert "ROOT" in one["error"]["hint"]
        assert backups(cli.here / "out") == []
    assert cli.run(*words, "--app", "Thunderbird").status == 10


def test_a_nickname_that_is_a_formula_does_nothing(cli: Cli, tmp_path: Path) -> None:
    add_home(tmp_path / "homes", "=cmd|' C calc'!A0", JANE)
    assert cli.run("batch", "--homes", tmp_path / "homes", "-o", "out").status == 0
    (row,) = password_rows(cli.here / "out")
    assert row["user"].startswith("'=cmd")
    assert "\n=cmd" not in (cli.here / "out" / "report.csv").read_text(encoding="utf-8")


def test_for_any_destination_there_are_both_files(cli: Cli, homes: Path) -> None:
    assert cli.run("batch", homes / "jane", "-o", "out", "--for", "any").status == 0
    assert len(opened(cli.here / "out")) == 2


@pytest.mark.posix("a matter of Unix permissions")
def test_a_closed_home_is_a_failure_with_a_hint(cli: Cli, homes: Path) -> None:
    (homes / "jane" / ".mozilla").chmod(0)
    words = ("batch", "--homes", homes, "-o", "out", "--json", "--all-issuers")
    result = cli.run(*words, prefix=unprivileged())
    (homes / "jane" / ".mozilla").chmod(0o755)
    assert result.status == 3
    (jane,) = (item for item in result.document["items"] if item["user"] == "jane")
    assert jane["error"]["code"] == "store-unreadable"
    assert "chmod" in jane["error"]["hint"]

"""The commands on Windows, from a profile in its place there to a backup that opens again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.runner import COMMAND, FAST, Cli, names
from tests.conftest import MakeProfile

FIREFOX = "AppData/Roaming/Mozilla/Firefox"
LIST = "[Profile0]\nName=work\nIsRelative=1\nPath=Profiles/x1y2.work\nDefault=1\n"
NAME = "Jane Doe-WIPO Customer CA G2-2056-05-01.pfx"


@pytest.fixture
def jane(cli: Cli, profile: MakeProfile) -> Cli:
    """A user with a profile where Windows' Firefox has it."""
    root = cli.home / FIREFOX
    (root / "Profiles").mkdir(parents=True)
    (root / "profiles.ini").write_bytes(LIST.replace("\n", "\r\n").encode())
    profile("firefox-nopassword").rename(root / "Profiles" / "x1y2.work")
    return cli


def test_a_profile_is_found_where_windows_has_it(jane: Cli) -> None:
    (found,) = jane.run("profiles", "--json").document["profiles"]
    assert (found["name"], found["default"]) == ("work", True)
    assert found["path"] == str(jane.home / FIREFOX / "Profiles" / "x1y2.work")


def test_a_backup_is_made_and_a_pattern_names_it(jane: Cli) -> None:
    done = jane.run("export", "--password-file", jane.password_file(), *FAST)
    assert (done.status, names(jane.here)) == (0, [NAME])
    assert done.stdout.endswith(f"{NAME}\n")
    again = jane.run("export", "--password-file", jane.password_file(), *FAST)
    assert again.status == 30
    (found,) = jane.verify(Path("*.pfx"))
    assert (found["file"], found["ok"]) == (NAME, True)


def test_a_pattern_that_fits_nothing_is_a_missing_file(cli: Cli) -> None:
    done = cli.run("verify", "--password-file", cli.password_file(), "*.pfx")
    assert done.status == 32
    assert "`*.pfx` can't be read" in done.stdout


def test_a_reader_that_went_away_is_no_failure(jane: Cli) -> None:
    with subprocess.Popen(
        [*COMMAND, "list"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=jane.here,
        env=jane.variables(),
    ) as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")


def test_an_error_of_windows_is_said_in_english(cli: Cli) -> None:
    done = cli.run("export", "--certificate", "nothing.pem", "--password-file", "none")
    assert done.status == 2
    assert "no such file or directory" in done.stderr

"""The current folder: nothing is loaded from it, which may be one of downloads; it may be gone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.homes import add_home
from tests.cli.runner import Cli

# Loaded early, late, by the workers alone, and by what we depend on.
_MODULES = ("cryptography", "jinja2", "json", "queue", "rich", "signal", "sqlite3")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """One whose current folder has a trap for each module."""
    cli = Cli(tmp_path)
    for name in (*_MODULES, "typer"):
        sprung = f"open({str(tmp_path / 'sprung')!r}, 'a').write({name!r})"
        (cli.here / f"{name}.py").write_text(f"{sprung}\nraise SystemExit(99)\n")
    return cli


def test_no_command_loads_what_lies_there(
    cli: Cli, tmp_path: Path, profile: Callable[[str], Path]
) -> None:
    listed = cli.run("list", "--profile", str(profile("nss387-nopassword")))
    assert listed.status == 0, listed.stderr
    assert not (tmp_path / "sprung").exists()


def test_no_worker_loads_what_lies_there(cli: Cli, tmp_path: Path) -> None:
    add_home(tmp_path / "homes", "jane", "nss387-nopassword")
    done = cli.run("batch", "--homes", str(tmp_path / "homes"), "-o", str(tmp_path / "backups"))
    assert done.status == 0, done.stderr
    assert not (tmp_path / "sprung").exists()


# In the current folder, which is then removed.
_GONE = ("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("profiles", 10),
        ("list --json", 10),
        ("doctor", 10),
        ("export -o x.pfx --generate-password", 10),
        ("verify x.pfx --password-file PASSWORD", 32),
        ("repassword x.pfx --password-file PASSWORD", 32),
        ("restore x.pfx", 10),
        ("batch --homes homes -o out", 2),
        ("batch --homes HOMES -o out --json", 2),
        ("batch --homes HOMES -o OUT", 0),
        ("fleet hosts -o out", 2),
        ("fleet one,two -o OUT", 2),  # nothing is asked for these
    ],
)
def test_in_a_folder_that_is_gone_nothing_is_a_fault(
    tmp_path: Path, words: str, status: int
) -> None:
    cli = Cli(tmp_path)
    homes = add_home(tmp_path / "homes", "jane", "nss387-nopassword").parent
    places = {"HOMES": homes, "OUT": tmp_path / "out", "PASSWORD": cli.password_file()}
    done = cli.run(*(str(places.get(word, word)) for word in words.split()), prefix=_GONE)
    assert done.status == status, (done.status, done.stdout, done.stderr)
    assert "fault of nssbackup" not in done.stderr
    if words.startswith(("batch", "fleet one,")) and done.status:
        assert "the current folder was removed" in done.stderr + done.stdout


def test_the_traps_work(cli: Cli, tmp_path: Path) -> None:
    """What does not guard against them loads them, or the others would prove nothing."""
    words = [sys.executable, "-c", "import typer"]
    assert subprocess.run(words, cwd=cli.here, check=False).returncode == 99
    assert (tmp_path / "sprung").exists()

"""Umasks that keep even the user out: what is made here is open to its owner all the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.runner import FAST, STRONG, Cli, names, unprivileged
from tests.conftest import MakeProfile

masks = pytest.mark.parametrize("umask", [0o777, 0o177])


@pytest.fixture
def wal(profile: MakeProfile) -> Path:
    """A profile that can be read only by way of a copy among the temporary files."""
    folder = profile("ec-p256")
    for file in ("cert9.db", "key4.db"):
        with closing(sqlite3.connect(folder / file)) as database:
            database.execute("PRAGMA journal_mode=WAL")
    return folder


@masks
def test_a_backup_is_made_and_restored_under_any_umask(cli: Cli, wal: Path, umask: int) -> None:
    given = ("--profile", wal, "--password-file", cli.password_file())
    words = ("export", *given, "-o", "a.pfx", *FAST)
    result = cli.run(*words, umask=umask, prefix=unprivileged())
    assert result.status == 0, result.stderr
    (wal / "cert9.db").unlink()
    (wal / "key4.db").unlink()
    result = cli.run("restore", "a.pfx", *given, umask=umask, prefix=unprivileged())
    assert result.status == 0, result.stderr
    assert names(cli.temporary) == []


@masks
def test_a_batch_has_its_folders_under_any_umask(cli: Cli, wal: Path, umask: int) -> None:
    words = ("batch", wal.parent, "-o", "out", "--password-file", cli.file("pw", STRONG))
    result = cli.run(*words, *FAST, umask=umask, prefix=unprivileged())
    assert result.status == 0, result.stderr
    assert (cli.here / "out").stat().st_mode & 0o777 == 0o700
    assert names(cli.temporary) == []

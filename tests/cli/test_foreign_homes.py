"""Root at work in the homes of others: nothing there has it read or write elsewhere."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests import is_root
from tests.builders.homes import JANE, add_home, profile_in
from tests.cli.runner import Cli, names
from tests.peers.exports import exported
from tests.peers.restores import BACKUP_PASSWORD, identity_of

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not is_root(), reason="only root works in the homes of others"
)

BOB = "firefox-nopassword"
UIDS = {"jane": 47_001, "bob": 47_002}


@pytest.fixture
def homes() -> Iterator[Path]:
    """Two users' homes, each closed to the other, that they can get to."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        top.chmod(0o755)
        for user, fixture in (("jane", JANE), ("bob", BOB)):
            give(add_home(top, user, fixture), UIDS[user])
            (top / user).chmod(0o700)
        yield top


def give(top: Path, user: int) -> None:
    """Let a user own a folder and all that is in it, and let nobody else look in."""
    for folder, _, files in os.walk(top):
        os.chown(folder, user, user)
        for name in files:
            path = Path(folder, name)
            os.chown(path, user, user, follow_symlinks=False)
            path.chmod(0o600)


def backed_up(cli: Cli, homes: Path, *more: str) -> dict[str, set[str]]:
    """Whose certificates a batch found, user by user."""
    done = cli.run("batch", "--homes", homes, "-o", "out", "--jobs", "1", "--json", *more)
    assert done.status in (0, 3), done
    found: dict[str, set[str]] = {"jane": set(), "bob": set()}
    for item in done.document["items"]:
        if item["identity"] is not None:
            found[item["user"]].add(item["identity"]["sha256"])
    return found


def test_each_users_own_is_read(cli: Cli, homes: Path) -> None:
    expected = {"jane": {identity_of(JANE).fingerprint}, "bob": {identity_of(BOB).fingerprint}}
    assert backed_up(cli, homes) == expected
    assert {path.stat().st_uid for path in (cli.here / "out").rglob("*")} == {0}


@pytest.mark.parametrize("listed", [True, False])
def test_a_hard_link_to_anothers_databases_opens_nothing(
    cli: Cli, homes: Path, listed: bool
) -> None:
    profile = profile_in(homes / "jane") if listed else profile_in(homes / "jane", 7)
    profile.mkdir(exist_ok=True)
    os.chown(profile, UIDS["jane"], UIDS["jane"])
    for name in ("cert9.db", "key4.db"):
        (profile / name).unlink(missing_ok=True)
        (profile / name).hardlink_to(profile_in(homes / "bob") / name)
    found = backed_up(cli, homes)
    assert found["bob"] == {identity_of(BOB).fingerprint}
    assert identity_of(BOB).fingerprint not in found["jane"]
    assert bool(found["jane"]) is not listed


def test_what_needs_a_copy_is_read_with_the_owners_rights_too(cli: Cli, homes: Path) -> None:
    database = profile_in(homes / "jane") / "key4.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    os.chown(database, UIDS["jane"], UIDS["jane"])
    # What is not its owner's is told of, and it is not root's rights that are lacking.
    os.chown(profile_in(homes / "bob") / "key4.db", 0, 0)
    done = cli.run("batch", "--homes", homes, "-o", "out", "--jobs", "1", "--json")
    items = {item["user"]: item for item in done.document["items"]}
    assert items["jane"]["status"] == "backed-up"
    assert items["bob"]["error"]["code"] == "store-unreadable"
    assert "root takes the rights of the home's owner" in items["bob"]["error"]["hint"]
    assert names(cli.temporary) == []


def test_a_restore_has_the_owners_rights_and_follows_no_link(cli: Cli, homes: Path) -> None:
    profile = profile_in(homes / "jane")
    victim = cli.folder / "of-root"
    victim.write_bytes(b"of root")
    (profile / "key4.db-journal").symlink_to(victim)
    pfx = shutil.copy(exported(identity_of("chain3"), BACKUP_PASSWORD, "modern"), cli.folder)
    password = cli.password_file(BACKUP_PASSWORD)
    done = cli.run("restore", pfx, "--profile", profile, "--json", "--password-file", password)
    assert done.status in (11, 40), done
    assert victim.read_bytes() == b"of root"
    (profile / "key4.db-journal").unlink()
    # Root could write there, and Jane can't.
    profile.chmod(0o500)
    done = cli.run("restore", pfx, "--profile", profile, "--json", "--password-file", password)
    assert done.status == 40, done
    profile.chmod(0o700)
    done = cli.run("restore", pfx, "--profile", profile, "--json", "--password-file", password)
    assert done.status == 0, done
    # All of it is the owner's, and was made with the owner's rights.
    assert {path.lstat().st_uid for path in profile.rglob("*")} == {UIDS["jane"]}
    assert [one for one in names(profile) if one.startswith("nssbackup-before-restore-")]

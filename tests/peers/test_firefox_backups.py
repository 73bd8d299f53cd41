"""Backups that a real Firefox makes of itself: found, verified, and exported from."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tests import FIXTURES
from tests.cli.runner import Cli
from tests.peers import need
from tests.peers.exports import exportable
from tests.peers.firefox import Firefox
from tests.peers.readers import OpenSsl

PASSWORD = "Wiederherstellung für Zoë 9"
PFX_PASSWORD = "from the backup of Firefox"


@pytest.mark.parametrize(
    ("case", "filler"), [("firefox-nopassword", 3_000_000), ("firefox-password", 0)]
)
def test_a_backup_of_firefox_gives_the_same_key(
    cli: Cli, case: str, filler: int, require_peers: bool
) -> None:
    need(Firefox.missing(), required=require_peers)
    expected = next(each for each in exportable() if each.case == case)
    folder = cli.home / "Documents" / "Restore Firefox"
    folder.mkdir(parents=True)
    profile = shutil.copytree(FIXTURES / "profiles" / case, cli.folder / "profile")
    # Of this size the archive has several chunks.
    (profile / "logins.json").write_text(json.dumps({"filler": os.urandom(filler).hex()}))
    with Firefox(profile, password=expected.primary_password or None) as firefox:
        backup = firefox.back_up(folder, PASSWORD)
        clear = firefox.back_up(cli.folder, None)
    shutil.rmtree(profile)
    assert (backup.stat().st_size > 3_000_000) is bool(filler)

    (listed,) = cli.run("profiles", "--json").document["firefox_backups"]
    assert (listed["path"], listed["profile"]) == (str(backup), "profile")
    recovery = cli.file("recovery", PASSWORD)
    words = ("--profile", backup, "--recovery-password-file", recovery)
    (identity,) = cli.run("list", *words, "--json").document["identities"]
    assert (identity["sha256"], identity["container"]) == (expected.fingerprint, str(backup))
    assert identity["key"]["present"]
    assert cli.run("doctor", *words).status == 0
    done = cli.run("verify", backup, "--recovery-password-file", recovery, "--json")
    (checked,) = done.document["files"]
    assert checked["ok"]
    assert checked["kind"] == "firefox-backup"
    assert checked["application"].startswith("firefox")
    assert [one["sha256"] for one in checked["identities"]] == [expected.fingerprint]

    more: tuple[str, ...] = ()
    if expected.primary_password:
        more = ("--primary-password-file", str(cli.file("primary", expected.primary_password)))
        assert cli.run("export", *words, "--password-file", recovery).status == 12
    pfx = cli.file("pfx", PFX_PASSWORD)
    done = cli.run("export", *words, *more, "-o", "out.pfx", "--password-file", pfx)
    assert done.status == 0, done.stderr
    opened = OpenSsl().open(cli.here / "out.pfx", PFX_PASSWORD)
    assert opened.key_pkcs8 == expected.key

    assert cli.run("list", "--profile", backup, "--recovery-password-file", "absent").status == 2
    assert cli.run("list", "--profile", backup).status == 12
    assert cli.run("verify", backup).status == 12
    wrong = cli.file("wrong", "another")
    assert cli.run("list", "--profile", backup, "--recovery-password-file", wrong).status == 12
    assert cli.run("export", "--profile", clear, "--recovery-password-file", recovery).status == 20
    cut = cli.folder / "cut.html"
    cut.write_bytes(backup.read_bytes()[:-200])
    assert cli.run("verify", cut, "--recovery-password-file", recovery).status == 11

"""A profile group that the real Firefox made: its members are found and backed up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nssbackup.profiles import System, find_profiles
from tests.cli.runner import FAST, STRONG, Cli
from tests.conftest import Facts
from tests.peers import need
from tests.peers.exports import Expected, export, exportable
from tests.peers.firefox import Firefox
from tests.peers.readers import OpenSsl

NAME = "Kanzlei Müller & Söhne"


@pytest.fixture
def cli(tmp_path: Path, require_peers: bool) -> Cli:
    need(Firefox.missing() or OpenSsl().missing(), required=require_peers)
    return Cli(tmp_path)


def test_a_member_that_no_list_names_is_found(
    cli: Cli, snapshot_of: Callable[[Path], Facts]
) -> None:
    listed = Firefox.make_profile(cli.home, "jane")
    groups = listed.parent / "Profile Groups"
    with Firefox(listed, home=cli.home) as firefox:
        member = firefox.add_to_group(NAME)
        shown = _name_in_the_log_only(firefox, member, groups)
        before = snapshot_of(groups)
        assert _found(cli) == shown
        assert _command(cli) == shown
        assert snapshot_of(groups) == before
    assert shown[member].startswith(NAME)
    assert shown.keys() == {listed, member}
    lists = b"".join(path.read_bytes() for path in listed.parent.glob("*.ini"))
    assert listed.name.encode() in lists
    assert member.name.encode() not in lists
    after = snapshot_of(groups)
    assert _found(cli) == shown
    assert _command(cli) == shown
    assert snapshot_of(groups) == after


def test_a_certificate_of_a_member_is_listed_and_exported(cli: Cli, tmp_path: Path) -> None:
    wanted = _wanted()
    listed = Firefox.make_profile(cli.home, "jane")
    with Firefox(listed, home=cli.home) as firefox:
        member = firefox.add_to_group(NAME)
    pfx = export(wanted, tmp_path / "wanted", STRONG, "modern")
    with Firefox(member, home=cli.home) as firefox:
        firefox.import_pfx(pfx, STRONG)
        _check_export(cli, member, wanted, "while-it-runs.pfx")
    _check_export(cli, member, wanted, "afterwards.pfx")


def _name_in_the_log_only(firefox: Firefox, member: Path, groups: Path) -> dict[Path, str]:
    """Rename a member until Firefox leaves the row in the write-ahead log; return the group."""
    (database,) = groups.glob("*.sqlite")
    (log,) = groups.glob("*.sqlite-wal")
    for number in range(20):  # it empties the log after every sixteen pages
        name = f"{NAME} {number:02}"
        firefox.rename_in_group(member, name)
        if name.encode() in log.read_bytes() and name.encode() not in database.read_bytes():
            return firefox.group()
    pytest.fail("Firefox writes the group past its write-ahead log")


def _check_export(cli: Cli, member: Path, wanted: Expected, name: str) -> None:
    (row,) = cli.run("list", "--json").document["identities"]
    assert (row["sha256"], row["profile"]) == (wanted.fingerprint, str(member))
    password = cli.password_file()
    done = cli.run("export", "--json", "--password-file", password, "-o", name, *FAST)
    assert done.status == 0, done.stderr
    assert OpenSsl().open(cli.here / name, STRONG).key_pkcs8 == wanted.key
    # By the name that the user sees, too.
    assert cli.run("list", "--json", "--profile", NAME).document["identities"] == [row]


def _wanted() -> Expected:
    return next(each for each in exportable() if each.case == "firefox-nopassword")


def _found(cli: Cli) -> dict[Path, str]:
    return {one.path: one.name for one in find_profiles(System("linux", cli.home, {}))}


def _command(cli: Cli) -> dict[Path, str]:
    rows: list[dict[str, Any]] = cli.run("profiles", "--json").document["profiles"]
    return {Path(row["path"]): row["name"] for row in rows}

"""`list --expiring DAYS`: who has to ask for a new certificate soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.store import StoreBuilder, ec_key, issue, name
from tests.cli.runner import Cli
from tests.conftest import MakeProfile

WIPO, MAIL = name("WIPO Test CA", "WIPO"), name("Mail CA", "Example GmbH")
CA_KEY = ec_key(90)

# Whole days, of which a part has gone when the command runs: each ends within the day named.
PEOPLE = {
    "Expired": (-900, -1),
    "Today": (-300, 1),
    "Week": (-300, 7),
    "Month": (-300, 30),
    "Year": (-300, 365),
    "Future": (3, 20),
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    builder = StoreBuilder(tmp_path / "store")
    for number, (who, days) in enumerate(PEOPLE.items()):
        key = ec_key(number)
        builder.add_identity(key, issue(key, who, WIPO, CA_KEY, days=days))
    lost, other = ec_key(20), ec_key(21)
    builder.add_certificate(issue(lost, "Lost", WIPO, CA_KEY, days=(-300, 10)))
    builder.add_certificate(issue(other, "Other", MAIL, CA_KEY, days=(-300, 10)))
    return builder.write()


def listed(cli: Cli, store: Path, *words: str) -> list[str]:
    result = cli.run("list", "--profile", store, "--json", *words)
    assert result.status == 0, result.stderr
    return [one["common_name"] for one in result.document["identities"]]


@pytest.mark.parametrize(
    ("days", "shown"),
    [
        ("0", []),
        ("1", ["Today"]),
        ("7", ["Week", "Today"]),
        ("10", ["Lost", "Week", "Today"]),
        ("30", ["Month", "Lost", "Week", "Today"]),
        ("364", ["Month", "Lost", "Week", "Today"]),
        ("365", ["Year", "Month", "Lost", "Week", "Today"]),
        ("99999999999999999999", ["Year", "Month", "Lost", "Week", "Today"]),
    ],
)
def test_shown_are_those_valid_now_that_end_within_so_many_days(
    cli: Cli, store: Path, days: str, shown: list[str]
) -> None:
    assert listed(cli, store, "--expiring", days) == shown
    text = cli.run("list", "--profile", store, "--expiring", days).stdout
    for who in PEOPLE:
        assert (who in text) == (who in shown)


def test_it_goes_with_all_and_with_cert(cli: Cli, store: Path) -> None:
    assert set(listed(cli, store, "--expiring", "10", "--all")) == {
        *("Lost", "Other", "Week", "Today"),
    }
    assert listed(cli, store, "--expiring", "10", "Week") == ["Week"]
    assert listed(cli, store, "--expiring", "10", "Year") == []
    assert cli.run("list", "--profile", store, "--expiring", "10", "nobody").status == 20


def test_none_is_no_failure_and_is_said(cli: Cli, profile: MakeProfile) -> None:
    result = cli.run("list", "--profile", profile("ec-p256"), "--expiring", "30")
    assert (result.status, result.stdout) == (0, "")
    assert result.stderr == "no certificate expires within 30 days\n"
    assert cli.run("list", "--profile", profile("expired"), "--expiring", "30").stdout == ""


def test_a_damaged_profile_is_an_error_of_the_document_still(
    cli: Cli, store: Path, profile: MakeProfile
) -> None:
    damaged = profile("ec-p256")
    (damaged / "cert9.db").write_bytes(b"no database" * 1000)
    words = ("list", "--profile", store, "--profile", damaged, "--expiring", "1", "--json")
    document = cli.run(*words).document
    assert len(document["identities"]) == len(document["errors"]) == 1


@pytest.mark.parametrize("days", ["-1", "soon", "1.5", "", "1d", "nan"])
def test_days_are_a_number_of_days(cli: Cli, store: Path, days: str) -> None:
    result = cli.run("list", "--profile", store, f"--expiring={days}", "--json")
    assert result.status == 2
    assert result.error["code"] == "usage"
    assert "--expiring" in result.error["message"]

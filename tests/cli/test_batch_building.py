"""A building with somebody of every kind, over two nights: everybody is in the report."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from nssbackup.batch.layout import user_of_home
from nssbackup.printable import printable
from tests.builders import building
from tests.builders.building import REPAIRED, RESIDENTS
from tests.builders.homes import backups, everything, opened, report_of
from tests.builders.store import rsa_key
from tests.cli.runner import Cli, names

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="its homes are made of what Linux has"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place that the owner of any home can get to."""
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        yield Path(top)


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {Path(home["home"]).name: home["status"] for home in report["homes"]}


def test_everybody_is_in_the_report_on_both_nights(cli: Cli, folder: Path) -> None:
    assert len(RESIDENTS) >= 40
    homes = building.build(folder)
    certificate = x509.load_der_x509_certificate(building.escrow(folder))
    out = folder / "backups"

    def night(*, second: bool) -> dict[str, Any]:
        before = everything(homes)
        done = cli.run(*building.words_of_the_night(folder, second=second))
        assert done.status == 3
        assert "Traceback" not in done.stderr
        assert everything(homes) == before
        assert names(cli.temporary) == []
        assert len(opened(out, rsa_key(5), certificate)) == len(backups(out))
        report = report_of(out)
        for home in report["homes"]:
            for name in ("report.csv", "report.html"):
                text = (out / name).read_text("utf-8")
                assert (
                    printable(home["user"]).replace("'", "&#39;" if "html" in name else "'") in text
                )
        return report

    first = night(second=False)
    assert statuses(first) == {one.user: one.first for one in RESIDENTS if one.first}
    assert first["totals"]["expiring"] == 2
    kept = set(backups(out))

    building.next_day(homes)
    second = night(second=True)
    assert statuses(second) == {one.user: one.later for one in RESIDENTS if one.later}
    assert kept < set(backups(out))
    made = {item["user"] for item in second["items"] if item["status"] == "backed-up"}
    assert made == REPAIRED | {
        user_of_home(one.user) for one in RESIDENTS if one.first != one.later == "backed-up"
    }
    gone = [home for home in second["homes"] if home["status"] == "gone"]
    assert all(f"`--forget {home['user']}`" in home["notes"][-1] for home in gone)

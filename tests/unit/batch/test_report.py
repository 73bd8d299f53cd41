"""The report: its order, its totals, and that it is the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nssbackup.batch.report import (
    BatchItem,
    BatchReport,
    HomeResult,
    Status,
    home_of,
    in_order,
    item_of,
)
from nssbackup.errors import KeyMissingError
from nssbackup.report import error_fields, rfc3339

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


HOME = HomeResult("h", "/home/jane", "jane", 0, 0, "gone", ("look",))


def item(user: str, status: Status = "backed-up", days: int | None = None) -> BatchItem:
    identity: Mapping[str, object] | None = None
    if days is not None:
        identity = {"not_after": rfc3339(NOON + timedelta(days=days)), "status": "valid"}
    error = error_fields(KeyMissingError("gone", hint="look")) if status == "failed" else None
    return BatchItem(
        status=status,
        host="h",
        user=user,
        identity=identity,
        expiring=days is not None and days < 30,
        error=error,
        warnings=("one", "two"),
    )


def report(*items: BatchItem) -> BatchReport:
    return BatchReport(
        NOON, NOON, "h", Path("/b"), ("/home",), False, 30, in_order(items), ("n",), (HOME,)
    )


def test_first_what_expires_then_the_failures_then_the_rest() -> None:
    document = report(
        item("zoe"),
        item("Bob", "unchanged", days=300),
        item("yves", "failed"),
        item("amy", "planned"),
        item("carl", days=20),
        item("dora", "failed", days=3),
    ).to_json()
    items = document["items"]
    assert isinstance(items, list)
    assert [each["user"] for each in items] == ["dora", "carl", "yves", "amy", "Bob", "zoe"]
    assert document["totals"] == {
        "items": 6,
        "backed-up": 2,
        "unchanged": 1,
        "planned": 1,
        "failed": 2,
        "expired": 0,
        "expiring": 2,
        "homes": {"backed-up": 0, "no-certificate": 0, "expired": 0, "failed": 0, "gone": 1},
    }


def test_the_keys_of_the_document_are_those_of_the_contract() -> None:
    document = json.loads(json.dumps(report(item("a")).to_json()))
    assert set(document) == {
        *("started", "finished", "host", "folder", "roots", "dry_run", "expiring_days"),
        *("totals", "notes", "homes", "items"),
    }
    assert document["started"] == "2026-11-23T12:00:00Z"
    (one,) = document["homes"]
    assert set(one) == {"host", "home", "user", "profiles", "identities", "status", "notes"}
    assert home_of(one) == HOME
    (one,) = document["items"]
    assert set(one) == {
        *("status", "host", "user", "home", "application", "profile", "profile_name"),
        *("identity", "file", "sha256", "bytes", "expiring", "warnings", "error"),
    }


def test_an_item_survives_json() -> None:
    for one in (item("a", days=3), item("zoe\u2028", "failed")):
        assert item_of(json.loads(json.dumps(one.to_json()))) == one

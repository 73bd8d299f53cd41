"""The report: its order, its totals, and that it is the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nssbackup.batch.report import (
    BatchItem,
    BatchReport,
    Items,
    Outcome,
    Status,
    encoded,
    error_document,
    plain,
    rfc3339,
)
from nssbackup.errors import KeyMissingError

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def item(user: str, status: Status = "backed-up", days: int | None = None) -> BatchItem:
    identity: Mapping[str, object] | None = None
    if days is not None:
        identity = {"not_after": rfc3339(NOON + timedelta(days=days)), "status": "valid"}
    error = error_document(KeyMissingError("gone", hint="look")) if status == "failed" else None
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
    one = BatchReport(NOON, NOON, "h", Path("/b"), ("/home",), expiring_days=30, notes=("n",))
    for each in items:
        one.items.add(each)
    return one


def test_what_expires_comes_first_then_the_failures_then_the_rest() -> None:
    document = report(
        item("zoe"),
        item("Bob", "unchanged", days=300),
        item("yves", "failed"),
        item("amy", "planned"),
        item("carl", days=20),
        item("dora", "failed", days=3),
    ).to_json()
    items = document["items"]
    assert isinstance(items, Items)
    assert [each["user"] for each in items] == ["dora", "carl", "yves", "amy", "Bob", "zoe"]
    assert document["totals"] == {
        "items": 6,
        "backed-up": 2,
        "unchanged": 1,
        "planned": 1,
        "failed": 2,
        "expiring": 2,
    }
    assert items[0] == next(iter(items)) == items[:1][0]
    assert items[-1]["user"] == "zoe"
    assert len(items) == 6


def test_the_file_is_the_document() -> None:
    for one in (report(), report(item("zoe\u2028"), item("b", "failed"))):
        document = one.to_json()
        written = b"".join(encoded(document))
        assert written.isascii()
        assert json.loads(written) == json.loads(json.dumps(plain(document)))


def test_more_items_than_are_kept_as_they_are_read_the_same() -> None:
    users = [f"user{number:05}" for number in range(2_500)]
    items = report(*(item(user) for user in reversed(users))).items
    assert [each["user"] for each in items] == users
    assert [json.loads(each)["user"] for each in items.encoded()] == users
    assert [each["user"] for each in items[2_000:]] == users[2_000:]
    assert items[0] == {**items[-1], "user": users[0]}


def test_the_keys_of_the_document_are_those_of_the_contract() -> None:
    document = json.loads(b"".join(encoded(report(item("a")).to_json())))
    assert set(document) == {
        *("started", "finished", "host", "folder", "roots", "dry_run", "expiring_days"),
        *("totals", "notes", "items"),
    }
    assert document["started"] == "2026-11-23T12:00:00Z"
    (one,) = document["items"]
    assert set(one) == {
        *("status", "host", "user", "home", "application", "profile", "profile_name"),
        *("identity", "file", "sha256", "bytes", "expiring", "warnings", "error"),
    }


def test_an_outcome_survives_the_pipe() -> None:
    outcome = Outcome((item("a", days=3), item("b", "failed")), ("note",), 7)
    assert Outcome.of_json(json.loads(json.dumps(outcome.to_json()))) == outcome

"""The reports of hosts: what is taken from them, and what is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nssbackup.batch.rendering import write_reports
from nssbackup.batch.report import BatchItem, BatchReport, in_order, totals_of
from nssbackup.fleet.play import HostError, HostUnreachableError
from nssbackup.fleet.reports import failed_host, read_document

ITEM: dict[str, Any] = {
    "status": "backed-up",
    "host": "something-else",
    "user": "jane",
    "home": "/home/jane",
    "application": "Firefox",
    "profile": "/home/jane/.mozilla/firefox/abcd1234.default",
    "profile_name": "default",
    "identity": {"sha256": "00", "not_after": "2056-05-01T00:00:00Z"},
    "file": "jane/Jane Doe.pfx",
    "sha256": "11",
    "bytes": 5103,
    "expiring": True,
    "warnings": ["beware"],
    "error": None,
}
DOCUMENT: dict[str, Any] = {"roots": ["/home"], "notes": ["a note"], "items": [ITEM]}


def document(folder: Path, contents: object) -> Path:
    path = folder / "report.json"
    path.write_text(json.dumps(contents))
    return path


def test_an_item_is_its_hosts_and_so_is_its_file(tmp_path: Path) -> None:
    found = read_document(document(tmp_path, DOCUMENT), "ada")
    assert (found.roots, found.notes) == (("/home",), ("a note",))
    (item,) = found.items
    assert item.to_json() == {**ITEM, "host": "ada", "file": "ada/jane/Jane Doe.pfx"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("status", "nonsense"),
        ("status", None),
        ("user", None),
        ("user", 7),
        ("home", []),
        ("file", 7),
        ("file", ""),
        ("file", "/etc/passwd"),
        ("file", "C:\\x"),
        ("file", "../berta/jane/Jane Doe.pfx"),
        ("bytes", "many"),
        ("bytes", "5103"),
        ("bytes", -1),
        ("bytes", 2**53),
        ("warnings", 7),
        ("warnings", "text"),
        ("warnings", [7]),
        ("identity", "who"),
        ("error", "what"),
        ("identity", {}),
        ("identity", {"not_after": "never"}),
    ],
)
def test_an_item_that_is_none_makes_the_report_none(
    tmp_path: Path, key: str, value: object
) -> None:
    path = document(tmp_path, {**DOCUMENT, "items": [{**ITEM, key: value}]})
    with pytest.raises(HostError, match="not one of `nssbackup batch`"):
        read_document(path, "ada")


@pytest.mark.parametrize(
    "contents", [None, 7, [], {}, {"items": 7}, {"items": [7]}, {"error": 7}, {"error": {}}]
)
def test_something_else_is_no_report(tmp_path: Path, contents: object) -> None:
    with pytest.raises(HostError, match="not one of `nssbackup batch`"):
        read_document(document(tmp_path, contents), "ada")


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_no_report(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "report.json").write_bytes(data)
    with pytest.raises(HostError, match="not one of `nssbackup batch`"):
        read_document(tmp_path / "report.json", "ada")
    with pytest.raises(HostError, match="can't be read: no such file or directory"):
        read_document(tmp_path / "absent.json", "ada")


@pytest.mark.parametrize("code", ["no-profile", "no-match"])
def test_a_computer_without_a_certificate_is_nothing_unusual(tmp_path: Path, code: str) -> None:
    found = read_document(document(tmp_path, {"error": {"code": code}}), "ada")
    assert (found.roots, found.items) == ((), ())


def test_a_host_without_a_report_is_a_row_of_the_report() -> None:
    row = failed_host("emil", HostUnreachableError("it is away"))
    assert row.to_json()["error"] == {
        "status": 3,
        "code": "host-unreachable",
        "message": "it is away",
        "hint": HostUnreachableError.default_hint,
    }
    assert totals_of((row,))["failed"] == 1


# What a JSON file may hold where another value is expected; as text, as Python writes not all.
NONSENSE = (
    *("null", "true", "7", "-1", "1.5", '""', '"x"', "[]", "[[]]", "{}", '{"not_after": 7}'),
    *("1e999", "-1e999", "NaN", "Infinity", "1" * 400, "1" * 5000, '"\\ud800"', '"\\u0000"'),
    *('"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59-23:59"', '{"bits": 1e999}'),
    *("[" * deep + "]" * deep for deep in (9, 500, 5_000, 100_000)),
)
IDENTITY = {"sha256": "0", "not_after": "2056-05-01T00:00:00Z", "key": {"bits": 1}, "chain": ["x"]}


def nonsense(value: object) -> Iterator[str]:
    """A JSON value with nonsense in the place of each part of it."""
    yield from NONSENSE
    if isinstance(value, dict):
        for key in value:
            others = ", ".join(
                f"{json.dumps(other)}: {json.dumps(value[other])}"
                for other in value
                if other != key
            )
            for part in nonsense(value[key]):
                yield f"{{{others}{', ' if others else ''}{json.dumps(key)}: {part}}}"
    elif isinstance(value, list):
        yield from (f"[{part}]" for one in value for part in nonsense(one))


def test_whatever_a_host_says_the_report_can_be_written(tmp_path: Path) -> None:
    error = {"status": 11, "code": "x", "message": "y", "hint": None}
    item = {**ITEM, "identity": IDENTITY, "error": error}
    items: list[BatchItem] = []
    refused = 0
    roots: list[str] = []
    notes: list[str] = []
    for text in nonsense({**DOCUMENT, "items": [item]}):
        (tmp_path / "one.json").write_text(text)
        try:
            found = read_document(tmp_path / "one.json", "ada")
        except HostError:
            refused += 1
            continue
        roots += found.roots
        notes += found.notes
        items += found.items
    assert refused > 300
    assert len(items) > 150
    now = datetime.now(UTC)
    report = BatchReport(
        now, now, None, tmp_path, tuple(roots), False, 30, in_order(items), tuple(notes), ()
    )
    assert write_reports(report)[1] is None

    def never(constant: str) -> None:
        pytest.fail(f"`{constant}` is no JSON")

    text = (tmp_path / "report.json").read_text()
    assert len(json.loads(text, parse_constant=never)["items"]) == len(items)

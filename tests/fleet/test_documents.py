"""The reports of hosts: what is taken from them, and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nssbackup.batch.report import Items
from nssbackup.fleet.documents import failed_host, read_document
from nssbackup.fleet.errors import HostError, HostUnreachableError
from nssbackup.fleet.report import totals_of

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


def test_an_item_is_the_host_s_and_its_file_is_in_the_host_s_folder(tmp_path: Path) -> None:
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
        ("bytes", "many"),
        ("warnings", 7),
        ("warnings", [7]),
        ("identity", "who"),
        ("error", "what"),
    ],
)
def test_an_item_that_is_none_makes_the_report_none(
    tmp_path: Path, key: str, value: object
) -> None:
    path = document(tmp_path, {**DOCUMENT, "items": [{**ITEM, key: value}]})
    with pytest.raises(HostError, match="missing or is none"):
        read_document(path, "ada")


@pytest.mark.parametrize(
    "contents", [None, 7, [], {}, {"items": 7}, {"items": [7]}, {"error": 7}, {"error": {}}]
)
def test_something_else_is_no_report(tmp_path: Path, contents: object) -> None:
    with pytest.raises(HostError, match="missing or is none"):
        read_document(document(tmp_path, contents), "ada")


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_no_report(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "report.json").write_bytes(data)
    with pytest.raises(HostError, match="missing or is none"):
        read_document(tmp_path / "report.json", "ada")
    with pytest.raises(HostError, match="missing or is none"):
        read_document(tmp_path / "absent.json", "ada")


@pytest.mark.parametrize("name", ["../berta/jane/Jane Doe.pfx", "/etc/passwd", "C:\\x", ""])
def test_no_file_is_named_outside_the_host_s_folder(tmp_path: Path, name: str) -> None:
    path = document(tmp_path, {**DOCUMENT, "items": [{**ITEM, "file": name}]})
    (item,) = read_document(path, "ada").items
    assert item.file is None


def test_a_certificate_without_an_end_does_not_expire(tmp_path: Path) -> None:
    path = document(tmp_path, {**DOCUMENT, "items": [{**ITEM, "identity": {}}]})
    (item,) = read_document(path, "ada").items
    assert not item.expiring
    Items().add(item)


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
    items = Items()
    items.add(row)
    assert items.totals["failed"] == 1
    assert totals_of((row,)) == {**items.totals}

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nssbackup.batch.rendering.spreadsheet import COLUMNS, spreadsheet
from nssbackup.printable import inert
from tests.unit.batch.rendering_documents import (
    HOSTILE,
    Document,
    expiring,
    failed,
    hostile,
    identity,
    item,
    report,
)

FORMULA = "=+-@\t\r\n＝＋－＠"  # noqa: RUF001 - meant


def written(*items: Document) -> bytes:
    return spreadsheet(report(items, Path("/b"))).encode()


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))


def test_a_row_holds_all_there_is_to_know_of_an_item() -> None:
    known = identity(3)
    (row,) = rows(written(item(3, warnings=["one", "two"])))
    assert row == {
        "status": "backed-up",
        "expiring": "no",
        "not_after": known["not_after"],
        "common_name": "Person 3",
        "email": "person3@example.com",
        "host": "ws-1",
        "user": "user3",
        "application": "Firefox",
        "profile_name": "default",
        "file": "user3/Person 3.pfx",
        "error_code": "",
        "error_message": "",
        "error_hint": "",
        "warnings": "one | two",
        "issuer": known["issuer"],
        "subject": known["subject"],
        "nickname": "Person 3",
        "serial": f"0x{known['serial']}",
        "certificate_sha256": known["sha256"],
        "certificate_status": "valid",
        "not_before": "2024-05-01T00:00:00Z",
        "wipo": "yes",
        "key_type": "RSA",
        "key_bits": "2048",
        "chain_complete": "yes",
        "home": "/home/user3",
        "profile": "/home/user3/.mozilla/firefox/x.default",
        "file_sha256": item(3)["sha256"],
        "file_bytes": "5003",
        "error_status": "",
        "home_status": "",
    }


def test_a_failure_has_its_error_and_nothing_of_a_certificate() -> None:
    (row,) = rows(written(failed(1)))
    filled = {name for name, value in row.items() if value}
    assert filled == {
        *("status", "expiring", "host", "user", "application", "profile_name", "home", "profile"),
        *("error_status", "error_code", "error_message", "error_hint"),
    }
    assert row["error_message"] == "the primary password for profile `user1` is wrong"
    assert row["error_status"] == "12"


def test_the_order_is_that_of_the_page() -> None:
    data = written(item(0), failed(1), expiring(2, 20), item(3), expiring(4, 5))
    assert [row["user"] for row in rows(data)] == ["user4", "user2", "user1", "user0", "user3"]


def test_excel_sees_umlauts_and_windows_line_ends() -> None:
    data = written(item(user="Jürgen"), item(1, user='the "second", of two'))
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.count(b"\xef\xbb\xbf") == 1
    lines = data[3:].split(b"\r\n")
    assert lines.pop() == b""
    assert len(lines) == 3
    assert b"\n" not in b"".join(lines)
    assert '"Jürgen"'.encode() in lines[1]
    assert b'"the ""second"", of two"' in lines[2]
    assert all(line.startswith(b'"') and line.endswith(b'"') for line in lines)


def test_without_items_there_are_the_columns() -> None:
    data = written()
    assert rows(data) == []
    assert data.decode("utf-8-sig").split("\r\n")[0].split(",") == [f'"{c}"' for c in COLUMNS]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+49 89 1234", "'+49 89 1234"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", r"'\t=1"),
        ("\rx", r"'\rx"),
        ("\nx", r"'\nx"),
        ("＝1", "'＝1"),  # noqa: RUF001 - meant
        (' "=1', "' \"=1"),
        ("\u00a0 = 1", "'\u00a0 = 1"),  # blanks of every kind, before it and inside
        ('a; \u3000" =1', "a;' \u3000\" =1"),
        ("a;=1", "a;'=1"),  # a new field where the separator is `;`
        ('a;"=1', "a;'\"=1"),
        ("a\t@b", r"a\t@b"),  # no tabulator is left to end a field
        ("a-b=c+d@e", "a-b=c+d@e"),
        ("CN=Jane,O=Doe", "CN=Jane,O=Doe"),
        ("a; b", "a; b"),
        ("'quoted'", "'quoted'"),
        ("", ""),
        ("x\u202e\udc80\x00", r"x\u202e\udc80\x00"),
    ],
)
def test_a_formula_is_made_a_text(text: str, expected: str) -> None:
    assert inert(text) == expected


def test_a_cell_is_not_longer_than_excel_takes() -> None:
    assert len(inert("x" * 1_000_000)) < 32_767
    assert len(inert(";=" * 500_000)) < 65_534


@given(st.text())
def test_no_text_begins_a_formula_or_can_not_be_written(text: str) -> None:
    made = inert(text)
    made.encode()
    assert not made.startswith(tuple(FORMULA))
    assert made.isprintable() or not set(made) & set("\0\t\r\n\x1b\x85\u2028\u202e")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("text", [*HOSTILE, 'x;=1+1;"=2', '";=1', 'x;""=1', '"";"=1'])
def test_no_field_is_a_formula_whatever_the_separator(text: str, separator: str) -> None:
    data = written(*hostile(text)).decode("utf-8-sig")
    csv.field_size_limit(10_000_000)
    for row in csv.reader(io.StringIO(data, newline=""), delimiter=separator):
        for field in row:
            assert not field.lstrip(' "').startswith(tuple(FORMULA))

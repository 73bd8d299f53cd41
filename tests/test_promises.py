"""The promises in tests/README.md: each names a test, and that test exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests import PROJECT

OTHERS = ("pk12util", "Firefox", "firefox_decrypt")


def table() -> list[list[str]]:
    """Return the cells of each row of the table of promises, its head first."""
    text = (PROJECT / "tests/README.md").read_text(encoding="utf-8")
    lines = text[text.index("| promise | held by |") :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]


def missing(cell: str) -> list[str]:
    """Return the tests that a cell names and that do not exist."""
    return [
        f"{file}::{name}"
        for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", cell)
        if not (PROJECT / file).is_file() or name not in functions_of(PROJECT / file)
    ]


def functions_of(path: Path) -> set[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_a_test_that_exists() -> None:
    rows = table()[2:]
    assert len(rows) >= 15
    for promise, held_by, *_ in rows:
        assert re.fullmatch(r"(`tests/[\w/]+\.py::test_\w+`(, )?)+", held_by), promise
        assert missing(held_by) == [], promise


def test_every_promise_is_compared_with_each_other_tool() -> None:
    head, _, *rows = table()
    assert all(name in cell for name, cell in zip(OTHERS, head[2:], strict=True))
    for row in rows:
        assert len(row) == len(head), row[0]
        assert all(row), row[0]


@pytest.mark.parametrize(
    "cell",
    [
        "`tests/test_promises.py::test_that_was_renamed`",
        "`tests/test_that_was_moved.py::test_every_promise_names_a_test_that_exists`",
    ],
)
def test_a_test_that_is_gone_is_noticed(cell: str) -> None:
    assert missing(cell)

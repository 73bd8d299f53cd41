"""Cells: text as it may stand in a table that somebody opens with a spreadsheet."""

from __future__ import annotations

import re

from nssbackup.printable import printable

# OWASP, "CSV Injection": what begins with one of these is a formula; those of full width too.
_FORMULA = "=+\\-@\t\r\n＝＋－＠"  # noqa: RUF001 - meant
_HARMLESS = ("", "/")
_BEGINS_FORMULA = re.compile(rf"[\s\"]*[{_FORMULA}]")
# Where the list separator is `;`, as in most of Europe, a spreadsheet takes our line for one field
# up to the first of them, and what stands behind it for another, in our quotes or not.
_HIDDEN_FORMULA = re.compile(rf"(;)(?=[\s\"]{{0,9}}[{_FORMULA}])")
# Excel takes no more than 32,767 in a cell and puts the rest into the next row.
_LONGEST = 32_000


def inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula: with an apostrophe before what makes it one.

    Control and direction characters become visible, and what is too long for a cell is cut.
    """
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    if ";" in text:
        text = _HIDDEN_FORMULA.sub(r"\1'", text)
    # Nearly every text begins with a letter, a digit or `/`, and there are twenty in a row.
    if not text[:1].isalnum() and text[:1] not in _HARMLESS and _BEGINS_FORMULA.match(text):
        text = f"'{text}"
    return text if text.isprintable() else printable(text)

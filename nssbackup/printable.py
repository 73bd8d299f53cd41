"""Printable text: what others named can't act on a terminal, a page or a spreadsheet."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence

# Control, format (direction among them) and surrogate characters; line and paragraph separators.
_ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Excel takes no more than 32,767 characters in a cell and puts the rest into the next row.
_LONGEST = 32_000
# OWASP, "CSV Injection": a cell that begins with one of these is a formula; also in full width.
_FORMULA = "=+\\-@\t\r\n＝＋－＠"  # noqa: RUF001 - meant
_BEGINS_FORMULA = re.compile(rf"[\s\"]*[{_FORMULA}]")
# If the list separator is `;`, as in most of Europe, a spreadsheet takes what follows one for
# another field, whether it is in quotes or not.
_HIDDEN_FORMULA = re.compile(rf";(?=[\s\"]*[{_FORMULA}])")


def printable(text: str) -> str:
    r"""Text that can't act where it is shown: such characters become `\n`, `\x1b` or `\u202e`.

    What comes out can be encoded as UTF-8, whatever went in.
    """
    if text.isprintable():  # nearly always; it allows none of the above
        return text
    return "".join(
        character
        if unicodedata.category(character) not in _ACTING
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


def inert(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula.

    An apostrophe precedes what would make it one.

    Control and direction characters become visible, and what is too long for a cell is cut.
    """
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    text = _HIDDEN_FORMULA.sub(";'", text)
    if _BEGINS_FORMULA.match(text):
        text = f"'{text}"
    return printable(text)


def as_typed(words: Sequence[str]) -> str:
    """Return words as they are typed on this system."""
    if sys.platform == "win32":
        from subprocess import list2cmdline

        return list2cmdline(words)
    from shlex import join

    return join(words)

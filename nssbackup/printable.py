"""Printable text: what others named can't act on a terminal, a page or a spreadsheet."""

from __future__ import annotations

import unicodedata

# Control, format (direction among them) and surrogate characters; line and paragraph separators.
_ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")


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

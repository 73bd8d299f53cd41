r"""The preferences of a profile: what its `prefs.js` and `user.js` set.

The files look like JavaScript and are none. The grammar is that of
mozilla/gecko-dev:modules/libpref/parser/src/lib.rs: statements
`user_pref("name", true|false|number|"text");` (also `pref` and `sticky_pref`), comments with `#`,
`//` and `/* */`, strings in either quotes with the escapes `\" \' \\ \n \r \xNN \uNNNN`.

Firefox gives up at the first error of a statement and goes on behind it. Here the rest of the line
is passed over, which comes to the same for what Firefox writes: one statement a line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from nssbackup.system.reading import read_text

Preferences = Mapping[str, bool | int | str]

# `user.js` is the user's own and wins: Firefox reads it after `prefs.js` at every start.
FILES = ("prefs.js", "user.js")

# A well-used `prefs.js` has 100 KiB; one with the lists of some add-ons two MiB. Two files of this
# size, made for the purpose, take three seconds.
SIZE_LIMIT = 4 << 20

_SKIPPED = re.compile(r"[\s\0]+|(?:#|//)[^\r\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
# No line ends within a string: Firefox writes them as `\n`, and so an error ends with its line.
_STRING = "|".join(rf"{quote}[^{quote}\\\r\n]*(?:\\.[^{quote}\\\r\n]*)*{quote}" for quote in "\"'")
_STATEMENT = re.compile(
    rf"(?:user_|sticky_)?pref\s*\(\s*({_STRING})\s*,\s*(true|false|[+-]?[0-9]{{1,19}}|{_STRING})"
    r"\s*(?:,\s*(?:sticky|locked)\s*)*\)\s*;"
)
_ESCAPE = re.compile(r"""\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))""")
_LETTERS = {"n": "\n", "r": "\r"}


def read_preferences(folder: Path) -> Preferences:
    """What the files of a profile set; a file that is missing or unreadable sets nothing.

    What they do not set has the application's default, which stands in no profile.
    """
    found: dict[str, bool | int | str] = {}
    for name in FILES:
        found.update(parse_preferences(read_text(folder / name, SIZE_LIMIT)))
    return found


def parse_preferences(text: str) -> Preferences:
    """What the statements of a file set, the last one counting; garbage is passed over."""
    found: dict[str, bool | int | str] = {}
    position = 0
    while position < len(text):
        if skipped := _SKIPPED.match(text, position):
            position = skipped.end()
        elif statement := _STATEMENT.match(text, position):
            name, value = statement.groups()
            found[_unquoted(name)] = _value(value)
            position = statement.end()
        else:
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
    return found


def _value(written: str) -> bool | int | str:
    if written in ("true", "false"):
        return written == "true"
    return _unquoted(written) if written[0] in "\"'" else int(written)


def _unquoted(written: str) -> str:
    return _ESCAPE.sub(_unescaped, written[1:-1])


def _unescaped(escape: re.Match[str]) -> str:
    byte, unit, letter = escape.groups()
    if letter is not None:
        return _LETTERS.get(letter, letter)
    return chr(int(byte or unit, 16))

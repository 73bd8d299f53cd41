r"""The settings of a profile: the preferences of `prefs.js` and `user.js`, and PKCS#11 modules.

Preferences look like JavaScript but aren't. The grammar is that of
mozilla/gecko-dev:modules/libpref/parser/src/lib.rs: statements
`user_pref("name", true|false|number|"text");` (also `pref` and `sticky_pref`), comments with `#`,
`//` and `/* */`, strings in either quotes with the escapes `\" \' \\ \n \r \xNN \uNNNN`. Firefox
skips a statement with an error; here the rest of its line is skipped, which is the same for what
Firefox writes: one statement a line.

`pkcs11.txt` lists the modules that NSS loads beside its own; the private keys of a smart card or
USB token are behind such a module, and in no profile. The format is that of
nss-dev/nss:lib/util/utilmod.c (nssutil_ReadSecmodDB): stanzas of lines `key=value`, ended by an
empty line; `#` in column 0 makes a comment; a value runs to the end of its line, or is in `"` with
`\` as the escape (lib/util/utilpars.c); letter case of a key doesn't count; a line of `NSS=` with
the word "internal" marks NSS's own module. No module is ever loaded here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PureWindowsPath

from nssbackup.system.reading import read_text

Preferences = Mapping[str, bool | int | str]

# Firefox reads the user's own `user.js` after `prefs.js` at every start, so it wins.
_PREFERENCE_FILES = ("prefs.js", "user.js")

# A well-used `prefs.js` has 100 KiB; with the lists of some add-ons 2 MiB. Reading two files of
# this size, made for the purpose, takes three seconds.
PREFERENCES_LIMIT = 4 << 20

_SKIPPED = re.compile(r"[\s\0]+|(?:#|//)[^\r\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
# No line ends within a string (Firefox writes `\n`), so an error ends with its line.
_STRING = "|".join(rf"{quote}[^{quote}\\\r\n]*(?:\\.[^{quote}\\\r\n]*)*{quote}" for quote in "\"'")
_STATEMENT = re.compile(
    rf"(?:user_|sticky_)?pref\s*\(\s*({_STRING})\s*,\s*(true|false|[+-]?[0-9]{{1,19}}|{_STRING})"
    r"\s*(?:,\s*(?:sticky|locked)\s*)*\)\s*;"
)
_ESCAPE = re.compile(r"""\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))""")
_LETTERS = {"n": "\n", "r": "\r"}

# It holds a handful of numbers.
_TIMES_LIMIT = 1 << 16

_MODULES_FILE = "pkcs11.txt"

# A list of three modules has 2 KiB; NSS itself cuts lines at 2 KiB.
MODULES_LIMIT = 1 << 20

# Not smart cards: the CA certificates that come with NSS or p11-kit, NSS's own software token, and
# the two modules by which Firefox shows the certificates of Windows and macOS
# (mozilla/gecko-dev:security/certverifier/NSSCertDBTrustDomain.cpp).
_NO_CARDS = ("nssckbi", "p11-kit-trust", "softokn3", "osclientcerts", "ipcclientcerts")

_QUOTED_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)')


def read_preferences(folder: Path) -> Preferences:
    """Return what the files of a profile set; a missing or unreadable file sets nothing.

    Everything else has the application's default, which is in no profile.
    """
    found: dict[str, bool | int | str] = {}
    for name in _PREFERENCE_FILES:
        found.update(parse_preferences(read_text(folder / name, PREFERENCES_LIMIT)))
    return found


def parse_preferences(text: str) -> Preferences:
    """Return what the statements of a file set; of a repeated name the last one counts."""
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


def last_refresh(folder: Path) -> datetime | None:
    """Return when *Refresh Firefox* made the profile; None if it did not, or if that is unknown.

    `times.json` then has `"reset": <milliseconds since 1970>` (toolkit/modules/ProfileAge.sys.mjs,
    and as Firefox 153 writes it).
    """
    try:
        reset = json.loads(read_text(folder / "times.json", _TIMES_LIMIT))["reset"]
        return datetime.fromtimestamp(reset / 1000, UTC)
    except (ValueError, TypeError, LookupError, OverflowError, OSError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Module:
    """A PKCS#11 module: the name it was added under, and its library, usually a path."""

    name: str
    library: str


def third_party_modules(folder: Path) -> tuple[Module, ...]:
    """Return the modules of a profile that reach smart cards and tokens; () if it lists none."""
    return tuple(
        Module(stanza.get("name", ""), stanza["library"])
        for stanza in _stanzas(read_text(folder / _MODULES_FILE, MODULES_LIMIT))
        if stanza.get("library")
        and "internal" not in stanza.get("nss", "")
        # A Windows path is split at both separators, so this does for all platforms.
        and not any(own in PureWindowsPath(stanza["library"]).name.casefold() for own in _NO_CARDS)
    )


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield each stanza, with keys in lower case; of a repeated key the first value counts."""
    stanza: dict[str, str] = {}
    for line in (*text.replace("\r\n", "\n").split("\n"), ""):
        if line.startswith("#"):
            continue
        if not line:
            if stanza:
                yield stanza
            stanza = {}
            continue
        key, _, value = line.partition("=")
        quoted = _QUOTED_VALUE.match(value)
        plain = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value.strip()
        stanza.setdefault(key.casefold(), plain)

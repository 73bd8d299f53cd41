r"""The INI files of Mozilla applications: bytes to sections.

Hand-written, because no option of `configparser` gives the grammar of Firefox
(mozilla/gecko-dev:xpcom/base/nsINIParser.cpp):

- UTF-8, with or without a byte order mark, or UTF-16LE with one; a NUL ends the file;
- lines end with any run of `\r` and `\n`; `#` or `;` in column 0 makes a comment; blanks and tabs
  before anything else are skipped;
- `[name]` opens a section, and a missing `]` is forgiven; if more follows the `]`, the lines up to
  the next section are ignored;
- a key runs to the first `=`, the rest of the line is its value, neither is trimmed, and letter
  case counts;
- a repeated section continues the first one; of a repeated key the last value counts;
- everything else is ignored, so there are no syntax errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nssbackup.system.reading import read_bounded

Sections = Mapping[str, Mapping[str, str]]

# A list of a thousand profiles has 100 KiB.
SIZE_LIMIT = 1 << 20

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16LE_MARK = b"\xff\xfe"
_BLANKS = b" \t"


def read_ini(path: Path) -> Sections:
    """Return the sections of the file at `path`; a symbolic link is followed.

    Raises:
        OSError: the file can't be read, is not a regular file, or is larger than `SIZE_LIMIT`.
    """
    return parse_ini(read_bounded(path, SIZE_LIMIT))


def parse_ini(data: bytes) -> Sections:
    """Return the sections in `data`, each a mapping of its keys to their values.

    Bytes that are not UTF-8 become lone surrogates ("surrogateescape"), so that encoding a value
    the same way gives the original bytes. A section without keys is left out, as in Firefox.
    """
    sections: dict[str, dict[str, str]] = {}
    section: str | None = None
    for line in _lines(data):
        if line.startswith(b"["):
            section = _section_name(line)
        elif section is not None:
            key, equals, value = line.partition(b"=")
            if equals and key:
                sections.setdefault(section, {})[_text(key)] = _text(value)
    return sections


def _lines(data: bytes) -> list[bytes]:
    """Return the lines without comments and leading blanks."""
    text = _utf8(data).partition(b"\0")[0]
    lines = text.replace(b"\r", b"\n").split(b"\n")
    # Only in column 0: after a blank, `#` begins a key.
    return [line.lstrip(_BLANKS) for line in lines if not line.startswith((b"#", b";"))]


def _section_name(line: bytes) -> str | None:
    """Return the name in a section's line, or None if the line is malformed."""
    name, _, rest = line[1:].partition(b"]")
    if not name or rest.strip(_BLANKS):
        return None
    return _text(name)


def _utf8(data: bytes) -> bytes:
    """Return the contents of a file as UTF-8 without a byte order mark."""
    if data.startswith(_UTF8_MARK):
        return data[len(_UTF8_MARK) :]
    if data.startswith(_UTF16LE_MARK):
        whole = len(data) & ~1  # half a character at the end is dropped
        return data[len(_UTF16LE_MARK) : whole].decode("utf-16-le", "replace").encode()
    return data


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")

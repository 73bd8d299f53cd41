"""Passwords that differ from user to user, read from a CSV file.

A row says whose password it is by `host`, `user`, `profile` or `fingerprint`, any of them or all;
an empty cell fits everybody. If several rows fit, the most specific one counts.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nssbackup.errors import UsageError, reason
from nssbackup.secret import Secret

_PASSWORD = "password"  # noqa: S105 - the name of a column
_COLUMNS = ("host", "user", "profile", "fingerprint", _PASSWORD)
_SEPARATORS = ",;\t"
# Ten thousand people need 1 MB. Python needs half a kilobyte for a row.
_MAX_BYTES = 8 * 1024 * 1024
_MAX_ROWS = 100_000
_FINGERPRINT = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose password is looked up; `profiles` are the names that the profile goes by."""

    user: str
    profiles: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    host: str = ""


@dataclass(frozen=True, slots=True)
class PasswordTable:
    """Rows of conditions, each with a password; the most specific rows come first."""

    rows: tuple[tuple[Mapping[str, str], Secret], ...] = field(repr=False)

    @classmethod
    def read(cls, path: Path, option: str) -> PasswordTable:
        """Read the table in a file.

        Args:
            path: the file: comma, semicolon or tab; UTF-8, or UTF-16 with a byte order mark.
            option: the option that named it, for messages.

        Raises:
            UsageError: it can't be read, or a line is wrong. The message names the line and shows
                nothing of it.
        """
        what = f"the file of `{option}`"
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            message = f"{what} can't be read: {reason(error)}"
            raise UsageError(message) from error
        if len(data) > _MAX_BYTES:
            message = f"{what} is too large for a table of passwords"
            raise UsageError(message)
        return cls.of_rows(_rows(_decoded(data, what), what))

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[Mapping[str, str], Secret]]) -> PasswordTable:
        """Return the table of rows in any order."""
        return cls(tuple(sorted(rows, key=lambda row: _rank(row[0]))))

    def password_of(self, owner: Owner) -> Secret | None:
        """Return the password in the most specific row that fits; None if none fits."""
        return next((secret for row, secret in self.rows if _fits(row, owner)), None)

    @property
    def names_hosts(self) -> bool:
        """Return whether every row is for one host."""
        return all(row.get("host") for row, _ in self.rows)

    def csv_for(self, host: str) -> bytes:
        """Return the rows that fit a host, as CSV; no other host's password is among them."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(_COLUMNS)
        for row, secret in self.rows:
            if _is_for(row, host):
                cells = [row.get(name, "") for name in _COLUMNS[:-1]]
                writer.writerow([*cells, secret.reveal()])
        return text.getvalue().encode()


def _decoded(data: bytes, what: str) -> str:
    encoding = "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"line {line} of {what} is not {encoding.removesuffix('-sig').upper()}"
        # Without its cause, which holds the bytes.
        raise UsageError(message, hint="save the table as CSV in UTF-8") from None


def _rank(row: Mapping[str, str]) -> tuple[bool, ...]:
    """Order the most specific row first: a certificate is one person's, a profile name isn't."""
    profile = row.get("profile", "")
    is_path = "/" in profile or "\\" in profile
    user, host = row.get("user"), row.get("host")
    return not row.get("fingerprint"), not is_path, not user, not profile, not host


def _is_for(row: Mapping[str, str], host: str) -> bool:
    wanted = row.get("host", "")
    return not wanted or wanted.casefold() == host.casefold()


def _fits(row: Mapping[str, str], owner: Owner) -> bool:
    user, profile, digits = (row.get(key, "") for key in ("user", "profile", "fingerprint"))
    return (
        _is_for(row, owner.host)
        and (not user or user.casefold() == owner.user.casefold())
        and (not profile or profile in owner.profiles)
        and (not digits or any(one.startswith(digits) for one in owner.fingerprints))
    )


def _rows(text: str, what: str) -> Iterator[tuple[dict[str, str], Secret]]:
    # Excel writes the list separator of the country.
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    lines = _lines(reader, what)
    header = next(lines, (1, ()))[1]
    columns = [name.strip().casefold() for name in header]
    if (
        not set(columns) <= set(_COLUMNS)
        or len(set(columns)) != len(columns)
        or _PASSWORD not in columns
        or len(columns) == 1
    ):
        # Nothing of the line is shown: without a header it holds somebody's password.
        message = f"line 1 of {what} doesn't name its columns"
        hint = f"the first line names `{_PASSWORD}` and one or more of {', '.join(_COLUMNS[:-1])}"
        raise UsageError(message, hint=hint)
    seen: set[tuple[str, ...]] = set()
    for line, cells in lines:
        if len(cells) != len(columns):
            message = f"line {line} of {what} has {len(cells)} cells instead of {len(columns)}"
            hint = "put a cell with a separator in it into quotation marks"
            raise UsageError(message, hint=hint)
        row = dict(zip(columns, cells, strict=True))
        password = row.pop(_PASSWORD)
        row = {name: cell.strip() for name, cell in row.items() if cell.strip()}
        flaw = _flaw(row, password, seen)
        if flaw:
            message = f"line {line} of {what} {flaw}"
            raise UsageError(message)
        if len(seen) > _MAX_ROWS:
            message = f"{what} has more than {_MAX_ROWS:,} lines"
            raise UsageError(message)
        yield row, Secret(password)


def _flaw(row: dict[str, str], password: str, seen: set[tuple[str, ...]]) -> str | None:
    """Return what is wrong with a row; bring its fingerprint into the form of a certificate's."""
    if not password:
        return "has no password"
    if not row:
        return "doesn't say whose password it is"
    if "fingerprint" in row:
        digits = row["fingerprint"].replace(":", "").replace(" ", "").casefold()
        if not _FINGERPRINT.fullmatch(digits):
            return "has an invalid fingerprint: 8 or more hexadecimal digits are needed"
        row["fingerprint"] = digits
    user, host = row.get("user", "").casefold(), row.get("host", "").casefold()
    key = (row.get("fingerprint", ""), row.get("profile", ""), user, host)
    if key in seen:
        return "repeats the host, user, profile and fingerprint of an earlier line"
    seen.add(key)
    return None


def _lines(reader: Iterator[Sequence[str]], what: str) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield each line that isn't empty, with the number of the line that it ends on."""
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            number = getattr(reader, "line_num", 0)
            # Without its cause, which may quote the line.
            message = f"line {number} of {what} is not valid CSV"
            raise UsageError(message) from None
        if any(cell.strip() for cell in cells):
            yield getattr(reader, "line_num", 0), cells

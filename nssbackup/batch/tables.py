"""Tables: passwords that differ from user to user, from a CSV file.

A row says whose password it is by `user`, `profile` or `fingerprint`, any of them or all; an empty
cell fits everybody. Of several rows that fit, the one that says most counts.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nssbackup.errors import UsageError, reason
from nssbackup.secret import Secret

_PASSWORD = "password"  # noqa: S105 - the name of a column
_COLUMNS = ("user", "profile", "fingerprint", _PASSWORD)
# A building of ten thousand people needs 1 MB. What Python makes of a row takes half a kilobyte.
_MAX_BYTES = 8 * 1024 * 1024
_MAX_ROWS = 100_000
_FINGERPRINT = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose password is looked for; `profiles` are the names that the profile goes by."""

    user: str
    profiles: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PasswordTable:
    """The rows of such a file: what each fits, and the password; the ones that say most first."""

    rows: tuple[tuple[Mapping[str, str], Secret], ...] = field(repr=False)

    @classmethod
    def read(cls, path: Path, option: str) -> PasswordTable:
        """The table in a file that an option named.

        Raises:
            UsageError: it can't be read, or a line is not as it should be; the message names the
                line and nothing of what stands in it.
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
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            message = f"line {line} of {what} is not UTF-8"
            # Without its cause: that one holds the bytes.
            raise UsageError(message, hint="save the table as CSV in UTF-8") from None
        return cls.of_rows(_rows(text, what))

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[Mapping[str, str], Secret]]) -> PasswordTable:
        """The table of rows in any order."""
        return cls(tuple(sorted(rows, key=lambda row: _rank(row[0]))))

    def password_of(self, owner: Owner) -> Secret | None:
        """Whose password it is, by the row that says most; None where none fits."""
        return next((secret for row, secret in self.rows if _fits(row, owner)), None)


def _rank(row: Mapping[str, str]) -> tuple[bool, ...]:
    """The row that says most first: a certificate is one person's, a profile's name everybody's."""
    profile = row.get("profile", "")
    is_path = "/" in profile or "\\" in profile
    return not row.get("fingerprint"), not is_path, not row.get("user"), not profile


def _fits(row: Mapping[str, str], owner: Owner) -> bool:
    user, profile, digits = (row.get(key, "") for key in ("user", "profile", "fingerprint"))
    return (
        (not user or user.casefold() == owner.user.casefold())
        and (not profile or profile in owner.profiles)
        and (not digits or any(one.startswith(digits) for one in owner.fingerprints))
    )


def _rows(text: str, what: str) -> Iterator[tuple[dict[str, str], Secret]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines = _lines(reader, what)
    header = next(lines, (1, ()))[1]
    columns = [name.strip().casefold() for name in header]
    if (
        not set(columns) <= set(_COLUMNS)
        or len(set(columns)) != len(columns)
        or _PASSWORD not in columns
        or len(columns) == 1
    ):
        # Nothing of it is shown: without a header this is somebody's password.
        message = f"line 1 of {what} is not the names of its columns"
        hint = f"the columns are {', '.join(_COLUMNS)}, separated by commas; `password` and one"
        raise UsageError(message, hint=f"{hint} more are needed")
    seen: set[tuple[str, ...]] = set()
    for line, cells in lines:
        if len(cells) != len(columns):
            message = f"line {line} of {what} has {len(cells)} cells instead of {len(columns)}"
            raise UsageError(message, hint="put a cell with a comma in it into quotation marks")
        row = dict(zip(columns, cells, strict=True))
        password = row.pop(_PASSWORD)
        row = {name: cell.strip() for name, cell in row.items() if cell.strip()}
        complaint = _complaint(row, password, seen)
        if complaint:
            message = f"line {line} of {what} {complaint}"
            raise UsageError(message)
        if len(seen) > _MAX_ROWS:
            message = f"{what} has more than {_MAX_ROWS:,} lines"
            raise UsageError(message)
        yield row, Secret(password)


def _complaint(row: dict[str, str], password: str, seen: set[tuple[str, ...]]) -> str | None:
    """What is wrong with a row; its fingerprint is put into the form of those it is compared to."""
    if not password:
        return "has no password"
    if not row:
        return "does not say whose password it is"
    if "fingerprint" in row:
        digits = row["fingerprint"].replace(":", "").replace(" ", "").casefold()
        if not _FINGERPRINT.fullmatch(digits):
            return "has a fingerprint that is none: 8 hexadecimal digits or more"
        row["fingerprint"] = digits
    key = (row.get("fingerprint", ""), row.get("profile", ""), row.get("user", "").casefold())
    if key in seen:
        return "is for the same as a line before"
    seen.add(key)
    return None


def _lines(reader: Iterator[Sequence[str]], what: str) -> Iterator[tuple[int, Sequence[str]]]:
    """Each line that isn't empty, behind the number that it ends on."""
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            number = getattr(reader, "line_num", 0)
            # Without its cause, whose words may be of the line.
            message = f"line {number} of {what} is not CSV"
            raise UsageError(message) from None
        if any(cell.strip() for cell in cells):
            yield getattr(reader, "line_num", 0), cells

"""The report as CSV: for Excel and its like, which must neither calculate nor call what is in it.

RFC 4180: comma, every field in quotes, CRLF. UTF-8 with a byte order mark, without which Excel
takes it for the code page of the machine.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from io import StringIO

from nssbackup.batch.rendering.items import Certificate, Item
from nssbackup.batch.rendering.survey import Survey
from nssbackup.printable import printable

COLUMNS = (
    "status",
    "expiring",
    "not_after",
    "common_name",
    "email",
    "host",
    "user",
    "application",
    "profile_name",
    "file",
    "error_code",
    "error_message",
    "error_hint",
    "warnings",
    "issuer",
    "subject",
    "nickname",
    "serial",
    "certificate_sha256",
    "certificate_status",
    "not_before",
    "wipo",
    "key_type",
    "key_bits",
    "chain_complete",
    "home",
    "profile",
    "file_sha256",
    "file_bytes",
    "error_status",
)
"""What somebody looks for first stands first; columns are only ever added, at the end."""

# OWASP, "CSV Injection": what begins with one of these is a formula; those of full width too.
_FORMULA = "=+\\-@\t\r\n＝＋－＠"  # noqa: RUF001 - meant
_BEGINS_FORMULA = re.compile(rf"[\s\"]*[{_FORMULA}]")
# Where the list separator is `;`, as in most of Europe, a spreadsheet takes our line for one field
# up to the first of them, and what stands behind it for another, in our quotes or not.
_HIDDEN_FORMULA = re.compile(rf"(;)(?=[\s\"]{{0,9}}[{_FORMULA}])")
# Excel takes no more than 32,767 in a cell and puts the rest into the next row.
_LONGEST = 32_000
_BYTE_ORDER_MARK = "\ufeff"
_NO_CERTIFICATE = Certificate.read({})


def spreadsheet(survey: Survey) -> Iterator[str]:
    """The text of the file, row by row."""
    line = StringIO(newline="")
    writer = csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    line.write(_BYTE_ORDER_MARK)
    writer.writerow(COLUMNS)
    for item in survey.items(survey.order):
        yield line.getvalue()
        line.seek(0)
        line.truncate()
        writer.writerow(_row(item))
    yield line.getvalue()


def inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula: with an apostrophe before what makes it one.

    Control and direction characters become visible, and what is too long for a cell is cut.
    """
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    if ";" in text:
        text = _HIDDEN_FORMULA.sub(r"\1'", text)
    # Nearly every text begins with a letter or digit, and there are twenty in a row.
    begins = not text[:1].isalnum() and _BEGINS_FORMULA.match(text)
    return printable(f"'{text}" if begins else text)


def _row(item: Item) -> list[str | int | None]:
    """An item's fields, in the order of the columns."""
    certificate = item.certificate or _NO_CERTIFICATE
    problem = item.problem
    known = item.certificate is not None
    texts: dict[str, str] = {
        "status": item.status,
        "not_after": certificate.not_after,
        "common_name": certificate.common_name,
        "email": certificate.email,
        "host": item.host,
        "user": item.user,
        "application": item.application,
        "profile_name": item.profile_name,
        "file": item.file,
        "error_code": problem.code if problem else "",
        "error_message": problem.message if problem else "",
        "error_hint": problem.hint if problem else "",
        "warnings": " | ".join(item.warnings),
        "issuer": certificate.issuer,
        "subject": certificate.subject,
        "nickname": certificate.nickname,
        # Bare digits would become a number, of which a spreadsheet keeps the first fifteen.
        "serial": f"0x{certificate.serial}" if certificate.serial else "",
        "certificate_sha256": certificate.sha256,
        "certificate_status": certificate.status,
        "not_before": certificate.not_before,
        "key_type": certificate.key_type,
        "home": item.home,
        "profile": item.profile,
        "file_sha256": item.sha256,
    }
    # Ours, not anybody's text.
    others: dict[str, str | int | None] = {
        "expiring": _word(item.expiring),
        "wipo": _word(certificate.wipo) if known else None,
        "key_bits": certificate.key_bits,
        "chain_complete": _word(certificate.chain_complete) if known else None,
        "file_bytes": item.size,
        "error_status": problem.status if problem else None,
    }
    return [inert(texts[name]) if name in texts else others[name] for name in COLUMNS]


def _word(flag: bool) -> str:
    return "yes" if flag else "no"

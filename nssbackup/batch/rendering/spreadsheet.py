"""The report as CSV: for Excel and its like, which must neither calculate nor call what is in it.

RFC 4180: comma, every field in quotes, CRLF. UTF-8 with a byte order mark, without which Excel
takes it for the code page of the machine.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO

from nssbackup.batch.cells import inert
from nssbackup.batch.rendering.items import Certificate, Item
from nssbackup.batch.rendering.survey import Survey

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


def _row(item: Item) -> list[str | int | None]:
    """An item's fields, in the order of the columns."""
    certificate = item.certificate or _NO_CERTIFICATE
    problem = item.problem
    known = item.certificate is not None
    return [
        inert(item.status),
        _word(item.expiring),
        inert(certificate.not_after),
        inert(certificate.common_name),
        inert(certificate.email),
        inert(item.host),
        inert(item.user),
        inert(item.application),
        inert(item.profile_name),
        inert(item.file),
        inert(problem.code) if problem else None,
        inert(problem.message) if problem else None,
        inert(problem.hint) if problem else None,
        inert(" | ".join(item.warnings)),
        inert(certificate.issuer),
        inert(certificate.subject),
        inert(certificate.nickname),
        # Bare digits would become a number, of which a spreadsheet keeps the first fifteen.
        inert(f"0x{certificate.serial}") if certificate.serial else None,
        inert(certificate.sha256),
        inert(certificate.status),
        inert(certificate.not_before),
        _word(certificate.wipo) if known else None,
        inert(certificate.key_type),
        certificate.key_bits,
        _word(certificate.chain_complete) if known else None,
        inert(item.home),
        inert(item.profile),
        inert(item.sha256),
        item.size,
        problem.status if problem else None,
    ]


def _word(flag: bool) -> str:
    return "yes" if flag else "no"

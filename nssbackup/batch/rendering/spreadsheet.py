"""The report as CSV, for Excel and similar programs, which must not calculate or run any of it.

RFC 4180: comma, every field in quotes, CRLF. UTF-8 with a byte order mark, without which Excel
assumes the code page of the machine.
"""

from __future__ import annotations

import csv
from io import StringIO

from nssbackup.batch.report import BatchItem, BatchReport, HomeResult
from nssbackup.printable import inert

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
    "home_status",
)
"""What people look for first comes first; columns are only ever added, at the end."""

_BYTE_ORDER_MARK = "\ufeff"
_FROM_ITEM = frozenset({"status", "host", "user", "application", "profile_name", "file"})
_FROM_ITEM |= {"home", "profile"}


def spreadsheet(report: BatchReport) -> str:
    """Return the text of the file: a row for each item, and for each home without one."""
    text = StringIO(newline="")
    text.write(_BYTE_ORDER_MARK)
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    homes = {(home.host, home.home): home for home in report.homes}
    rows = []
    with_items = set()
    for item in report.items:
        key = item.host, item.home or item.profile or ""
        with_items.add(key)
        rows.append({**_fields(item), "home_status": homes[key].status if key in homes else None})
    without = [home for key, home in homes.items() if key not in with_items]
    # Those that are gone come first: nobody should miss them.
    rows[:0] = [_home_fields(home) for home in without if home.status == "gone"]
    rows += [_home_fields(home) for home in without if home.status != "gone"]
    for fields in rows:
        writer.writerow([_cell(fields.get(column)) for column in COLUMNS])
    return text.getvalue()


def _home_fields(home: HomeResult) -> dict[str, object]:
    return {
        "status": home.status,
        "host": home.host,
        "user": home.user,
        "home": home.home,
        "warnings": " | ".join(home.notes),
        "home_status": home.status,
    }


def _fields(item: BatchItem) -> dict[str, object]:
    """Return the fields of an item, named as the columns."""
    document = item.to_json()
    fields: dict[str, object] = {name: document[name] for name in _FROM_ITEM}
    fields["expiring"] = item.expiring
    fields["warnings"] = " | ".join(item.warnings)
    fields["file_sha256"], fields["file_bytes"] = item.sha256, item.size
    error = item.error or {}
    fields.update({f"error_{name}": error.get(name) for name in error})
    identity = item.identity
    if identity is not None:
        key = identity.get("key")
        fields.update({name: identity.get(name) for name in COLUMNS if name not in fields})
        # Bare digits would become a number, of which a spreadsheet keeps the first fifteen.
        fields["serial"] = f"0x{identity['serial']}" if identity.get("serial") else None
        fields["certificate_sha256"] = identity.get("sha256")
        fields["certificate_status"] = identity.get("status")
        fields["key_type"] = key.get("type") if isinstance(key, dict) else None
        fields["key_bits"] = key.get("bits") if isinstance(key, dict) else None
    return fields


def _cell(value: object) -> str | int | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if value is None or isinstance(value, int) else inert(str(value))

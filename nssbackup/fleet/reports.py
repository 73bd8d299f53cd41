"""The report of one host, which is not trusted.

What a host's report says is put into the report of all and shown there. So it is checked once,
here, before anything else sees it: an invalid one is that host's failure and no other's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from nssbackup.batch.report import BatchItem, HomeResult, home_of, item_of, texts
from nssbackup.errors import NoProfileError, NssBackupError, reason
from nssbackup.fleet.play import HostError
from nssbackup.identity.choosing import NoMatchError
from nssbackup.report import error_fields
from nssbackup.system.reading import read_bounded

# What a batch prints instead of a report if there is nothing to report. Among many computers, one
# without a certificate is nothing unusual.
_NOTHING = frozenset({NoProfileError.code, NoMatchError.code})
# More than the certificates of any host need. A value takes up to a hundred bytes of memory.
MAX_BYTES = 32 * 1024 * 1024
_MAX_VALUES = 1_000_000
# A host may have a file system that allows no more.
_MAX_PART = 255


@dataclass(frozen=True, slots=True)
class HostDocument:
    """A host's report: its roots, notes and items; `host` and `file` of an item are the host's."""

    roots: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    items: tuple[BatchItem, ...] = ()
    homes: tuple[HomeResult, ...] = ()


def read_document(path: Path, host: str) -> HostDocument:
    """Read the report of a host.

    Args:
        path: the file.
        host: the host's name in the inventory, which is also the name of its folder.

    Raises:
        HostError: the file is missing, too large, or not a report.
    """
    try:
        data = read_bounded(path, MAX_BYTES)
    except OSError as error:
        message = f"its report can't be read: {reason(error)}"
        raise HostError(message) from error
    return parse_document(data, host)


def parse_document(data: bytes, host: str) -> HostDocument:
    """Check the report of a host and return it.

    Raises:
        HostError: it is too large or not a report.
    """
    if len(data) > MAX_BYTES or sum(map(data.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        message = "its report is too large"
        raise HostError(message)
    try:
        document = json.loads(data)
        if "error" in document and document["error"]["code"] in _NOTHING:
            return HostDocument()
        return HostDocument(
            roots=texts(document["roots"]),
            notes=texts(document["notes"]),
            items=tuple(_item(item, host) for item in document["items"]),
            homes=tuple(replace(home_of(home), host=host) for home in document.get("homes", ())),
        )
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        message = "its report is not one of `nssbackup batch`"
        raise HostError(message) from error


def failed_host(host: str, error: NssBackupError) -> BatchItem:
    """Return the row of a host without a report: readers of the list must not miss it."""
    return BatchItem("failed", host, "", error=error_fields(error))


def is_inside(name: str) -> bool:
    """Return whether a name is a plain relative path on every system."""
    parts = name.split("/")
    return (
        name.isprintable()
        and not set(name) & set('\\:*?"<>|')
        and all(part not in ("", ".", "..") and len(part.encode()) <= _MAX_PART for part in parts)
    )


def _item(document: object, host: str) -> BatchItem:
    item = item_of(document)
    if item.file is None:
        return replace(item, host=host)
    if not is_inside(item.file):
        raise ValueError
    return replace(item, host=host, file=f"{host}/{item.file}")

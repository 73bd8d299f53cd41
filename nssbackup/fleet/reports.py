"""Reports: the report of one host, which is not trusted, and the report of all hosts.

What a host's report says is put into the report of all and shown there. So it is checked once,
here, before anything else sees it: an invalid one is that host's failure and no other's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from nssbackup.batch.report import STATUSES, BatchItem, Items, Status, rfc3339
from nssbackup.errors import NoProfileError, NssBackupError, reason
from nssbackup.fleet.play import HostError
from nssbackup.identity.choosing import NoMatchError
from nssbackup.report import Json, error_json
from nssbackup.system.reading import read_bounded

# What a batch prints instead of a report if there is nothing to report. Among many computers, one
# without a certificate is nothing unusual.
_NOTHING = frozenset({NoProfileError.code, NoMatchError.code})
# More than the certificates of any host need. A value takes up to a hundred bytes of memory.
_MAX_BYTES = 32 * 1024 * 1024
_MAX_VALUES = 1_000_000
# Larger numbers differ between programs (RFC 8259, section 6).
_MAX_NUMBER = 2**53 - 1
# An identity or an error needs two levels.
_MAX_DEPTH = 8
# A host may have a file system that allows no more.
_MAX_PART = 255


@dataclass(frozen=True, slots=True)
class HostDocument:
    """A host's report: its roots, notes and items; `host` and `file` of an item are the host's."""

    roots: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    items: tuple[BatchItem, ...] = ()


@dataclass(frozen=True, slots=True)
class HostResult:
    """The result of a host.

    Attributes:
        host: its name in the inventory.
        reached: whether it could be reached, from beginning to end.
        error: why it has no report; None if it has one.
        totals: of its items.
    """

    host: str
    reached: bool
    error: str | None
    totals: Mapping[str, int]

    def to_json(self) -> Json:
        """Return the host's entry in the document."""
        return {
            "host": self.host,
            "reached": self.reached,
            "error": self.error,
            "totals": dict(self.totals),
        }


@dataclass(frozen=True, slots=True)
class FleetReport:
    """What was done on all hosts."""

    started: datetime
    finished: datetime
    folder: Path
    roots: tuple[str, ...]
    dry_run: bool
    expiring_days: int | None
    hosts: tuple[HostResult, ...]
    notes: tuple[str, ...] = ()
    items: Items = field(default_factory=Items)

    @property
    def failed(self) -> int:
        """Return how many items failed; a host without a report is one."""
        return self.items.totals["failed"]

    def to_json(self) -> Json:
        """Return the document of a batch, of no single host, with the hosts."""
        return {
            "started": rfc3339(self.started),
            "finished": rfc3339(self.finished),
            "host": None,
            "folder": str(self.folder),
            "roots": list(self.roots),
            "dry_run": self.dry_run,
            "expiring_days": self.expiring_days,
            "totals": dict(self.items.totals),
            "notes": list(self.notes),
            "hosts": [host.to_json() for host in self.hosts],
            "items": self.items,
        }


def totals_of(items: tuple[BatchItem, ...]) -> Mapping[str, int]:
    """Return how many items there are, of each status, and how many that expire."""
    found = Counter(item.status for item in items)
    return {
        "items": len(items),
        **{status: found[status] for status in STATUSES},
        "expiring": sum(item.expiring for item in items),
    }


def read_document(path: Path, host: str) -> HostDocument:
    """Read the report of a host.

    Args:
        path: the file.
        host: the host's name in the inventory, which is also the name of its folder.

    Raises:
        HostError: the file is missing, too large, or not a report.
    """
    try:
        data = read_bounded(path, _MAX_BYTES)
    except OSError as error:
        message = f"its report can't be read: {reason(error)}"
        raise HostError(message) from error
    return parse_document(data, host)


def parse_document(data: bytes, host: str) -> HostDocument:
    """Check the report of a host and return it.

    Raises:
        HostError: it is too large or not a report.
    """
    if len(data) > _MAX_BYTES or sum(map(data.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        message = "its report is too large"
        raise HostError(message)
    try:
        document = json.loads(data)
        if "error" in document and document["error"]["code"] in _NOTHING:
            return HostDocument()
        return HostDocument(
            roots=_texts(document["roots"]),
            notes=_texts(document["notes"]),
            items=tuple(_item(item, host) for item in document["items"]),
        )
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        message = "its report is not one of `nssbackup batch`"
        raise HostError(message) from error


def failed_host(host: str, error: NssBackupError) -> BatchItem:
    """Return the row of a host without a report: readers of the list must not miss it."""
    return BatchItem("failed", host, "", error=_mapping(error_json(error)["error"]))


def is_inside(name: str) -> bool:
    """Return whether a name is a plain relative path on every system."""
    parts = name.split("/")
    return (
        name.isprintable()
        and not set(name) & set('\\:*?"<>|')
        and all(part not in ("", ".", "..") and len(part.encode()) <= _MAX_PART for part in parts)
    )


def _item(item: Any, host: str) -> BatchItem:  # noqa: ANN401 - JSON of unknown make
    """Return an item; raise TypeError, ValueError or LookupError unless it is valid."""
    (status,) = (one for one in get_args(Status) if one == item["status"])
    name = _optional(item["file"])
    if name is not None and not is_inside(name):
        raise ValueError
    identity = item["identity"]
    return BatchItem(
        status=status,
        host=host,
        user=_text(item["user"]),
        home=_optional(item["home"]),
        application=_optional(item["application"]),
        profile=_optional(item["profile"]),
        profile_name=_optional(item["profile_name"]),
        identity=None if identity is None else _mapping(identity),
        file=None if name is None else f"{host}/{name}",
        sha256=_optional(item["sha256"]),
        size=_size(item["bytes"]),
        # The list is ordered by the end.
        expiring=item["expiring"] is True and identity is not None and "not_after" in identity,
        warnings=_texts(item["warnings"]),
        error=None if item["error"] is None else _mapping(item["error"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_text(one) for one in value)


def _size(value: object) -> int | None:
    if value is not None and (type(value) is not int or not 0 <= value <= _MAX_NUMBER):
        raise TypeError
    return value


def _mapping(value: object) -> Json:
    if not isinstance(value, dict) or not _is_plain(value, _MAX_DEPTH):
        raise TypeError
    return value


def _is_plain(value: object, depth: int) -> bool:
    """Return whether all of it can be written again: no infinite number, no endless depth."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(one, depth - 1) for one in inner)
    # Python's JSON reads NaN as well, which compares to no number.
    return not isinstance(value, int | float) or abs(value) <= _MAX_NUMBER

"""Documents: the report of one host, read with as little trust as any file of another computer.

What is taken from it can be put into the report of all hosts and shown there: one host's nonsense
is that host's failure, and never the others'.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from nssbackup.batch.report import BatchItem, Status
from nssbackup.errors import NoProfileError, NssBackupError
from nssbackup.fleet.contents import is_inside
from nssbackup.fleet.errors import HostError
from nssbackup.identity.choosing import NoMatchError
from nssbackup.report import Json, error_json

_STATUSES: tuple[Status, ...] = get_args(Status)
# What a batch prints, in the place of a report, where there is nothing to report on. A computer
# without a certificate is nothing unusual among many.
_NOTHING = frozenset({NoProfileError.code, NoMatchError.code})
# Of a host with more certificates than any has. A value takes up to a hundred bytes of memory.
_MAX_BYTES = 32 * 1024 * 1024
_MAX_VALUES = 1_000_000
# Beyond that JSON's numbers are not the same in every program (RFC 8259, section 6).
_MAX_NUMBER = 2**53 - 1
# Of an identity or an error, which need two.
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class HostDocument:
    """What a host's report says, with the host's name as the inventory has it."""

    roots: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    items: tuple[BatchItem, ...] = ()


def read_document(path: Path, host: str) -> HostDocument:
    """Read the report of a host.

    Args:
        path: of the file.
        host: its name in the inventory; the folder of its files is called so.

    Raises:
        HostError: it is not there, too large, or no such report.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        values = sum(map(data.count, (b",", b"[", b"{")))
        if len(data) > _MAX_BYTES or values > _MAX_VALUES:
            message = "its report is too large"
            raise HostError(message)
        document = json.loads(data)
        if "error" in document and document["error"]["code"] in _NOTHING:
            return HostDocument()
        return HostDocument(
            roots=_texts(document["roots"]),
            notes=_texts(document["notes"]),
            items=tuple(_item(item, host) for item in document["items"]),
        )
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        message = "its report is missing or is none"
        raise HostError(message) from error


def failed_host(host: str, error: NssBackupError) -> BatchItem:
    """The row of a host without a report: no reader of a list must miss it."""
    return BatchItem("failed", host, "", error=_mapping(error_json(error)["error"]))


def _item(item: Any, host: str) -> BatchItem:  # noqa: ANN401 - JSON of unknown make
    """An item; what must be a text, a number or an object is one."""
    (status,) = (one for one in _STATUSES if one == item["status"])
    name = _optional(item["file"])
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
        file=f"{host}/{name}" if name is not None and is_inside(name) else None,
        sha256=_optional(item["sha256"]),
        size=_size(item["bytes"]),
        # Without an end it could not be put in its place.
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
    """Whether all of it can be shown and written again: no infinite number, no endless depth."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(one, depth - 1) for one in inner)
    # Python's JSON has NaN as well, which is in no order with any number.
    return not isinstance(value, int | float) or abs(value) <= _MAX_NUMBER

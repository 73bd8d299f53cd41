"""Documents: the report of one host, read with as little trust as any file of another computer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from nssbackup.batch.report import BatchItem, Status
from nssbackup.errors import NoProfileError, NssBackupError
from nssbackup.fleet.errors import HostError
from nssbackup.fleet.transfer import is_inside
from nssbackup.identities import NoMatchError
from nssbackup.report import Json, error_json

_STATUSES: tuple[Status, ...] = get_args(Status)
# What a batch prints, in the place of a report, where there is nothing to report on. A computer
# without a certificate is nothing unusual among many.
_NOTHING = frozenset({NoProfileError.code, NoMatchError.code})
# Of a host with more certificates than any has. A value takes up to a hundred bytes of memory.
_MAX_BYTES = 32 * 1024 * 1024
_MAX_VALUES = 1_000_000


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
            roots=tuple(_text(root) for root in document["roots"]),
            notes=tuple(_text(note) for note in document["notes"]),
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
        size=None if item["bytes"] is None else int(item["bytes"]),
        # Without an end it could not be put in its place.
        expiring=item["expiring"] is True and identity is not None and "not_after" in identity,
        warnings=tuple(_text(warning) for warning in item["warnings"]),
        error=None if item["error"] is None else _mapping(item["error"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)


def _mapping(value: object) -> Json:
    if not isinstance(value, Mapping):
        raise TypeError
    return value

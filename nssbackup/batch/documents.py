"""Items and homes, read back from JSON: from the state of an earlier run or the report of a host.

What is returned can be shown and written again, whatever the document was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from nssbackup.batch.report import (
    HOME_STATUSES,
    STATUSES,
    BatchItem,
    HomeResult,
    HomeStatus,
    Status,
    moment,
)
from nssbackup.report import Json

_T = TypeVar("_T")

# JSON's numbers differ between programs above this (RFC 8259, section 6).
_MAX_NUMBER = 2**53 - 1
# An identity and an error need two levels.
_MAX_DEPTH = 8
_IDENTITY_TEXTS = (
    *("profile", "nickname", "subject", "common_name", "email", "issuer", "serial"),
    *("sha1", "sha256", "not_before", "not_after", "status"),
)
_INVALID = (TypeError, LookupError, StopIteration, RecursionError)


def item_of(document: Any) -> BatchItem:  # noqa: ANN401 - JSON of unknown origin
    """Return the item that `BatchItem.to_json` gave.

    Raises:
        ValueError: the document is not one of an item.
    """
    try:
        return BatchItem(
            status=_status(document["status"]),
            host=_text(document["host"]),
            user=_text(document["user"]),
            home=_optional(document["home"], _text),
            application=_optional(document["application"], _text),
            profile=_optional(document["profile"], _text),
            profile_name=_optional(document["profile_name"], _text),
            identity=_optional(document["identity"], _identity),
            file=_optional(document["file"], _text),
            sha256=_optional(document["sha256"], _text),
            size=_optional(document["bytes"], _number),
            expiring=document["expiring"] is True and document["identity"] is not None,
            warnings=texts(document["warnings"]),
            error=_optional(document["error"], _error),
        )
    except _INVALID as error:
        message = "not an item of a report"
        raise ValueError(message) from error


def home_of(document: Any) -> HomeResult:  # noqa: ANN401 - JSON of unknown origin
    """Return the home that `HomeResult.to_json` gave.

    Raises:
        ValueError: the document is not one of a home.
    """
    try:
        return HomeResult(
            host=_text(document["host"]),
            home=_text(document["home"]),
            user=_text(document["user"]),
            profiles=_number(document["profiles"]),
            identities=_number(document["identities"]),
            status=_home_status(document["status"]),
            notes=texts(document["notes"]),
        )
    except _INVALID as error:
        message = "not a home of a report"
        raise ValueError(message) from error


def texts(value: object) -> tuple[str, ...]:
    """Return a list of texts from a document.

    Raises:
        ValueError: it is not one.
    """
    if not isinstance(value, list):
        raise ValueError(value)  # noqa: TRY004 - of a document, not of a caller
    return tuple(_text(one) for one in value)


def _optional(value: object, read: Callable[[object], _T]) -> _T | None:
    return None if value is None else read(value)


def _status(value: object) -> Status:
    return next(status for status in STATUSES if status == value)


def _home_status(value: object) -> HomeStatus:
    return next(status for status in HOME_STATUSES if status == value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(value)  # noqa: TRY004 - of a document, not of a caller
    return value


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_NUMBER:
        raise ValueError(value)
    return value


def _error(value: object) -> Json:
    document = _plain_mapping(value)
    hint = _optional(document.get("hint"), _text)
    return {
        **document,
        "code": _text(document["code"]),
        "message": _text(document["message"]),
        "hint": hint,
    }


def _identity(value: object) -> Json:
    """Return an identity in which what a report shows is of the right type."""
    document = _plain_mapping(value)
    for key in _IDENTITY_TEXTS:
        _optional(document.get(key), _text)
    moment(_text(document["not_after"]))
    _plain_mapping(document.get("key", {}))
    return document


def _plain_mapping(value: object) -> Json:
    """Return a JSON object that any program can show: no NaN, and no endless depth."""
    if not isinstance(value, dict) or not _is_plain(value, _MAX_DEPTH):
        raise ValueError(value)
    return value


def _is_plain(value: object, depth: int) -> bool:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(one, depth - 1) for one in inner)
    return not isinstance(value, int | float) or abs(value) <= _MAX_NUMBER

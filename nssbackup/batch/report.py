"""The report of a batch: one item per certificate or failure, and the same as JSON.

`BatchReport.to_json` is the document in `report.json` and on stdout with `--json`. Keys are only
ever added. `fleet` uses the same report for the items of many hosts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from nssbackup.report import Json, rfc3339

Status = Literal["backed-up", "unchanged", "planned", "failed", "expired"]
STATUSES: tuple[Status, ...] = get_args(Status)
HomeStatus = Literal["backed-up", "no-certificate", "expired", "failed", "gone"]
HOME_STATUSES: tuple[HomeStatus, ...] = get_args(HomeStatus)


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One certificate, or one profile, home or root that could not be read.

    Attributes:
        status: "planned" only in a dry run, "expired" if it was left out because it has ended.
        user: taken from the home or the profile folder.
        home: None for a profile that was named by itself.
        identity: as `report.identity_json` gives it.
        file: the PFX, relative to the output folder, always with `/`.
        sha256: of the file.
        size: of the file, in bytes.
        expiring: whether the certificate is valid now and ends within the days asked for.
        error: status, code, message and hint of a failure.
    """

    status: Status
    host: str
    user: str
    home: str | None = None
    application: str | None = None
    profile: str | None = None
    profile_name: str | None = None
    identity: Json | None = None
    file: str | None = None
    sha256: str | None = None
    size: int | None = None
    expiring: bool = False
    warnings: tuple[str, ...] = ()
    error: Json | None = None

    def to_json(self) -> Json:
        """Return the item as it stands in the document."""
        fields = asdict(self)
        return {"bytes": fields.pop("size"), **fields, "warnings": list(self.warnings)}

    @property
    def ends(self) -> datetime | None:
        """When the certificate ends."""
        return moment(str(self.identity["not_after"])) if self.identity else None


@dataclass(frozen=True, slots=True)
class HomeResult:
    """One home, or one profile folder that was named by itself.

    Attributes:
        identities: how many certificates of those asked for.
        status: "gone" if a certificate was backed up earlier and is no longer found.
        notes: what an administrator should know, such as what was skipped.
    """

    host: str
    home: str
    user: str
    profiles: int
    identities: int
    status: HomeStatus
    notes: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """Return the home as it stands in the document."""
        return {**asdict(self), "notes": list(self.notes)}


@dataclass(frozen=True, slots=True)
class HostResult:
    """How a host of a fleet did; `error` says why it has no report."""

    host: str
    reached: bool
    error: str | None
    totals: Mapping[str, int]

    def to_json(self) -> Json:
        """Return the host as it stands in the document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What a batch did.

    Attributes:
        host: None for a fleet, which has `hosts`.
        items: in the order of `in_order`.
        notes: warnings that are about no single item.
        homes: every home under the roots, and those that are gone.
    """

    started: datetime
    finished: datetime
    host: str | None
    folder: Path
    roots: tuple[str, ...]
    dry_run: bool = False
    expiring_days: int | None = None
    items: tuple[BatchItem, ...] = ()
    notes: tuple[str, ...] = ()
    homes: tuple[HomeResult, ...] = ()
    hosts: tuple[HostResult, ...] = ()

    @property
    def totals(self) -> Mapping[str, int]:
        """The number of items of each status."""
        return totals_of(self.items)

    @property
    def home_totals(self) -> Mapping[str, int]:
        """The number of homes of each status."""
        found = Counter(home.status for home in self.homes)
        return {status: found[status] for status in HOME_STATUSES}

    def to_json(self) -> Json:
        """Return the document."""
        hosts = {"hosts": [host.to_json() for host in self.hosts]} if self.host is None else {}
        return {
            "started": rfc3339(self.started),
            "finished": rfc3339(self.finished),
            "host": self.host,
            "folder": str(self.folder),
            "roots": list(self.roots),
            "dry_run": self.dry_run,
            "expiring_days": self.expiring_days,
            "totals": {**self.totals, "homes": dict(self.home_totals)},
            "notes": list(self.notes),
            "homes": [home.to_json() for home in self.homes],
            **hosts,
            "items": [item.to_json() for item in self.items],
        }


def in_order(items: Iterable[BatchItem]) -> tuple[BatchItem, ...]:
    """Sort items: the expiring ones by their end, then the failures, then the rest by user."""
    return tuple(sorted(items, key=_rank))


def homes_in_order(homes: Iterable[HomeResult]) -> tuple[HomeResult, ...]:
    """Sort homes: those that need attention first, then by user."""
    order = ("gone", "failed", "expired", "no-certificate", "backed-up")
    return tuple(
        sorted(homes, key=lambda one: (order.index(one.status), one.user.casefold(), one.home))
    )


def totals_of(items: Iterable[BatchItem]) -> Mapping[str, int]:
    """Count items: all, those of each status, and the expiring ones."""
    items = tuple(items)
    found = Counter(item.status for item in items)
    return {
        "items": len(items),
        **{status: found[status] for status in STATUSES},
        "expiring": sum(item.expiring for item in items),
    }


def moment(text: str) -> datetime:
    """Return the time that an RFC 3339 text names, in UTC.

    Raises:
        ValueError: it names none.
    """
    time = datetime.fromisoformat(text)
    try:
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError(text) from error


def _rank(item: BatchItem) -> tuple[int, str, str, str, str, str]:
    where = (item.user.casefold(), item.home or "", item.profile or "", item.file or "")
    if item.expiring and item.ends is not None:
        return (0, rfc3339(item.ends), *where)
    return (1 if item.status == "failed" else 2, "", *where)


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


def item_of(document: Any) -> BatchItem:
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


def home_of(document: Any) -> HomeResult:
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

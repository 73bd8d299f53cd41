"""The report of a batch: what became of every item, and the same as JSON.

`BatchReport.to_json` is the document that `report.json` holds, that `batch --json` prints and that
the other reports are made of. Its `items` are a sequence that beyond the first few is packed, and
unpacked as it is read: a building has many, and a list of them all would take more memory than the
backing up. Keys are only added.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, overload

from nssbackup.errors import NssBackupError

# As `nssbackup.report.Json`, which is slow to load: a night in which nothing changed is short.
Json = Mapping[str, object]

Status = Literal["backed-up", "unchanged", "planned", "failed"]
STATUSES: tuple[Status, ...] = ("backed-up", "unchanged", "planned", "failed")

# Of the documents of one batch much is alike, and the fastest level halves them; the first few
# megabytes are not worth the time.
_MOST_PLAIN, _LEVEL = 2_000, 1


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One identity, or one profile, home or root that could not be read.

    Attributes:
        status: what became of it; "planned" in a dry run only.
        host: the name of the computer that the batch ran on.
        user: whose it is: the name of the home, or of the profile's folder.
        home: the home folder; None for a profile without one.
        application: "Firefox", or what else the profile belongs to.
        profile: the profile's folder.
        profile_name: what the application calls the profile.
        identity: as `report.identity_json` gives it.
        file: the PFX, relative to the batch's folder, with `/` on every system.
        sha256: of the file.
        size: of the file, in bytes.
        expiring: whether it ends within the days asked for, and is valid now.
        warnings: what the administrator should know.
        error: status, code, message and hint, where it failed.
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
        """The item as it stands in the document."""
        return {
            "status": self.status,
            "host": self.host,
            "user": self.user,
            "home": self.home,
            "application": self.application,
            "profile": self.profile,
            "profile_name": self.profile_name,
            "identity": self.identity,
            "file": self.file,
            "sha256": self.sha256,
            "bytes": self.size,
            "expiring": self.expiring,
            "warnings": list(self.warnings),
            "error": self.error,
        }

    @classmethod
    def of_json(cls, document: Json) -> BatchItem:
        """The item that `to_json` gave."""
        fields: dict[str, Any] = dict(document)
        size, warnings = fields.pop("bytes", None), tuple(fields.pop("warnings"))
        return cls(**fields, size=size, warnings=warnings)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a user: rows of the report, warnings about no row, how many profiles."""

    items: tuple[BatchItem, ...] = ()
    notes: tuple[str, ...] = ()
    profiles: int = 0

    def to_json(self) -> Json:
        """The outcome, for `of_json`."""
        rows = [item.to_json() for item in self.items]
        return {"items": rows, "notes": self.notes, "profiles": self.profiles}

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Outcome:
        """The outcome that `to_json` gave."""
        items = tuple(BatchItem.of_json(row) for row in document["items"])
        return cls(items, tuple(document["notes"]), document["profiles"])


class Items(Sequence[Json]):
    """The items of a report, in its order; when there are many, each is unpacked when it is read.

    That is: the ones that expire first, the soonest on top; then the failures; then the rest. Where
    that leaves a choice, by user, home and profile.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[tuple[int, str, str, str, str], Json | bytes]] = []
        self._sorted = True
        self._counts = dict.fromkeys((*STATUSES, "expiring"), 0)

    def add(self, item: BatchItem) -> None:
        """Put one more where it belongs."""
        row = item.to_json()
        packed = _packed(row) if len(self._rows) >= _MOST_PLAIN else row
        self._rows.append((_rank(item), packed))
        self._sorted = False
        self._counts[item.status] += 1
        self._counts["expiring"] += item.expiring

    @property
    def totals(self) -> Mapping[str, int]:
        """How many there are, of each status, and how many that expire."""
        return {"items": len(self._rows), **self._counts}

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Json: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Json]: ...

    def __getitem__(self, index: int | slice) -> Json | Sequence[Json]:
        self._sort()
        if isinstance(index, slice):
            return [_unpacked(row) for _, row in self._rows[index]]
        return _unpacked(self._rows[index][1])

    def __iter__(self) -> Iterator[Json]:
        self._sort()
        return (_unpacked(row) for _, row in self._rows)

    def encoded(self) -> Iterator[bytes]:
        """Each item as JSON, in the report's order."""
        self._sort()
        return (_encoded(row) for _, row in self._rows)

    def _sort(self) -> None:
        if not self._sorted:
            self._rows.sort(key=lambda row: row[0])
            self._sorted = True


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What a batch did; `notes` are warnings that are about no single item."""

    started: datetime
    finished: datetime
    host: str
    folder: Path
    roots: tuple[str, ...]
    dry_run: bool = False
    expiring_days: int | None = None
    items: Items = field(default_factory=Items)
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """How many items failed."""
        return self.items.totals["failed"]

    def to_json(self) -> Json:
        """The document; `items` in it is a `Sequence`, but no list (see `plain` for that)."""
        return {
            "started": rfc3339(self.started),
            "finished": rfc3339(self.finished),
            "host": self.host,
            "folder": str(self.folder),
            "roots": list(self.roots),
            "dry_run": self.dry_run,
            "expiring_days": self.expiring_days,
            "totals": dict(self.items.totals),
            "notes": list(self.notes),
            "items": self.items,
        }


def plain(document: Json) -> Json:
    """The document with its items as a list, for `json.dumps`."""
    items = document["items"]
    return {**document, "items": list(items)} if isinstance(items, Items) else document


def encoded(document: Json) -> Iterator[bytes]:
    """The document as the bytes of a JSON file, a line for each item; never as a whole."""
    items = document["items"]
    head = json.dumps({key: value for key, value in document.items() if key != "items"}, indent=1)
    yield head.removesuffix("\n}").encode("ascii") + b',\n "items": ['
    separator = b"\n"
    given = items if isinstance(items, Sequence) else ()
    rows = items.encoded() if isinstance(items, Items) else (json.dumps(x).encode() for x in given)
    for row in rows:
        yield separator + row
        separator = b",\n"
    yield b"\n ]\n}\n"


def error_document(error: NssBackupError) -> Json:
    """An error as it stands in an item."""
    return {
        "status": error.exit_status,
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
    }


def rfc3339(time: datetime) -> str:
    """A time as the documents have it: in UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _rank(item: BatchItem) -> tuple[int, str, str, str, str]:
    where = (item.user.casefold(), item.home or "", f"{item.profile or ''}\0{item.file or ''}")
    if item.expiring and item.identity is not None:
        return (0, str(item.identity["not_after"]), *where)
    return (1 if item.status == "failed" else 2, "", *where)


def _packed(row: Json) -> bytes:
    return zlib.compress(json.dumps(row).encode("ascii"), _LEVEL)


def _unpacked(row: Json | bytes) -> Json:
    if isinstance(row, bytes):
        document: Json = json.loads(zlib.decompress(row))
        return document
    return row


def _encoded(row: Json | bytes) -> bytes:
    return zlib.decompress(row) if isinstance(row, bytes) else json.dumps(row).encode("ascii")

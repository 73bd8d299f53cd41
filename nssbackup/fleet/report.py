"""The report of a fleet: the items of all hosts in one document, and what came of each host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from nssbackup.batch.report import STATUSES, BatchItem, Items, rfc3339
from nssbackup.report import Json


@dataclass(frozen=True, slots=True)
class HostResult:
    """What came of a host.

    Attributes:
        host: its name in the inventory.
        reached: whether it could be reached, from the beginning to the end.
        error: why it has no report; None where it has.
        totals: of its items.
    """

    host: str
    reached: bool
    error: str | None
    totals: Mapping[str, int]

    def to_json(self) -> Json:
        """The host as it stands in the document."""
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
        """How many items failed; a host without a report is one."""
        return self.items.totals["failed"]

    def to_json(self) -> Json:
        """The document of a batch, of no host in particular, and the hosts."""
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
    """How many items there are, of each status, and how many that expire."""
    found = Counter(item.status for item in items)
    return {
        "items": len(items),
        **{status: found[status] for status in STATUSES},
        "expiring": sum(item.expiring for item in items),
    }

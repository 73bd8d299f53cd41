"""Survey: what a report says above its rows, and their order, from one pass over the items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from nssbackup.batch.rendering.items import Item, mapping, moment, number, sequence, text

STATUSES = ("backed-up", "unchanged", "planned", "failed")
_NO_DAY = "~"  # after every digit
_TOTALS = ("items", *STATUSES, "expiring")


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures that one piece of advice is for.

    `places` are places in the document. What has no hint is alike where its code is.
    """

    code: str
    hint: str
    places: list[int] = field(default_factory=list)


# Every item is looked at three times; so many are kept meanwhile, which is a few megabytes.
_MOST_KNOWN = 2_000


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a fleet. A total is None where the fleet did not say it and no item does."""

    name: str
    reached: bool
    error: str
    totals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Survey:
    """A document, read once.

    Attributes:
        started: when the batch began, None where that is no time.
        finished: when it ended; days are counted from here.
        host: its computer; empty for a fleet's report.
        folder: where the backups are.
        roots: what was searched.
        dry_run: whether nothing was written.
        expiring_days: what `--expiring` said.
        notes: warnings that are about no single item.
        totals: of all items, by status; with "items" and "expiring".
        hosts: those of a fleet.
        several_hosts: whether a row must say whose it is.
        order: the places of the items in the document, in the order of the report: the ones that
            expire, the soonest first; then the failures; then the rest.
        expiring: the first part of `order`.
        failures: the failures by what to do about them, the most frequent first.
        ends: how many different certificates end in a month (counted from the year 0) and are of
            a kind: "past", "soon" (to be chased) or "later".
    """

    started: datetime | None
    finished: datetime | None
    host: str
    folder: str
    roots: tuple[str, ...]
    dry_run: bool
    expiring_days: int | None
    notes: tuple[str, ...]
    totals: Mapping[str, int]
    hosts: tuple[Host, ...]
    several_hosts: bool
    order: Sequence[int]
    expiring: Sequence[int]
    failures: Sequence[FailureGroup]
    ends: Mapping[tuple[int, str], int]
    _items: Sequence[object] = field(repr=False)
    _known: Mapping[int, Item] = field(repr=False)

    @classmethod
    def of(cls, document: Mapping[str, object]) -> Survey:
        """Read a document."""
        items = sequence(document.get("items"))
        count = _Count(moment(text(document, "finished")))
        known: dict[int, Item] = {}
        for place, item in enumerate(map(Item.read, items)):
            count.add(place, item)
            if place < _MOST_KNOWN:
                known[place] = item
        given = mapping(document.get("totals"))
        hosts = tuple(_host(mapping(each), count) for each in sequence(document.get("hosts")))
        return cls(
            started=moment(text(document, "started")),
            finished=count.finished,
            host=text(document, "host"),
            folder=text(document, "folder"),
            roots=tuple(str(root) for root in sequence(document.get("roots"))),
            dry_run=document.get("dry_run") is True,
            expiring_days=number(document, "expiring_days"),
            notes=tuple(str(note) for note in sequence(document.get("notes"))),
            totals=_totals(given, count.of_all),
            hosts=hosts,
            several_hosts=len(count.of_host) > 1 or not text(document, "host"),
            order=[place for *_, place in sorted(count.ranks)],
            expiring=[place for rank, _, place in sorted(count.ranks) if rank == 0],
            failures=sorted(count.failures.values(), key=lambda group: -len(group.places)),
            ends=count.ends,
            _items=items,
            _known=known,
        )

    def items(self, places: Iterable[int]) -> Iterator[Item]:
        """The items at some places of the document, read when they are asked for."""
        return (self._known.get(place) or Item.read(self._items[place]) for place in places)


class _Count:
    """What is added up."""

    def __init__(self, finished: datetime | None) -> None:
        self.finished = finished
        self.of_all: Counter[str] = Counter()
        self.of_host: dict[str, Counter[str]] = {}
        self.ranks: list[tuple[int, str, int]] = []
        self.failures: dict[tuple[str, str], FailureGroup] = {}
        self.ends: Counter[tuple[int, str]] = Counter()
        self._seen: set[str] = set()

    def add(self, place: int, item: Item) -> None:
        """Count an item."""
        for counter in (self.of_all, self.of_host.setdefault(item.host, Counter())):
            counter.update(("items", item.status, *(("expiring",) if item.expiring else ())))
        if item.expiring:
            ends = item.certificate.ends if item.certificate else None
            self.ranks.append((0, ends.isoformat() if ends else _NO_DAY, place))
        else:
            self.ranks.append((1 if item.failed else 2, "", place))
        if item.failed:
            code, hint = (item.problem.code, item.problem.hint) if item.problem else ("", "")
            self.failures.setdefault((code, hint), FailureGroup(code, hint)).places.append(place)
        self._add_end(item)

    def _add_end(self, item: Item) -> None:
        """Count when a certificate ends, once for each, in however many profiles it is."""
        certificate = item.certificate
        if certificate is None or certificate.ends is None or certificate.sha256 in self._seen:
            return
        if certificate.sha256:
            self._seen.add(certificate.sha256)
        if self.finished is not None and certificate.ends < self.finished:
            kind = "past"
        else:
            kind = "soon" if item.expiring else "later"
        self.ends[certificate.ends.year * 12 + certificate.ends.month - 1, kind] += 1


def _totals(given: Mapping[str, object], counted: Mapping[str, int]) -> Mapping[str, int]:
    """The document's totals; what it does not say is counted."""
    totals = {}
    for key in _TOTALS:
        said = number(given, key)
        totals[key] = counted.get(key, 0) if said is None else said
    return totals


def _host(document: Mapping[str, object], count: _Count) -> Host:
    name = text(document, "host")
    totals = _totals(mapping(document.get("totals")), count.of_host.get(name, {}))
    return Host(name, document.get("reached") is True, text(document, "error"), totals)

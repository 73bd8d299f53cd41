"""When the certificates end: a bar for each month, drawn by the style sheet of the page.

What ends long before or after the rest is counted in a column of its own at that side, so that a
month stays wide enough to be seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

KINDS = ("past", "soon", "later")
_YEAR = 12
_MONTHS_BEFORE, _MONTHS_AFTER, _FEWEST = 12, 47, 12
_TICKS = 4
# The width of the months in the narrowest chart, and of a digit and a month's name in it.
_WIDTH, _DIGIT, _NAME, _YEAR_NAME = 950, 7, 30, 42
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Column:
    """A month, or what lies before or after all of them.

    Attributes:
        name: in full.
        label: what stands below the bar, if there is room.
        year: the same, if a year begins here.
        counts: the number of certificates of each kind.
        is_side: whether it is no month.
        shows_total: whether the total fits above the bar.
    """

    name: str
    label: str
    year: str
    counts: Mapping[str, int]
    is_side: bool
    shows_total: bool

    @property
    def total(self) -> int:
        """How many end in it."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Timeline:
    """The chart.

    Attributes:
        columns: from the left.
        ticks: the values at the lines across, from below.
        today: the column and the percentage of it at which the report was made.
    """

    columns: tuple[Column, ...]
    ticks: tuple[int, ...]
    today: tuple[int, int]

    @property
    def total(self) -> int:
        """How many certificates there are."""
        return sum(column.total for column in self.columns)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that occur."""
        return tuple(kind for kind in KINDS if any(column.counts[kind] for column in self.columns))

    @property
    def rules(self) -> str:
        """The part of the style sheet that is about these numbers.

        The policy of the page allows no `style` attributes.
        """
        sides = ["3.5rem" if column.is_side else "minmax(0,1fr)" for column in self.columns]
        rules = [f".months{{grid-template-columns:{' '.join(sides)}}}"]
        rules += [
            f".months>:nth-child({place})>.{kind}{{height:{count / self.ticks[-1]:.2%}}}"
            for place, column in enumerate(self.columns, 1)
            for kind, count in column.counts.items()
            if count
        ]
        rules.append(f".months .today{{left:{self.today[1]}%}}")
        return "\n".join(rules)


def timeline_of(ends: Mapping[tuple[int, str], int], now: datetime) -> Timeline | None:
    """Return the chart; None if no certificate has an end.

    Args:
        ends: how many end in a month (counted from the year 0) and are of a kind.
        now: the time of the report.
    """
    if not ends:
        return None
    months = [month for month, _ in ends]
    present = now.year * _YEAR + now.month - 1
    near = [one for one in months if -_MONTHS_BEFORE <= one - present <= _MONTHS_AFTER] + [present]
    first = min(near)
    last = max(*near, first + _FEWEST - 1)
    shown = range(first - (min(months) < first), last + (max(months) > last) + 1)
    counts = {month: dict.fromkeys(KINDS, 0) for month in shown}
    for (month, kind), count in ends.items():
        counts[min(max(month, shown[0]), shown[-1])][kind] += count
    step = _step(max(sum(each.values()) for each in counts.values()))
    return Timeline(
        columns=tuple(_columns(counts, first, last)),
        ticks=tuple(step * number for number in range(_TICKS + 1)),
        today=(shown.index(present), round((now.day - 1) / 31 * 100)),
    )


def count_ends(
    ends: Mapping[str, tuple[datetime, bool]], now: datetime
) -> Counter[tuple[int, str]]:
    """Count certificates by the month and the kind of their end.

    Args:
        ends: of each certificate, by its fingerprint, and whether it is to be renewed soon.
        now: the time of the report.
    """
    return Counter(
        (end.year * _YEAR + end.month - 1, "past" if end < now else "soon" if soon else "later")
        for end, soon in ends.values()
    )


def _columns(counts: Mapping[int, Mapping[str, int]], first: int, last: int) -> Iterator[Column]:
    width = _WIDTH / (last - first + 1)
    # So that the names have room, and January is among them.
    every = next((number for number in (1, 2, 3, 6) if number * width >= _NAME), _YEAR)
    for month, kinds in counts.items():
        name = _name(min(max(month, first), last))
        total = sum(kinds.values())
        if not first <= month <= last:
            side, label = ("before", "earlier") if month < first else ("after", "later")
            yield Column(f"{side} {name}", label, "", kinds, is_side=True, shows_total=bool(total))
            continue
        to_january = -month % _YEAR
        has_year = not to_january or (month == first and to_january * width >= _YEAR_NAME)
        yield Column(
            name=name,
            label="" if month % every else _NAMES[month % _YEAR],
            year=str(month // _YEAR) if has_year else "",
            counts=kinds,
            is_side=False,
            shows_total=bool(total) and len(str(total)) * _DIGIT <= width,
        )


def _name(month: int) -> str:
    return f"{_NAMES[month % _YEAR]} {month // _YEAR}"


def _step(most: int) -> int:
    """Return the distance of two lines: 1, 2 or 5 times a power of ten, enough for `most`."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power * _TICKS >= most:
                return factor * power
        power *= 10

"""Timeline: how many certificates end in which month, and where that is drawn.

A column for each month, however many certificates there are; what ends long before or after the
rest is put into a column of its own at that side, so that a month stays wide enough to be seen.
All lengths are in the units of the drawing, which is WIDTH by HEIGHT.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT = 1_000, 240
LEFT, RIGHT, TOP, BOTTOM = 40, 990, 30, 196

KINDS = ("past", "soon", "later")
_YEAR = 12
_MONTHS_BEFORE, _MONTHS_AFTER, _FEWEST = 12, 47, 12
_TICKS = 4
_WIDEST_BAR = 44
# About how wide a digit, the name of a month, a year and the word of a side column are.
_DIGIT, _NAME, _YEAR_WIDTH, _SIDE = 7, 30, 42, 56
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Segment:
    """The part of a bar that is of one kind."""

    kind: str
    count: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """A month, or what lies before or after all of them.

    `name` says which in full; `label` and `year` are what is written below, where there is room.
    """

    name: str
    label: str
    year: str
    left: float
    width: float
    segments: tuple[Segment, ...]

    @property
    def middle(self) -> float:
        """Where its texts are centred."""
        return round(self.left + self.width / 2, 1)

    @property
    def top(self) -> float:
        """The upper end of its bar."""
        return self.segments[-1].y if self.segments else BOTTOM

    @property
    def bar_width(self) -> float:
        """The width of its bar."""
        return round(min(self.width * 0.72, _WIDEST_BAR), 1)

    @property
    def bar_left(self) -> float:
        """Where its bar begins."""
        return round(self.middle - self.bar_width / 2, 1)

    @property
    def total(self) -> int:
        """How many end in it."""
        return sum(segment.count for segment in self.segments)

    @property
    def has_room(self) -> bool:
        """Whether its total can be written over the bar."""
        return len(str(self.total)) * _DIGIT <= self.width

    def count(self, kind: str) -> int:
        """How many of a kind end in it."""
        return sum(segment.count for segment in self.segments if segment.kind == kind)


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across, and what it stands for."""

    value: int
    y: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """The drawing; `today` is where the day of the report is, None where that is not known."""

    columns: tuple[Column, ...]
    ticks: tuple[Tick, ...]
    today: float | None
    total: int
    kinds: tuple[str, ...]

    @classmethod
    def of(cls, ends: Mapping[tuple[int, str], int], now: datetime | None) -> Timeline | None:
        """Draw; None where there is nothing to draw.

        Args:
            ends: how many end in a month (counted from the year 0) and are of a kind.
            now: the time of the report.
        """
        if not ends:
            return None
        months = [month for month, _ in ends]
        present = now.year * _YEAR + now.month - 1 if now else min(months)
        axis = _Axis.of(months, present)
        counts: dict[int, Counter[str]] = {month: Counter() for month in axis.months}
        for (month, kind), count in ends.items():
            counts[axis.place(month)][kind] += count
        step = _step(max(counter.total() for counter in counts.values()))
        scale = (BOTTOM - TOP) / (step * _TICKS)
        today = None
        if now is not None:
            today = round(axis.left(present) + (now.day - 1) / 31 * axis.slot, 1)
        return cls(
            columns=tuple(axis.columns(counts, scale)),
            ticks=tuple(
                Tick(step * n, round(BOTTOM - step * n * scale, 1)) for n in range(_TICKS + 1)
            ),
            today=today,
            total=sum(ends.values()),
            kinds=tuple(kind for kind in KINDS if any(kind == each for _, each in ends)),
        )


@dataclass(frozen=True, slots=True)
class _Axis:
    """The months from `first` to `last`, and whether something lies before or after them."""

    first: int
    last: int
    before: bool
    after: bool

    @classmethod
    def of(cls, months: list[int], present: int) -> _Axis:
        """The months around the present in which something ends: at least a year."""
        earliest, latest = present - _MONTHS_BEFORE, present + _MONTHS_AFTER
        near = [month for month in months if earliest <= month <= latest] + [present]
        first = min(near)
        last = max(*near, first + _FEWEST - 1)
        return cls(first, last, before=min(months) < first, after=max(months) > last)

    @property
    def months(self) -> range:
        """Its months; that before the first and that after the last stand for the side columns."""
        return range(self.first - self.before, self.last + self.after + 1)

    @property
    def slot(self) -> float:
        """How wide a month is."""
        sides = (self.before + self.after) * _SIDE
        return (RIGHT - LEFT - sides) / (self.last - self.first + 1)

    def place(self, month: int) -> int:
        """The month to count another one to."""
        return min(max(month, self.months[0]), self.months[-1])

    def left(self, month: int) -> float:
        """Where a month begins."""
        if month < self.first:
            return LEFT
        return LEFT + self.before * _SIDE + (month - self.first) * self.slot

    def columns(self, counts: Mapping[int, Mapping[str, int]], scale: float) -> Iterator[Column]:
        """The columns, from the left."""
        for month in self.months:
            inside = self.first <= month <= self.last
            yield Column(
                name=self._name(month),
                label=self._label(month),
                year=self._year(month) if inside else "",
                left=round(self.left(month), 1),
                width=round(self.slot if inside else _SIDE, 1),
                segments=tuple(_segments(counts[month], scale)),
            )

    def _name(self, month: int) -> str:
        if month < self.first:
            return f"before {self._name(self.first)}"
        if month > self.last:
            return f"after {self._name(self.last)}"
        return f"{_NAMES[month % _YEAR]} {month // _YEAR}"

    def _label(self, month: int) -> str:
        if not self.first <= month <= self.last:
            return "earlier" if month < self.first else "later"
        # So that the names have room, and January is among them.
        every = next((n for n in (1, 2, 3, 6) if n * self.slot >= _NAME), _YEAR)
        return "" if month % every else _NAMES[month % _YEAR]

    def _year(self, month: int) -> str:
        to_january = -month % _YEAR
        first = month == self.first and to_january * self.slot >= _YEAR_WIDTH
        return str(month // _YEAR) if first or not to_january else ""


def _step(most: int) -> int:
    """The distance of two lines: 1, 2 or 5 times a power of ten; the last is not below `most`."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power * _TICKS >= most:
                return factor * power
        power *= 10


def _segments(counts: Mapping[str, int], scale: float) -> Iterator[Segment]:
    """The parts of a bar, from below."""
    y = float(BOTTOM)
    for kind in KINDS:
        count = counts.get(kind, 0)
        if count:
            y -= count * scale
            yield Segment(kind, count, round(y, 1), round(count * scale, 1))

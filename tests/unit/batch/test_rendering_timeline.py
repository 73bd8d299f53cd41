from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nssbackup.batch.rendering.survey import Survey
from nssbackup.batch.rendering.timeline import BOTTOM, LEFT, RIGHT, TOP, Timeline
from tests.unit.batch.rendering_documents import (
    FINISHED,
    document,
    expiring,
    failed,
    identity,
    item,
)

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def month(year: int, number: int) -> int:
    return year * 12 + number - 1


def test_nothing_to_draw_is_no_drawing() -> None:
    assert Timeline.of({}, FINISHED) is None


def test_a_column_is_a_month_and_a_year_at_least() -> None:
    drawn = Timeline.of({(month(2027, 2), "later"): 3}, FINISHED)
    assert drawn is not None
    assert [column.name for column in drawn.columns] == [
        *("Nov 2026", "Dec 2026"),
        *(f"{name} 2027" for name in _MONTHS[:10]),
    ]
    assert [column.total for column in drawn.columns] == [0, 0, 0, 3, *[0] * 8]
    assert [column.year for column in drawn.columns if column.year] == ["2026", "2027"]


def test_what_ends_long_before_or_after_has_a_column_at_the_side() -> None:
    ends = {
        (month(1999, 1), "past"): 1,
        (month(2025, 10), "past"): 2,
        (month(2026, 11), "past"): 3,
        (month(2026, 11), "soon"): 4,
        (month(2030, 10), "later"): 5,
        (month(2030, 11), "later"): 6,
        (month(9999, 12), "later"): 7,
    }
    drawn = Timeline.of(ends, FINISHED)
    assert drawn is not None
    assert [(column.name, column.total) for column in drawn.columns if column.total] == [
        ("before Nov 2026", 3),
        ("Nov 2026", 7),
        ("Oct 2030", 5),
        ("after Oct 2030", 13),
    ]
    assert (drawn.columns[0].label, drawn.columns[-1].label) == ("earlier", "later")
    assert drawn.kinds == ("past", "soon", "later")
    assert drawn.total == 28


def test_the_day_of_the_report_is_marked_within_its_month() -> None:
    for day, part in ((1, 0.0), (16, 15 / 31), (30, 29 / 31)):
        now = datetime(2026, 11, day, tzinfo=UTC)
        drawn = Timeline.of({(month(2026, 9), "past"): 1, (month(2028, 9), "later"): 1}, now)
        assert drawn is not None
        assert drawn.today is not None
        column = drawn.columns[2]
        assert column.name == "Nov 2026"
        assert (drawn.today - column.left) / column.width == pytest.approx(part, abs=0.02)


@given(
    st.dictionaries(
        st.tuples(
            st.integers(month(1, 1), month(9999, 12)), st.sampled_from(("past", "soon", "later"))
        ),
        st.integers(1, 200_000),
        min_size=1,
    ),
    st.none() | st.datetimes(timezones=st.just(UTC)),
)
def test_any_drawing_is_complete_and_within_its_frame(
    ends: dict[tuple[int, str], int], now: datetime | None
) -> None:
    drawn = Timeline.of(ends, now)
    assert drawn is not None
    assert len(drawn.columns) <= 62
    shown: Counter[str] = Counter()
    edge = float(LEFT)
    for column in drawn.columns:
        assert column.left == pytest.approx(edge, abs=1)
        edge = column.left + column.width
        y = float(BOTTOM)
        for segment in column.segments:
            y -= segment.height
            assert segment.y == pytest.approx(y, abs=0.3)
            shown[segment.kind] += segment.count
        assert column.top >= TOP - 0.2
        assert column.bar_width <= column.width
    assert edge == pytest.approx(RIGHT, abs=1)
    expected: Counter[str] = Counter()
    for (_, kind), count in ends.items():
        expected[kind] += count
    assert shown == expected
    assert drawn.ticks[-1].value >= max(column.total for column in drawn.columns)
    assert now is None or (drawn.today is not None and LEFT <= drawn.today <= RIGHT)
    # No two names stand in each other's way.
    named = [column for column in drawn.columns if column.label]
    assert all(b.middle - a.middle >= 29 for a, b in pairwise(named))


def test_a_certificate_counts_once_in_however_many_profiles_it_is() -> None:
    known = identity(1, not_after="2026-11-01T00:00:00Z")
    items = [
        item(1, identity=known),
        item(2, identity=known, host="ws-2"),
        expiring(3, 5),
        item(4, identity=identity(4, not_after="2027-06-01T00:00:00Z")),
        item(5, identity=identity(5, not_after="one day")),
        item(6, identity=identity(6, sha256=None, not_after="2027-06-01T00:00:00+02:00")),
        failed(7),
    ]
    assert Survey.of(document(items)).ends == {
        (month(2026, 11), "past"): 1,
        (month(2026, 11), "soon"): 1,
        (month(2027, 6), "later"): 1,
        (month(2027, 5), "later"): 1,
    }

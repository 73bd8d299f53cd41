from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from nssbackup.batch.rendering.timeline import KINDS, count_ends, timeline_of
from tests.unit.batch.rendering_documents import FINISHED

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def month(year: int, number: int) -> int:
    return year * 12 + number - 1


def test_nothing_to_draw_is_no_chart() -> None:
    assert timeline_of({}, FINISHED) is None


def test_a_column_is_a_month_and_a_year_at_least() -> None:
    drawn = timeline_of({(month(2027, 2), "later"): 3}, FINISHED)
    assert drawn is not None
    assert [column.name for column in drawn.columns] == [
        *("Nov 2026", "Dec 2026"),
        *(f"{name} 2027" for name in _MONTHS[:10]),
    ]
    assert [column.total for column in drawn.columns] == [0, 0, 0, 3, *[0] * 8]
    assert [column.year for column in drawn.columns if column.year] == ["2026", "2027"]
    assert drawn.today == (0, 71)
    assert ".months>:nth-child(4)>.later{height:75.00%}" in drawn.rules


def test_what_ends_long_before_or_after_has_its_own_column() -> None:
    ends = {
        (month(1999, 1), "past"): 1,
        (month(2025, 10), "past"): 2,
        (month(2026, 11), "past"): 3,
        (month(2026, 11), "soon"): 4,
        (month(2030, 10), "later"): 5,
        (month(2030, 11), "later"): 6,
        (month(9999, 12), "later"): 7,
    }
    drawn = timeline_of(ends, FINISHED)
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


@given(
    st.dictionaries(
        st.tuples(st.integers(month(1, 1), month(9999, 12)), st.sampled_from(KINDS)),
        st.integers(1, 200_000),
        min_size=1,
    ),
    st.datetimes(timezones=st.just(UTC)),
)
def test_any_chart_is_complete(ends: dict[tuple[int, str], int], now: datetime) -> None:
    drawn = timeline_of(ends, now)
    assert drawn is not None
    assert len(drawn.columns) <= 62
    shown: Counter[str] = Counter()
    for column in drawn.columns:
        shown.update(column.counts)
    expected: Counter[str] = Counter()
    for (_, kind), count in ends.items():
        expected[kind] += count
    assert +shown == expected
    assert drawn.ticks[-1] >= max(column.total for column in drawn.columns)
    assert 0 <= drawn.today[1] < 100
    assert drawn.columns[drawn.today[0]].name.endswith(str(now.year))


def test_certificates_count_by_month_and_kind() -> None:
    def day(year: int, number: int) -> datetime:
        return datetime(year, number, 2, tzinfo=UTC)

    ends = {
        "a": (day(2026, 11), False),
        "b": (day(2026, 12), True),
        "c": (day(2027, 6), False),
        "d": (day(2027, 6), False),
    }
    assert count_ends(ends, FINISHED) == {
        (month(2026, 11), "past"): 1,
        (month(2026, 12), "soon"): 1,
        (month(2027, 6), "later"): 2,
    }

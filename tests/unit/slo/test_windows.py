"""Periods of the calendar: across the clock change, month ends and years, by the clocks of their zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.slo.windows import BadWindow, Calendar, Rolling

NEW_YEAR = datetime(2026, 1, 1)  # noqa: DTZ001 - a local time


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "start", "hours"),
    [
        ("2026-02-10", "2026-01-31T23:00", 672),  # 28 days
        ("2026-03-31 21:59:59", "2026-02-28T23:00", 743),  # the clocks go forward in it
        ("2026-03-31 22:00", "2026-03-31T22:00", 720),
        ("2026-10-15", "2026-09-30T22:00", 745),
        ("2025-12-31 22:59:59", "2025-11-30T23:00", 744),  # before the start that was named
    ],
)
def test_a_month_is_as_long_as_it_is_by_its_clocks(moment: str, start: str, hours: int) -> None:
    month = Calendar("M", NEW_YEAR, "Europe/Berlin")
    assert month.bounds(at(moment))[0] == at(start)
    assert month.length_s(at(moment)) == hours * 3600
    assert month.length_s() == 720 * 3600


def test_a_week_from_saturday_noon_has_an_hour_less_when_the_clocks_go_forward() -> None:
    week = Calendar("w", datetime(2022, 1, 1, 12), "America/New_York")  # noqa: DTZ001
    assert week.bounds(at("2026-03-08 12:00")) == (at("2026-03-07 17:00"), at("2026-03-14 16:00"))


def test_a_month_from_the_31st_begins_on_the_last_day_of_a_shorter_one() -> None:
    month = Calendar("M", datetime(2026, 1, 31), "UTC")  # noqa: DTZ001
    assert month.bounds(at("2026-03-01")) == (at("2026-02-28"), at("2026-03-31"))


@given(
    st.sampled_from(("d", "w", "M", "Q", "Y")), st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)),  # noqa: DTZ001
    st.sampled_from(("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")),
    st.datetimes(datetime(1995, 1, 1), datetime(2055, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)  # fmt: skip
def test_periods_follow_each_other_without_gap_or_overlap(
    unit: str, start: datetime, zone: str, moment: datetime
) -> None:
    window = Calendar(unit, start.replace(microsecond=0), zone)  # type: ignore[arg-type]
    begin, end = window.bounds(moment)
    assert begin <= moment < end
    assert window.bounds(end)[0] == end
    assert window.bounds(begin - timedelta(microseconds=1))[1] == begin


def test_what_nobody_could_keep_is_refused() -> None:
    with pytest.raises(BadWindow, match="no time zone"):
        Calendar("M", NEW_YEAR, "Europe/Atlantis")
    with pytest.raises(BadWindow, match="without an offset"):
        Calendar("M", at("2026-01-01"), "UTC")
    with pytest.raises(BadWindow, match="not 5Q"):
        Calendar("Q", NEW_YEAR, "UTC", 5)
    with pytest.raises(BadWindow, match="not 0 hours"):
        Rolling(0)

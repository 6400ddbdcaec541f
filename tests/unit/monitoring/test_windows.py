import itertools
from datetime import UTC, datetime, timedelta

import pytest

from backend.errors import BadInput
from backend.monitoring.windows import Window, window_of, windows_between


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("date", "hours"), [("2026-03-08", 23), ("2026-03-09", 24), ("2026-11-01", 25)])
def test_a_day_in_new_york_has_the_hours_its_clock_shows(date: str, hours: int) -> None:
    window = window_of(at(f"{date}T17:00"), "1d", "America/New_York")
    assert window.hours == hours
    assert window.start.tzinfo is UTC


def test_a_week_with_a_clock_change_starts_on_monday_and_lacks_an_hour() -> None:
    window = window_of(at("2026-03-05T12:00"), "1w", "America/New_York")
    assert window.start == at("2026-03-02T05:00")
    assert window.end == at("2026-03-09T04:00")


def test_months_end_where_the_next_begins_over_a_year() -> None:
    windows = windows_between(at("2025-12-15T00:00"), at("2026-12-15T00:00"), "1mo", "Europe/Paris")
    assert len(windows) == 13
    assert all(a.end == b.start for a, b in itertools.pairwise(windows))
    assert windows[2].start == at("2026-01-31T23:00")


def test_hours_over_the_autumn_change_leave_no_gap_and_no_overlap() -> None:
    windows = windows_between(at("2026-10-31T22:00"), at("2026-11-01T12:00"), "1h", "America/New_York")
    assert len(windows) == 14
    assert {w.hours for w in windows} == {1}


def test_an_hour_follows_a_zone_that_is_off_by_45_minutes() -> None:
    assert window_of(at("2026-01-01T00:20"), "1h", "Asia/Kathmandu").start == at("2026-01-01T00:15")


def test_a_midnight_that_the_clock_skips_loses_no_moment() -> None:
    windows = windows_between(at("2018-11-03T12:00"), at("2018-11-05T12:00"), "1d", "America/Sao_Paulo")
    assert [w.hours for w in windows] == [24, 23, 24]
    assert all(a.end == b.start for a, b in itertools.pairwise(windows))


def test_every_moment_is_in_its_own_window() -> None:
    for size in ("1h", "1d", "1w", "1mo"):
        for hours in range(0, 24 * 400, 7):
            moment = at("2026-01-01T00:30") + timedelta(hours=hours)
            assert moment in window_of(moment, size, "America/New_York")


def test_nothing_lies_between_a_moment_and_itself() -> None:
    assert windows_between(at("2026-01-01T00:00"), at("2026-01-01T00:00"), "1d") == []


def test_an_unknown_size_and_a_time_without_a_zone_are_refused() -> None:
    with pytest.raises(BadInput, match="2d"):
        window_of(at("2026-01-01T00:00"), "2d")
    with pytest.raises(ValueError, match="zone"):
        window_of(datetime(2026, 1, 1), "1d")  # noqa: DTZ001
    with pytest.raises(ValueError, match="end after"):
        Window(at("2026-01-01T00:00"), at("2026-01-01T00:00"))

from datetime import UTC, datetime, timedelta

import numpy as np

from backend.monitoring.volume import UsualRows, count_usual, judge_volume
from backend.monitoring.windows import Window, windows_between

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday


def usual() -> UsualRows:
    """Ten weeks with about 1,000 rows a weekday and 100 on Saturdays and Sundays."""
    draw = np.random.default_rng(1)
    days = windows_between(START, START + timedelta(days=70), "1d")
    return UsualRows(
        tuple(day.start for day in days),
        tuple(int(draw.poisson(100 if day.start.weekday() > 4 else 1000)) for day in days),
        "1d",
        "UTC",
    )


def verdict(day: int, rows: int) -> tuple[str, str | None]:
    start = START + timedelta(days=day)
    point = judge_volume(Window(start, start + timedelta(days=1)), rows, usual())
    return point.verdict, point.level


def test_a_window_is_held_against_its_own_place_in_the_week() -> None:
    assert verdict(70, 1030) == verdict(75, 105) == ("ok", None)
    assert verdict(70, 105) == verdict(75, 1030) == ("alarm", "ticket")


def test_silence_alarms_but_not_where_windows_are_usually_empty() -> None:
    assert verdict(70, 0) == ("alarm", "ticket")
    nights = UsualRows(tuple(START + timedelta(hours=i) for i in range(10)), (0,) * 10, "1h", "UTC")
    point = judge_volume(Window(START + timedelta(hours=10), START + timedelta(hours=11)), 0, nights)
    assert point.verdict == "ok"


def test_a_tenth_more_or_less_is_the_weather_of_traffic() -> None:
    assert verdict(70, 1300)[0] == verdict(70, 700)[0] == "ok"


def test_few_usual_windows_are_inconclusive() -> None:
    few = UsualRows((START, START + timedelta(days=1)), (10, 12), "1d", "UTC")
    point = judge_volume(Window(START + timedelta(days=2), START + timedelta(days=3)), 5, few)
    assert (point.verdict, point.value) == ("inconclusive", None)


def test_windows_that_may_be_cut_off_are_not_usual() -> None:
    moments = [START + timedelta(hours=12 + h) for h in range(72)]
    windows = windows_between(moments[0], moments[-1] + timedelta(seconds=1), "1d")
    assert count_usual(moments, windows, "1d", "UTC").rows == (24, 24)

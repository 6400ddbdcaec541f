from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from backend.monitoring.volume import Traffic, UsualRows, count_usual, judge_volume
from backend.monitoring.windows import Window, windows_between

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SIZES = {"1h": HOUR, "1d": DAY}


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
    hours = tuple(START + timedelta(hours=i) for i in range(3 * 168))
    nights = UsualRows(hours, (0,) * len(hours), "1h", "UTC")
    point = judge_volume(Window(hours[-1] + HOUR, hours[-1] + 2 * HOUR), 0, nights)
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


def traffic(size: str, weeks: float, seed: int, mean: float = 300.0) -> UsualRows:
    """Counts by chance; a third of them at weekends, a tenth at night, and weeks that differ by 10 %."""
    draw = np.random.default_rng(seed)
    starts = tuple(START + i * SIZES[size] for i in range(round(weeks * 7 * (DAY / SIZES[size]))))
    level = np.array([(1 / 3 if at.weekday() > 4 else 1.0) * (0.1 if at.hour < 6 and size == "1h" else 1.0)
                      for at in starts])  # fmt: skip
    counts = draw.poisson(mean * level * np.exp(draw.normal(0, 0.1, level.size)))
    return UsualRows(starts, tuple(int(n) for n in counts), size, "UTC")


@pytest.mark.parametrize("size", ["1h", "1d"])
@pytest.mark.parametrize("weeks", [2, 3, 4, 6])
def test_a_few_weeks_tell_the_places_in_the_week(size: str, weeks: int) -> None:
    both = traffic(size, weeks + 4, weeks, mean=60 if size == "1h" else 300)
    cut = round(len(both.rows) * weeks / (weeks + 4))
    known = UsualRows(both.starts[:cut], both.rows[:cut], size, "UTC")
    fired, changed, seen = 0, 0, 0
    for at, rows in zip(both.starts[cut:], both.rows[cut:], strict=True):
        window = Window(at, at + SIZES[size])
        fired += judge_volume(window, rows, known).verdict == "alarm"
        if rows > 15:
            seen += judge_volume(window, rows // 5, known).verdict == "alarm"
            seen += judge_volume(window, rows * 4, known).verdict == "alarm"
            changed += 2
    assert fired <= max(1, 0.005 * (len(both.rows) - cut))
    assert seen >= 0.94 * changed


def test_one_week_tells_what_is_far_beyond_all_of_it_and_less_than_one_week_tells_silence() -> None:
    week, days = traffic("1d", 1, 0), traffic("1d", 5 / 7, 0)
    saturday = Window(START + 12 * DAY, START + 13 * DAY)
    verdicts = {rows: judge_volume(saturday, rows, week).verdict for rows in (0, 20, 100, 300, 5000)}
    assert verdicts == {0: "alarm", 20: "alarm", 100: "ok", 300: "ok", 5000: "alarm"}
    first = Window(START + 5 * DAY, START + 6 * DAY)
    assert judge_volume(first, 100, days).verdict == "inconclusive"
    assert "place of the week" in str(judge_volume(first, 100, days).reason)
    assert judge_volume(first, 0, days).verdict == "alarm"


def test_silence_is_no_surprise_where_few_rows_are_usual() -> None:
    days = traffic("1d", 4, 0)
    few = UsualRows(days.starts, (2,) * len(days.rows), "1d", "UTC")
    assert judge_volume(Window(START + 28 * DAY, START + 29 * DAY), 0, few).verdict == "ok"


def test_a_reference_that_is_a_sample_says_nothing_about_traffic() -> None:
    live = traffic("1d", 9, 1)
    sample = UsualRows(live.starts[:28], tuple(rows // 200 for rows in live.rows[:28]), "1d", "UTC")
    played = Traffic(sample)
    points = [
        played.judge(Window(at, at + DAY), 20 if day == 30 else rows)
        for day, (at, rows) in enumerate(zip(live.starts[28:], live.rows[28:], strict=True))
    ]
    assert {point.verdict for point in points[:5]} == {"inconclusive"}
    assert [day for day, point in enumerate(points) if point.verdict == "alarm"] == [30]
    assert points[29].verdict == "ok"


def test_a_surge_after_usual_windows_is_not_taken_for_a_sampled_reference() -> None:
    live = traffic("1d", 8, 2)
    played = Traffic(UsualRows(live.starts[:28], live.rows[:28], "1d", "UTC"))
    verdicts = [
        played.judge(Window(at, at + DAY), rows * (5 if day >= 14 else 1)).verdict
        for day, (at, rows) in enumerate(zip(live.starts[28:], live.rows[28:], strict=True))
    ]
    assert verdicts == ["ok"] * 14 + ["alarm"] * 14

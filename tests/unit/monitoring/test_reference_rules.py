from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from backend.monitoring.columns import Column, ReferenceRule
from backend.monitoring.profiles import freeze_grids, profile_table
from backend.monitoring.reference_rules import Counted, choose_reference, rule_noise
from backend.monitoring.windows import Window, windows_between

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
WEEK_S = 7 * 86_400.0


def table(rows: int, seed: int, mean: float = 0.0) -> pa.Table:
    return pa.table({"x": np.random.default_rng(seed).normal(mean, 1, rows)})


FIXED = table(3000, 0)
GRIDS = freeze_grids(FIXED, [Column("x", "numeric")])


def counted(window: Window, rows: int = 100, mean: float = 0.0) -> Counted:
    return Counted(window, profile_table(table(rows, window.start.day, mean), GRIDS))


DAYS = [counted(w) for w in windows_between(START, START + timedelta(days=28), "1d")]
NOW = Window(START + timedelta(days=28), START + timedelta(days=29))


def rows_of(rule: ReferenceRule, past: list[Counted] = DAYS) -> tuple[int, int, str | None]:
    chosen = choose_reference(rule, profile_table(FIXED, GRIDS), past, NOW, timezone="UTC", min_rows=50)
    return chosen.windows, chosen.profiles["x"].rows if chosen.profiles else 0, chosen.reason


def test_each_rule_finds_its_windows() -> None:
    assert rows_of(ReferenceRule()) == (0, 3000, None)
    assert rows_of(ReferenceRule("previous")) == (1, 100, None)
    assert rows_of(ReferenceRule("rolling", WEEK_S)) == (7, 700, None)
    assert rows_of(ReferenceRule("rolling", WEEK_S, offset_s=WEEK_S)) == (7, 700, None)
    assert rows_of(ReferenceRule("seasonal", 4 * WEEK_S, season="weekday")) == (4, 400, None)


def test_the_present_window_and_later_ones_are_never_their_own_reference() -> None:
    later = [*DAYS, counted(NOW), counted(Window(NOW.end, NOW.end + timedelta(days=1)))]
    assert rows_of(ReferenceRule("previous"), later) == rows_of(ReferenceRule("previous"))


def test_a_rule_that_finds_nothing_says_what_it_looked_for() -> None:
    windows, rows, reason = rows_of(ReferenceRule("rolling", WEEK_S), DAYS[:10])
    assert (windows, rows) == (0, 0)
    assert (
        reason
        == "there are no windows between 2026-03-23 00:00 and 2026-03-30 00:00 UTC with at least 50 rows"
    )


def test_thin_windows_are_left_out() -> None:
    thin = [*DAYS[:-1], counted(DAYS[-1].window, rows=10)]
    chosen = choose_reference(
        ReferenceRule("previous"), profile_table(FIXED, GRIDS), thin, NOW, timezone="UTC", min_rows=50
    )
    assert chosen.profiles["x"].digest == DAYS[-2].profiles["x"].digest


def test_seasons_follow_the_clock_of_the_zone() -> None:
    hours = [
        counted(w) for w in windows_between(START + timedelta(days=20), START + timedelta(days=22), "1h")
    ]
    # 30 March 2026, 08:00 in Paris is 06:00 UTC, a week before, in winter time, 07:00 UTC.
    now = Window(datetime(2026, 3, 30, 6, tzinfo=UTC), datetime(2026, 3, 30, 7, tzinfo=UTC))
    rule = ReferenceRule("seasonal", WEEK_S + 7200, season="hour_of_week")
    fixed = profile_table(FIXED, GRIDS)
    chosen = choose_reference(rule, fixed, hours, now, timezone="Europe/Paris", min_rows=50)
    (before,) = [one for one in hours if one.window.start == datetime(2026, 3, 23, 7, tzinfo=UTC)]
    assert chosen.profiles["x"].digest == before.profiles["x"].digest


def test_the_noise_of_a_rule_is_that_of_the_references_own_windows_under_it() -> None:
    noise = rule_noise(
        ReferenceRule("previous"), profile_table(FIXED, GRIDS), DAYS, timezone="UTC", min_rows=50
    )
    assert len(noise["x", "psi"]) == len(DAYS) - 1
    assert noise["x", "missing_rate"] == (0.0,) * (len(DAYS) - 1)

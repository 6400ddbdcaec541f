"""The arithmetic of budgets, against a simulation that looks at every event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.slo.burn_rates import (
    Counts,
    RowState,
    State,
    exact_rows,
    is_quiet,
    judge_budget,
    judge_objective,
    judge_row,
    time_to_exhaustion,
)
from backend.slo.objectives import STANDARD_ROWS, AlertRow, Availability, Objective
from backend.slo.slots import MINUTE, Slot, compact, sum_window
from backend.slo.sources import Asked, steps_of
from backend.slo.windows import Calendar, Rolling

DAY = 86_400
MONTH = 30 * DAY


@dataclass(frozen=True)
class Event:
    second: int
    good: bool


def simulate(
    events: Sequence[Event], *, now: int, long_s: int, short_s: int, factor: Fraction, target: Fraction
) -> bool | None:
    """The sentence of the workbook, event by event: whether it fires; None where it cannot be said."""
    says: list[bool | None] = []
    for window in (long_s, short_s):
        inside = [event for event in events if now - window <= event.second < now]
        bad = sum(not event.good for event in inside)
        says.append(None if not inside else Fraction(bad, len(inside)) > factor * (1 - target))
    if False in says:
        return False
    return None if None in says else True


events_strategy = st.lists(
    st.builds(Event, st.integers(0, 3 * 3600 - 1), st.booleans()), max_size=120
)  # of three hours


@settings(max_examples=150, deadline=None)
@given(
    events=events_strategy,
    target=st.sampled_from(["0", "0.5", "0.9", "0.99", "0.999"]),
    long_min=st.integers(2, 120), short_min=st.integers(1, 30),
    share=st.sampled_from(["0.001", "0.02", "0.3"]), period_days=st.sampled_from([1, 7, 28, 30]),
    now_min=st.integers(0, 180),
)  # fmt: skip
def test_slots_say_what_an_event_by_event_simulation_says(
    events: list[Event], target: str, long_min: int, short_min: int, share: str, period_days: int, now_min: int
) -> None:  # fmt: skip
    long_s, short_s = max(long_min, short_min + 1) * MINUTE, short_min * MINUTE
    row = AlertRow("page", long_s, short_s, Decimal(share))
    [exact] = exact_rows([row], target=Decimal(target), period_s=period_days * DAY)
    slots = [
        Slot(
            start, MINUTE,
            Counts(
                sum(event.good for event in events if start <= event.second < start + MINUTE),
                sum(start <= event.second < start + MINUTE for event in events),
            ),
        )
        for start in range(0, 3 * 3600, MINUTE)
    ]  # fmt: skip
    now = now_min * MINUTE
    sums = [sum_window(slots, start_s=now - window, end_s=now) for window in (long_s, short_s)]
    expected = simulate(
        events, now=now, long_s=long_s, short_s=short_s, factor=exact.factor, target=Fraction(target)
    )
    state = judge_row(exact, *sums).state
    assert state is {True: RowState.FIRES, False: RowState.OK, None: RowState.NO_DATA}[expected]


@pytest.mark.parametrize("days", [28, 30, 31, 90])
@pytest.mark.parametrize("target", ["0.9", "0.95", "0.99", "0.999", "0.9995"])
def test_an_error_rate_equal_to_its_threshold_does_not_fire(days: int, target: str) -> None:
    for row in exact_rows(STANDARD_ROWS, target=Decimal(target), period_s=days * DAY):
        if row.threshold >= 1:
            continue
        total = row.threshold.denominator * 1000
        bad = row.threshold.numerator * 1000
        equal, above = Counts(total - bad, total), Counts(total - bad - 1, total)
        assert judge_row(row, equal, equal).state is RowState.OK
        assert judge_row(row, equal, above).state is RowState.OK
        assert judge_row(row, above, equal).state is RowState.OK
        assert judge_row(row, above, above).state is RowState.FIRES


def test_the_factors_of_28_days_are_those_of_the_workbook_scaled() -> None:
    factors = [row.factor for row in exact_rows(STANDARD_ROWS, target=Decimal("0.999"), period_s=28 * DAY)]
    assert factors == [Fraction("13.44"), Fraction("5.6"), Fraction("2.8"), Fraction(14, 15)]


@pytest.mark.parametrize(
    ("long", "short", "state"),
    [
        (Counts(0, 100), Counts(0, 10), RowState.FIRES),
        (Counts(0, 100), Counts(), RowState.NO_DATA),  # neither fires nor resolves
        (Counts(), Counts(), RowState.NO_DATA),
        (Counts(100, 100), Counts(), RowState.OK),  # not above in one window: whatever the other says
        (Counts(0, 100), Counts(10, 10), RowState.OK),
        (Counts(0, 19), Counts(0, 10), RowState.TOO_FEW),
        (Counts(19, 19), Counts(10, 10), RowState.OK),
    ],
)
def test_nothing_counted_is_no_data_and_few_events_say_little(
    long: Counts, short: Counts, state: RowState
) -> None:
    row = exact_rows(STANDARD_ROWS[:1], target=Decimal("0.99"), period_s=MONTH)[0]
    assert judge_row(row, long, short, least_events=20).state is state


def test_a_row_that_can_never_fire_makes_nothing_ok() -> None:
    dead, live = exact_rows(STANDARD_ROWS[:2], target=Decimal("0.9"), period_s=MONTH)
    assert dead.threshold > 1 > live.threshold
    nothing = judge_budget(Fraction("0.9"), Counts(), period_s=MONTH, recent=Counts(), recent_s=3600)
    total_failure = Counts(0, 50)
    rows = [judge_row(dead, total_failure, total_failure), judge_row(live, total_failure, Counts())]
    assert [one.state for one in rows] == [RowState.OK, RowState.NO_DATA]
    assert judge_objective(rows, nothing) is State.NO_DATA


def test_a_long_row_that_remembers_good_hours_makes_nothing_ok_while_the_shortest_has_no_data() -> None:
    short, long = exact_rows(STANDARD_ROWS[:2], target=Decimal("0.99"), period_s=MONTH)
    good = Counts(100, 100)
    budget = judge_budget(Fraction("0.99"), good, period_s=MONTH, recent=good, recent_s=3600)
    remembers = judge_row(long, good, Counts())
    assert judge_objective([judge_row(short, Counts(), Counts()), remembers], budget) is State.NO_DATA
    assert judge_objective([judge_row(short, good, Counts()), remembers], budget) is State.OK


def test_no_event_where_the_source_is_seen_is_quiet_and_where_it_is_not_is_unknown() -> None:
    short, long = exact_rows(STANDARD_ROWS[:2], target=Decimal("0.99"), period_s=MONTH)
    remembers = judge_row(long, Counts(100, 100), Counts())
    seen, part, unseen = Counts(observed_s=3600), Counts(observed_s=300), Counts()
    assert is_quiet([judge_row(short, seen, part), remembers])
    assert not is_quiet([judge_row(short, seen, unseen), remembers]), "the last minutes were not seen"
    assert not is_quiet([judge_row(short, unseen, unseen), remembers])
    assert is_quiet([judge_row(short, Counts(0, 10, 3600), part)]), "it failed before nothing came any more"
    assert not is_quiet([judge_row(short, Counts(100, 100, 3600), part)]), "it says ok by itself"
    assert not is_quiet([])


def test_a_look_reads_again_what_is_new_and_not_its_whole_hour() -> None:
    objective = Objective(
        name="a", model="toy", sli=Availability(), target=Decimal("0.99"), window=Rolling(720)
    )
    until = 500 * DAY + 3000
    assert list(steps_of(Asked("a", objective, until - 360, until))) == [(until - 360, until, MINUTE)]
    hours, fives, minutes = steps_of(Asked("a", objective, until - 2 * DAY, until))
    assert (hours[0] % 3600, hours[1], fives[1], minutes[1]) == (0, fives[0], minutes[0], until)


def test_the_budget_is_never_clamped_and_its_end_is_forecast() -> None:
    target = Fraction("0.99")
    budget = judge_budget(target, Counts(995, 1000), period_s=MONTH, recent=Counts(90, 100), recent_s=3600)
    assert budget.remaining == Fraction(1, 2)
    assert budget.burn == 10
    assert budget.exhausted_in == timedelta(days=1.5)
    over = judge_budget(target, Counts(900, 1000), period_s=MONTH, recent=Counts(100, 100), recent_s=3600)
    assert over.remaining == -9
    assert over.exhausted_in == timedelta()
    assert judge_objective([], over) is State.BREACH
    unknown = judge_budget(target, Counts(), period_s=MONTH, recent=Counts(), recent_s=3600)
    assert (unknown.remaining, unknown.burn, unknown.exhausted_in) == (None, None, None)
    assert judge_objective([], unknown) is State.NO_DATA
    assert time_to_exhaustion(Fraction(1), Fraction(0), MONTH) is None
    allowance = over.allowance(target)
    assert allowance is not None
    assert (allowance.used, allowance.so_far, allowance.whole) == (100, 10, 10)
    assert allowance.is_spent and not allowance.is_forecast
    assert unknown.allowance(target) is None


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(st.tuples(st.integers(0, 40 * DAY - 1), st.booleans()), max_size=60),
    excluded=st.lists(st.integers(0, 40 * 24 - 1), max_size=3),
)
def test_slots_grow_with_age_and_keep_every_count(
    events: list[tuple[int, bool]], excluded: list[int]
) -> None:
    now = 40 * DAY
    minutes: dict[tuple[int, bool], Counts] = {}
    for second, good in events:
        start = second // MINUTE * MINUTE
        out = start // 3600 in excluded
        key = (start, out)
        one = Counts(float(good), 1.0, 60.0, 60.0 if out else 0.0)
        minutes[key] = minutes[key] + one if key in minutes else one
    slots = [Slot(start, MINUTE, counts, out) for (start, out), counts in minutes.items()]
    merged = compact(slots, now_s=now)
    assert compact(merged, now_s=now) == merged
    for days in (1, 3, 7, 30):
        edge = now - days * DAY
        assert sum_window(merged, start_s=edge, end_s=now) == sum_window(slots, start_s=edge, end_s=now)
    assert all(one.length_s == 3600 for one in merged if one.end_s <= now - 28 * 3600)


@pytest.mark.parametrize(
    ("at", "hours"),
    [
        ("2026-03-29T12:00+02:00", 23),  # the clock leaps forward in Berlin
        ("2026-10-25T12:00+01:00", 25),
        ("2026-02-10T12:00+01:00", 24),
    ],
)
def test_a_calendar_day_has_the_hours_of_its_zone(at: str, hours: int) -> None:
    window = Calendar("d", datetime(2026, 1, 1), "Europe/Berlin")  # noqa: DTZ001 - a local time
    moment = datetime.fromisoformat(at).astimezone(UTC)
    start, end = window.bounds(moment)
    assert window.length_s(moment) == hours * 3600
    [row] = exact_rows([STANDARD_ROWS[0]], target=Decimal("0.5"), period_s=window.length_s(moment))
    assert row.factor == Fraction("0.02") * hours
    local = start.astimezone(ZoneInfo("Europe/Berlin"))
    assert (local.hour, local.minute) == (0, 0)
    assert (end - start) == timedelta(hours=hours)


def test_events_at_a_month_end_count_for_their_own_month() -> None:
    zone = "America/New_York"
    window = Calendar("M", datetime(2026, 1, 1), zone)  # noqa: DTZ001 - a local time
    last = datetime(2026, 2, 28, 23, 59, tzinfo=ZoneInfo(zone))
    slots = [
        Slot(int(moment.timestamp()), MINUTE, Counts(0, 1)) for moment in (last, last + timedelta(minutes=1))
    ]
    for moment, length in ((last, 28), (last + timedelta(minutes=1), 31)):
        start, end = window.bounds(moment.astimezone(UTC))
        assert sum_window(slots, start_s=start.timestamp(), end_s=end.timestamp()) == Counts(0, 1)
        hours = length * 24 - (1 if length == 31 else 0)  # March loses an hour
        assert window.length_s(moment) == hours * 3600
    rolling = Rolling(28 * 24)
    assert rolling.length_s() == 28 * DAY

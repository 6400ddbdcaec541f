"""Alert rows for any period, what can never fire, and what is warned of."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.slo.burn_rates import Counts, judge_budget
from backend.slo.lint import lint
from backend.slo.objectives import (
    STANDARD_ROWS,
    WINDOW_ROWS,
    AlertRow,
    Availability,
    BadObjective,
    Budgeting,
    BurnRow,
    Latency,
    Objective,
    Quality,
    Queries,
    Sli,
    alert_rows,
    row_can_fire,
)
from backend.slo.sentences import forecast_words, state_words
from backend.slo.windows import Calendar, Rolling, Window
from backend.slo.wording import period_words, row_words, target_words

MONTH = Calendar("M", datetime(2026, 1, 1), "Europe/Berlin")  # noqa: DTZ001 - a local time


def objective(
    target: str = "0.999", window: Window | None = None, sli: Sli | None = None, *,
    rows: tuple[AlertRow, ...] = STANDARD_ROWS, minimum_events: int = 100_000,
) -> Objective:  # fmt: skip
    return Objective(
        name="a", model="m", sli=sli or Availability(), target=Decimal(target), window=window or Rolling(720),
        rows=rows, minimum_events=minimum_events,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("window", "at", "factors"),
    [
        (Rolling(720), None, ["14.4", "6", "3", "1"]),
        (Rolling(672), None, ["13.44", "5.6", "2.8", "0.9333333333333333333333333333"]),
        (Rolling(168), None, ["3.36", "1.4", "0.7", "0.2333333333333333333333333333"]),
        (MONTH, None, ["14.4", "6", "3", "1"]),
        (MONTH, datetime(2026, 2, 3, tzinfo=UTC), ["13.44", "5.6", "2.8", "0.9333333333333333333333333333"]),
        (
            MONTH, datetime(2026, 3, 31, tzinfo=UTC),
            [
                "14.86", "6.191666666666666666666666667", "3.095833333333333333333333333",
                "1.031944444444444444444444444",
            ],
        ),
    ],
)  # fmt: skip
def test_factors_follow_the_length_of_the_period(
    window: Window, at: datetime | None, factors: list[str]
) -> None:
    assert [row.factor for row in alert_rows(objective(window=window), at)] == [
        Decimal(one) for one in factors
    ]


def test_a_factor_that_was_named_holds_in_every_period() -> None:
    rows = (AlertRow("page", 3600, 300, factor=Decimal("14.4")),)
    month, week = (alert_rows(objective(window=Rolling(hours), rows=rows))[0] for hours in (720, 168))
    assert month.factor == week.factor == Decimal("14.4")
    assert (month.budget_share, week.budget_share.quantize(Decimal("0.0001"))) == (
        Decimal("0.02"),
        Decimal("0.0857"),
    )


@given(
    st.integers(2, 500_000), st.integers(1, 500_000), st.integers(1, 9000),
    st.decimals(min_value="0.001", max_value=1, places=3), st.decimals(min_value=0, max_value="0.9999", places=4),
)  # fmt: skip
def test_a_threshold_is_the_correctly_rounded_quotient(
    long_minutes: int, short_minutes: int, hours: int, share: Decimal, target: Decimal
) -> None:
    """So that an error ratio which equals it, computed by one division, is not above it."""
    if short_minutes >= long_minutes or hours > 366 * 24:
        return
    rows = (AlertRow("page", long_minutes * 60, short_minutes * 60, budget_share=share),)
    (row,) = alert_rows(objective(str(target), Rolling(hours), rows=rows))
    exact = Fraction(share) * hours * 60 / long_minutes * (1 - Fraction(target))
    assert row.threshold == Decimal(exact.numerator) / Decimal(exact.denominator)


@pytest.mark.parametrize(("target", "fires"), [("0.93", False), ("0.9305", False), ("0.931", True)])
def test_a_row_whose_threshold_no_ratio_exceeds_is_known(target: str, fires: bool) -> None:
    """14.4x needs a target above 93.06 %."""
    given_ = objective(target)
    assert row_can_fire(alert_rows(given_)[0]) is fires
    found = [one.text for one in lint(given_) if one.rule == "row-never-fires"]
    assert bool(found) is not fires
    if found:
        assert "the row page 1h 5m can never fire" in found[0]
        assert "above 93.06 %" in found[0]


@given(st.fractions(min_value="0.0001", max_value=2))
def test_below_the_count_that_is_told_a_single_failure_trips_a_window(threshold: object) -> None:
    limit = Decimal(str(round(float(threshold), 6)))  # type: ignore[arg-type]
    row = BurnRow("page", 3600, 300, Decimal(1), Decimal("0.1"), limit)
    count = row.single_failure_trips_below
    if count:
        assert 1 / Decimal(count) > limit
    assert not 1 / Decimal(count + 1) > limit


def rules(given_: Objective) -> set[tuple[str, str]]:
    return {(one.level, one.rule) for one in lint(given_)}


def queries(good: str, total: str) -> Queries:
    return Queries(good=good, total=total)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (objective(window=Rolling(360)), {("note", "row-below-budget")}),
        (objective(), {("note", "beyond-retention")}),
        (objective(window=Rolling(48)), {("warning", "row-longer-than-period")}),
        (objective(minimum_events=0), {("warning", "minimum-events")}),
        (objective(minimum_events=20), {("note", "minimum-events")}),
        (objective(minimum_events=70), {("note", "beyond-retention")}),
        (objective(rows=()), {("note", "no-rows")}),
        (objective("0", rows=()), {("warning", "target-0")}),
        (objective(sli=Latency(Decimal(300))), {("error", "off-bucket-edge")}),
        (objective(sli=Latency(Decimal(250))), {("note", "beyond-retention")}),
        (objective(window=MONTH), {("note", "calendar-in-prometheus")}),
        (objective(sli=Quality("auc")), {("warning", "row-without-windows"), ("note", "not-exportable")}),
        (objective(sli=Quality("auc"), rows=WINDOW_ROWS), {("note", "not-exportable")}),
        (objective(sli=queries("sum(x)", "sum(x)")), {("warning", "same-queries")}),
        (
            objective(sli=queries('sum(rate(x{a="b"}[5m]))', 'sum(rate(x{c="d"}[5m]))')),
            {("warning", "good-above-total")},
        ),
        (objective(sli=queries("sum(rate(x[5m]))", 'sum(rate(x{c="d"}[5m]))')), {("warning", "good-above-total")}),
        (objective(sli=Queries(raw="r", raw_type="success")), {("note", "ratio-without-counts")}),
        (
            objective(sli=queries('f(x{c="d"}[{{.window}}])', "f(y[{{.window}}])")), {("note", "minimum-not-exported")},
        ),
    ],
)  # fmt: skip
def test_what_is_most_likely_not_meant_is_told(given_: Objective, expected: set[tuple[str, str]]) -> None:
    assert expected <= rules(given_)


def test_an_objective_in_order_is_told_nothing() -> None:
    assert not rules(objective("0.999", Rolling(360), rows=STANDARD_ROWS[:2]))
    narrower = queries('sum(rate(x{a="1",c="d"}[{{.window}}]))', 'sum(rate(x{c="d"}[{{.window}}]))')
    assert not rules(objective("0.999", Rolling(360), narrower, rows=STANDARD_ROWS[:2]))


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(BadObjective, match="leaves no budget"):
        objective("1")
    with pytest.raises(BadObjective, match="either a share of the budget or a factor"):
        AlertRow("page", 3600, 300)
    with pytest.raises(BadObjective, match="windows or looks, which are slices already"):
        Objective(
            "a",
            "m",
            Quality("auc"),
            Decimal("0.9"),
            Rolling(720),
            budgeting=Budgeting.RATIO_TIMESLICES,
            slice_s=60,
        )


def test_rows_and_targets_in_words() -> None:
    monthly, weekly, never = objective(window=MONTH), objective(window=Rolling(168)), objective("0.5")
    assert row_words(alert_rows(monthly)[0], monthly) == (
        "pages when more than 1.44 % are bad over 1 hour and over 5 minutes: 14.4x what the budget allows, "
        "which spends 2 % of the month's budget in 1 hour"
    )
    assert (
        row_words(alert_rows(never)[0], never)
        == "never page: 14.4x what the budget allows is 720 % of all events"
    )
    assert period_words(weekly) == "the 7 days'"
    assert target_words(weekly) == "99.9 % over any 7 days"
    assert target_words(monthly) == "99.9 % in each month, by the clocks of Europe/Berlin"


def test_how_long_a_budget_lasts_in_words() -> None:
    monthly = objective(window=MONTH)
    period = Counts(good=15_600_000 - 7290, total=15_600_000)
    hour = Counts(good=41_000 - 312, total=41_000)
    budget = judge_budget(Fraction("0.999"), period, period_s=30 * 86_400, recent=hour, recent_s=3600)
    assert state_words(monthly, budget, hour, 3600) == (
        "at this rate the month's budget is gone in 2.1 days; 2 % of it went in the last hour; "
        "312 of 41,000 requests failed"
    )
    late = judge_budget(
        Fraction("0.999"), period, period_s=30 * 86_400, recent=hour, recent_s=3600, left_s=2 * 86_400
    )
    assert forecast_words(monthly, late) == "at this rate the month's budget lasts"
    gone = judge_budget(Fraction("0.999"), hour, period_s=7 * 86_400, recent=hour, recent_s=3600)
    assert (
        forecast_words(objective(window=Rolling(168)), gone)
        == "the 7 days' budget is gone: 312 bad of 41 allowed"
    )


def test_a_budget_early_in_its_calendar_period_is_told_as_the_forecast_that_it_is() -> None:
    """One day of thirty has passed: 9 of 1,000 failed, where 30,000 requests would allow 30."""
    monthly = objective(window=MONTH)
    few, many = Counts(991, 1000), Counts(900, 1000)
    early = {"period_s": 30 * 86_400, "recent_s": 3600, "left_s": 29 * 86_400}
    ahead = judge_budget(Fraction("0.999"), few, recent=few, **early)  # type: ignore[arg-type]
    assert ahead.remaining == -8, "what is stored is not clamped"
    assert state_words(monthly, ahead, few, 3600) == (
        "the month's budget is not gone: 9 bad so far of about 30 that all of it allows, a forecast by what came so "
        "far; what came so far allows 1; 30 % of it went in the last hour; 9 of 1,000 requests failed"
    )
    spent = judge_budget(Fraction("0.999"), many, recent=many, **early)  # type: ignore[arg-type]
    assert forecast_words(monthly, spent) == (
        "the month's budget is gone unless more comes: 100 bad so far of about 30 that all of it allows, a forecast by "
        "what came so far"
    )
    over = judge_budget(Fraction("0.999"), many, period_s=30 * 86_400, recent=many, recent_s=3600, left_s=0.0)
    assert forecast_words(monthly, over) == "the month's budget is gone: 100 bad of 1 allowed"
    exact = judge_budget(
        Fraction("0.99"), Counts(990, 1000), period_s=30 * 86_400, recent=many, recent_s=3600
    )
    assert exact.remaining == 0
    assert "is gone: 10 bad of 10 allowed" in forecast_words(objective("0.99", MONTH), exact)

"""What the state of an objective says in words: how long the budget lasts, what went lately, of how many events."""

from __future__ import annotations

import math
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING

from backend.slo.burn_rates import Budget, Counts, JudgedRow, judge_budget
from backend.slo.objectives import Kind, Objective
from backend.slo.wording import period_words, span_words

if TYPE_CHECKING:
    from backend.slo.evaluation import Judged

_EVENTS = {
    Kind.AVAILABILITY: ("requests", "failed"), Kind.LATENCY: ("requests", "were too slow"),
    Kind.FRESHNESS: ("looks", "found it too old"), Kind.COMPLETENESS: ("windows", "were incomplete"),
    Kind.QUALITY: ("windows", "were out of bounds"), Kind.QUERIES: ("events", "were bad"),
    Kind.THRESHOLD: ("looks", "were out of bounds"),
}  # fmt: skip


def events_words(objective: Objective, counts: Counts) -> str:
    """`312 of 41,000 requests failed`."""
    noun, verb = _EVENTS[objective.sli.kind]
    return f"{_count(float(counts.bad))} of {_count(counts.total)} {noun} {verb}"


def forecast_words(objective: Objective, budget: Budget) -> str:
    """How long the budget lasts at its present burn."""
    period = f"{period_words(objective)} budget"
    if budget.remaining is None:
        return "nothing was counted in the period yet"
    if budget.remaining <= 0:
        return allowance_words(objective, budget)
    if budget.burn is None:
        return f"no event in the last {span_words(budget.burn_window_s)}, so there is no rate to go by"
    if budget.exhausted_in is None:
        return f"nothing of {period} went in the last {span_words(budget.burn_window_s)}"
    if budget.outlasts:
        return f"at this rate {period} lasts"
    return f"at this rate {period} is gone in {span_words(budget.exhausted_in.total_seconds())}"


def allowance_words(objective: Objective, budget: Budget) -> str:
    """How many bad events the whole period allows, how many were used, and whether that is the fact or a forecast.

    Early in a period of the calendar a few bad events are more than the events so far allow, and the budget of the
    whole period is far from gone.
    """
    found = budget.allowance(Fraction(objective.target))
    if found is None:
        return "nothing was counted in the period yet"
    budget_of_it, used, whole = f"{period_words(objective)} budget", _count(found.used), _allowed(found.whole)
    if not found.is_forecast:
        if found.used >= found.whole:
            return f"{budget_of_it} is gone: {used} bad of {whole} allowed"
        return f"{used} bad of the {whole} that {budget_of_it} allows"
    forecast = f"{used} bad so far of about {whole} that all of it allows, a forecast by what came so far"
    if found.is_spent:
        return f"{budget_of_it} is gone unless more comes: {forecast}"
    return f"{budget_of_it} is not gone: {forecast}; what came so far allows {_allowed(found.so_far)}"


def quiet_words(objective: Objective, since: datetime) -> str:
    """No request is no failure; said, so that nobody takes the last figures for those of now."""
    return f"no {_EVENTS[objective.sli.kind][0]} since {since:%Y-%m-%d %H:%M} UTC"


def state_words(objective: Objective, budget: Budget, window: Counts, window_s: int) -> str:
    """`at this rate … is gone in 2.1 days; 2 % of it went in the last hour; 312 of 41,000 requests failed`."""
    parts = [forecast_words(objective, budget)]
    allowed = budget.allowance(Fraction(objective.target))
    if allowed is not None and not allowed.is_spent and allowed.whole > 0 and window.total > 0:
        spent = window.bad / Fraction(allowed.whole)
        parts.append(f"{_percent(spent)} of it went in the last {span_words(window_s).removeprefix('1 ')}")
    if budget.period.total > 0:
        parts.append(events_words(objective, window if window.total > 0 else budget.period))
    return "; ".join(parts)


def alert_sentence(judged: Judged, worst: JudgedRow) -> str:
    """The title of an alert about a budget that burns too fast."""
    objective, row = judged.objective, worst.row
    said = state_words(objective, _at_rate(judged, worst), worst.long, row.long_s)
    burn = float(row_burn(judged, worst))
    return f"{objective.title or objective.name}: its budget burns {burn:.1f} times too fast; {said}"


def row_burn(judged: Judged, row: JudgedRow) -> Fraction:
    """How many times faster than allowed the budget burnt in a row's long window."""
    return (row.long.error or Fraction(0)) / (1 - Fraction(judged.objective.target))


def _at_rate(judged: Judged, worst: JudgedRow) -> Budget:
    return judge_budget(
        Fraction(judged.objective.target), judged.budget.period, period_s=judged.budget.period_s,
        recent=worst.long, recent_s=worst.row.long_s, left_s=judged.budget.left_s,
    )  # fmt: skip


def absent_sentence(judged: Judged, problem: str, since: datetime) -> str:
    """The title of an alert about an objective that nothing is known of any more."""
    name = judged.objective.title or judged.objective.name
    why = f": {problem}" if problem else ""
    return f"{name}: nothing was seen of what it counts since {since:%Y-%m-%d %H:%M UTC}{why}"


def _count(number: float) -> str:
    return f"{number:,.0f}" if abs(number - round(number)) < 0.05 else f"{number:,.1f}"


def _allowed(number: float) -> str:
    """Whole events: a part of one allows none."""
    return f"{math.floor(number + 1e-9):,}" if number >= 1 or number <= 0 else "less than 1"


def _percent(share: Fraction) -> str:
    percent = float(share * 100)
    return f"{percent:,.0f} %" if percent >= 10 else f"{percent:.2g} %"

"""What pages and the API say of objectives: how each stands, how its budget went, what a past month came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final

from sqlalchemy import or_, select

from backend import clock
from backend.alerting.service import fingerprint
from backend.alerting.tables import Alert
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.slo.budget_history import (
    BudgetPoint,
    MonthReport,
    budget_series,
    last_month,
    month_bounds,
    report_month,
    zone_of,
)
from backend.slo.burn_rates import Budget, Counts, time_to_exhaustion
from backend.slo.counting import moment, totals_by_step
from backend.slo.left_out import LeftOut, left_out
from backend.slo.maintenance import list_maintenance
from backend.slo.objectives import Objective
from backend.slo.objectives_service import (
    KIND,
    get_objective,
    known_objective,
    objective_of,
    worst_objectives,
)
from backend.slo.sentences import events_words, forecast_words, quiet_words, state_words
from backend.slo.slots import HOUR, MINUTE, length_at
from backend.slo.tables import Maintenance, ObjectiveRevision, ObjectiveState

DAY: Final = 86_400
SPARK_DAYS: Final = 30
HISTORY_DAYS: Final = 60
STEPS_S: Final = (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY)
MOST_STEPS: Final = 250
"""Of a range as many steps are read at most, where a day is not too short for that."""


@dataclass(frozen=True)
class Standing:
    """How one objective stands. Without `state` it has not been judged yet. `spark`: its budget day by day."""

    revision: ObjectiveRevision
    objective: Objective
    state: ObjectiveState | None
    says: str
    spark: tuple[float | None, ...]

    @property
    def word(self) -> str:
        return "no_data" if self.state is None else self.state.state


@dataclass(frozen=True)
class Detail:
    """One objective with everything that explains how it stands."""

    standing: Standing
    history: tuple[BudgetPoint, ...]
    maintenance: tuple[Maintenance, ...]  # declared for objectives, also what was withdrawn
    left_out: tuple[LeftOut, ...]  # all that does not count, planned work too
    past_month: MonthReport
    this_month: MonthReport
    alerts: tuple[Alert, ...]  # those that fired at any time of the history


def step_of(since: datetime, until: datetime, now: datetime) -> int:
    """The shortest step, in seconds, in which a range has no more than `MOST_STEPS`, and which is no shorter than the
    counts of its beginning are stored by now: those of an hour say nothing of its minutes."""
    stored = length_at((now - since).total_seconds())
    span = (until - since).total_seconds()
    return next((one for one in STEPS_S if one >= stored and span / one <= MOST_STEPS), DAY)


def list_standings(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    environment: str | None = None,
    state: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[Standing]:
    """Objectives that the viewer may see, those in danger first. One whose stored text does not read is left out: its
    alert tells of it (`backend.slo.evaluation`)."""
    found = worst_objectives(
        session, viewer, model=model, environment=environment, state=state, limit=limit, offset=offset
    )
    rows = [row for row in found if known_objective(row) is not None]
    now = clock.now()
    states = {
        one.objective: one
        for one in session.scalars(
            select(ObjectiveState).where(ObjectiveState.objective.in_([row.key for row in rows]))
        )
    }
    sparks = _sparks(session, rows, now)
    return [standing_of(row, states.get(row.key), sparks.get(row.key, ())) for row in rows]


def read_detail(
    session: ReadSession,
    viewer: Actor,
    key: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    step_s: int | None = None,
) -> Detail:
    """One objective, its history from `since` to `until` in steps (without them `HISTORY_DAYS` in steps of six hours),
    and the calendar month before this one. What holds now is of now whatever the range."""
    row = get_objective(session, viewer, key)
    objective, now = objective_of(row), clock.now()
    state = session.get(ObjectiveState, key)
    usual = now - timedelta(days=HISTORY_DAYS)
    end = min(until or now, now)
    begin = min(since or end - timedelta(days=HISTORY_DAYS), end)
    step_s = step_s or 6 * HOUR
    zone = zone_of(objective)
    past = last_month(now, zone)
    months = totals_by_step(session, [key], since_s=int(past[0].timestamp()), step_s=HOUR)[key]
    of_months = _alerts_of(session, row, since=past[0], until=now)
    fired = [(one.level, one.fired_at, one.resolved_at) for one in of_months]
    maintenance = list_maintenance(
        session, viewer, model=row.model, environment=row.environment, objective=key, since=usual
    )
    return Detail(
        standing_of(row, state, _sparks(session, [row], now)[key]),
        _history(session, key, objective, begin=begin, end=end, step_s=step_s),
        tuple(maintenance),
        tuple(one for one in left_out(session, {key: objective})[key] if one.ends_at >= min(begin, usual)),
        report_month(objective, months, past, fired, until=now),
        report_month(objective, months, month_bounds(now, zone), fired, until=now),
        tuple(_alerts_of(session, row, since=begin, until=end)),
    )


def _history(
    session: ReadSession, key: str, objective: Objective, *, begin: datetime, end: datetime, step_s: int
) -> tuple[BudgetPoint, ...]:
    """Each step needs what was counted in the whole period that ends there."""
    first, _ = objective.window.bounds(begin)
    steps = totals_by_step(
        session, [key], since_s=int(min(first, begin).timestamp()) // step_s * step_s,
        until_s=int(end.timestamp()), step_s=min(step_s, HOUR),
    )[key]  # fmt: skip
    return tuple(budget_series(objective, steps, step_s=step_s, start=_began(steps, begin), end=end))


def budget_of(objective: Objective, state: ObjectiveState) -> Budget:
    """The stored judgement of a budget as a value."""
    figures = state.figures
    period = counts_of(figures.get("period"))
    recent_s = int(figures.get("burn_window_s", HOUR))
    recent = counts_of(figures.get("windows", {}).get(str(recent_s)))
    allowed = 1 - Fraction(objective.target)
    remaining = None if period.error is None else 1 - period.error / allowed
    burn = None if recent.error is None else recent.error / allowed
    period_s = float(figures.get("period_s", objective.window.length_s()))
    lasts = time_to_exhaustion(remaining, burn, period_s)
    return Budget(period, period_s, remaining, burn, recent_s, lasts, figures.get("left_s"))


def counts_of(found: Mapping[str, Any] | None) -> Counts:
    return Counts(**found) if found else Counts()


def standing_of(
    row: ObjectiveRevision, state: ObjectiveState | None, spark: tuple[float | None, ...] = ()
) -> Standing:
    """One objective as it was last judged, and what that says in words."""
    objective = objective_of(row)
    if state is None or state.judged_at is None:
        return Standing(row, objective, state, "it is judged for the first time within a minute", spark)
    budget = budget_of(objective, state)
    hour = counts_of(state.figures.get("windows", {}).get(str(HOUR)))
    if budget.period.total <= 0:
        says = state.problem or forecast_words(objective, budget)
    elif hour.total > 0:
        says = state_words(objective, budget, hour, HOUR)
    else:
        says = f"{forecast_words(objective, budget)}; {events_words(objective, budget.period)}"
    if state.figures.get("quiet_since"):
        says = f"{quiet_words(objective, clock.from_iso(state.figures['quiet_since']))}; {says}"
    return Standing(row, objective, state, says, spark)


def _sparks(
    session: ReadSession, rows: Sequence[ObjectiveRevision], now: datetime
) -> dict[str, tuple[float | None, ...]]:
    """The remaining budget of the last days, one value a day; none before anything was counted."""
    if not rows:
        return {}
    longest = max(objective_of(row).window.length_s(now) for row in rows)
    since = int(now.timestamp()) - longest - SPARK_DAYS * DAY
    steps = totals_by_step(session, [row.key for row in rows], since_s=since, step_s=DAY)
    first = now - timedelta(days=SPARK_DAYS)
    return {
        row.key: tuple(
            point.remaining
            for point in budget_series(objective_of(row), steps[row.key], step_s=DAY, start=first, end=now)
        )
        for row in rows
    }


def _began(steps: Mapping[int, Counts], earliest: datetime) -> datetime:
    """A history begins where something was counted, so that it does not show weeks of nothing."""
    seen = [at for at, counts in steps.items() if counts.total > 0]
    return max(earliest, moment(min(seen))) if seen else earliest


def _alerts_of(
    session: ReadSession, row: ObjectiveRevision, *, since: datetime, until: datetime
) -> list[Alert]:
    """Alerts by an objective that fired at any time of a span, newest first."""
    mine = [
        fingerprint(row.model, row.environment, KIND, f"{row.key}/{level}") for level in ("page", "ticket")
    ]
    query = (
        select(Alert)
        .where(
            Alert.fingerprint.in_(mine), Alert.fired_at < until,
            or_(Alert.resolved_at.is_(None), Alert.resolved_at >= since),
        )
        .order_by(Alert.fired_at.desc())
        .limit(200)
    )  # fmt: skip
    return list(session.scalars(query))

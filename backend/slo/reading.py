"""What pages and the API say of objectives: how each stands, how its budget went, what a past month came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final

from sqlalchemy import select

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
from backend.slo.slots import HOUR
from backend.slo.tables import Maintenance, ObjectiveRevision, ObjectiveState

DAY: Final = 86_400
SPARK_DAYS: Final = 30
HISTORY_DAYS: Final = 60


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
    alerts: tuple[Alert, ...]


def list_standings(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    environment: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[Standing]:
    """Objectives that the viewer may see, those in danger first. One whose stored text does not read is left out: its
    alert tells of it (`backend.slo.evaluation`)."""
    found = worst_objectives(
        session, viewer, model=model, environment=environment, limit=limit, offset=offset
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


def read_detail(session: ReadSession, viewer: Actor, key: str) -> Detail:
    """One objective, its budget hour by hour, and the calendar month before this one."""
    row = get_objective(session, viewer, key)
    objective, now = objective_of(row), clock.now()
    state = session.get(ObjectiveState, key)
    zone = zone_of(objective)
    past = last_month(now, zone)
    since = min(past[0], now - timedelta(days=HISTORY_DAYS)) - timedelta(
        seconds=objective.window.length_s(now)
    )
    steps = totals_by_step(session, [key], since_s=int(since.timestamp()), step_s=HOUR)[key]
    points = budget_series(
        objective, steps, step_s=6 * HOUR, start=_began(steps, now - timedelta(days=HISTORY_DAYS)), end=now
    )
    alerts = _alerts_of(session, row)
    fired = [(one.level, one.fired_at, one.resolved_at) for one in alerts]
    return Detail(
        standing_of(row, state, tuple(point.remaining for point in points[-4 * SPARK_DAYS :: 4])),
        tuple(points),
        tuple(
            list_maintenance(
                session, viewer, model=row.model, environment=row.environment, objective=key,
                since=now - timedelta(days=HISTORY_DAYS),
            )
        ),
        tuple(
            one for one in left_out(session, {key: objective})[key]
            if one.ends_at >= now - timedelta(days=HISTORY_DAYS)
        ),
        report_month(objective, steps, past, fired, until=now),
        report_month(objective, steps, month_bounds(now, zone), fired, until=now),
        tuple(alerts),
    )  # fmt: skip


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


def _alerts_of(session: ReadSession, row: ObjectiveRevision) -> list[Alert]:
    """Every alert that fired by an objective, newest first."""
    mine = [
        fingerprint(row.model, row.environment, KIND, f"{row.key}/{level}") for level in ("page", "ticket")
    ]
    query = select(Alert).where(Alert.fingerprint.in_(mine)).order_by(Alert.fired_at.desc()).limit(200)
    return list(session.scalars(query))

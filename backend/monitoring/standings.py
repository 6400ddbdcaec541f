"""How each model stands by its windows, kept when they are judged: lists of hundreds of models read one row of each.

What is kept is what `health` says while no alert fires. Alerts, what serves and how old the newest window is are
asked when a list is read, so none of these is ever older than the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import and_, or_, select

from backend import clock
from backend.database.session import ReadSession, WriteSession
from backend.deployment.tables import Deployment
from backend.identity.actor import system_actor
from backend.monitoring.columns import parse_spec
from backend.monitoring.health import ModelHealth, health_by_windows, stale_at
from backend.monitoring.performance.registry import DEFINITIONS, unit_of
from backend.monitoring.tables import ATTRIBUTION, MetricPoint, ModelStanding, WindowState
from backend.registry.tables import Model

READER: Final = system_actor("standings")
MOST_AT_ONCE: Final = 100
_LONGEST: Final = timedelta(days=32)  # a window, at most
_GRAVITY: Final = {"page": 0, "ticket": 1}


def keep_standings(session: WriteSession, models: Sequence[Model], environment: str) -> None:
    """Write down how these models stand now. What is not described has no windows, and is left out."""
    described = [one for one in models if one.described]
    session.flush()
    for model, health in zip(
        described, health_by_windows(session, READER, described, environment), strict=True
    ):
        figure = _figure(session, model, health, environment)
        row = session.get(ModelStanding, (model.name, environment))
        if row is None:
            row = ModelStanding(model=model.name, environment=environment)
        _write(row, health, figure)
        session.add(row)
    session.flush()


def models_without_standing(session: ReadSession, environment: str) -> list[Model]:
    """Models that serve and of which none is kept, or one of another champion; `MOST_AT_ONCE` of them."""
    serving = and_(
        Deployment.model == Model.name, Deployment.environment == environment, Deployment.role == "champion",
        Deployment.ended_at.is_(None),
    )  # fmt: skip
    kept = and_(ModelStanding.model == Model.name, ModelStanding.environment == environment)
    query = (
        select(Model)
        .join(Deployment, serving)
        .outerjoin(ModelStanding, kept)
        .where(or_(ModelStanding.model.is_(None), ModelStanding.version.is_distinct_from(Deployment.version)))
        .order_by(Model.name)
        .limit(MOST_AT_ONCE)
    )
    return [one for one in session.scalars(query) if one.described]


def _write(row: ModelStanding, health: ModelHealth, figure: dict[str, Any]) -> None:
    row.version, row.level, row.word = health.version, health.level, health.word
    row.because, row.since = health.because, health.since
    row.last_end, row.stale_at = health.last_end, stale_at(health.last_end, health.window)
    row.metric, row.unit, row.value = health.metric, health.unit, health.value
    row.estimated, row.figure, row.history = health.estimated, figure, [list(one) for one in health.history]
    row.rows, row.completeness = health.rows, health.completeness
    row.computed_at, row.kept_at = health.computed_at, clock.now()


def _figure(session: ReadSession, model: Model, health: ModelHealth, environment: str) -> dict[str, Any]:
    """The figure furthest beyond its limit in the newest window and the last judged one, the gravest first; where
    none is, the primary metric's."""
    if health.last_end is None:
        return {}
    earliest = min(one for one in (health.window_start, health.last_end - _LONGEST) if one is not None)
    found = session.execute(
        select(
            MetricPoint.kind, MetricPoint.statistic, MetricPoint.column, MetricPoint.value, MetricPoint.threshold,
            MetricPoint.reference_value, MetricPoint.verdict, MetricPoint.level, WindowState.start,
        )
        .join(WindowState, WindowState.id == MetricPoint.window_id)
        .where(
            WindowState.model == model.name, WindowState.environment == environment,
            WindowState.size == health.window, WindowState.start >= earliest,
            or_(WindowState.start == health.window_start, WindowState.end == health.last_end),
            MetricPoint.segment == "", MetricPoint.kind != ATTRIBUTION, MetricPoint.value.is_not(None),
        )
        .order_by(MetricPoint.kind, MetricPoint.column, MetricPoint.statistic)
    ).all()  # fmt: skip
    alarms = [
        one for one in found if one.verdict == "alarm" and one.level in _GRAVITY and one.threshold is not None
    ]
    kinds = ("estimated",) if health.estimated else ("realised",)
    own = [
        one
        for one in found
        if one.kind in kinds and one.statistic == health.metric and one.start == health.window_start
    ]
    shown = min(alarms, key=_worst_first) if alarms else next(iter(own), None)
    if shown is None:
        return {}
    unit = unit_of(shown.statistic, parse_spec(model.spec)) if shown.statistic in DEFINITIONS else ""
    return {
        "statistic": shown.statistic, "column": shown.column, "value": shown.value, "threshold": shown.threshold,
        "unit": unit,
    }  # fmt: skip


def _worst_first(point: Any) -> tuple[int, float]:
    """Pages first, then by how many times the room up to the limit the value went beyond it."""
    room = abs(point.threshold - (point.reference_value or 0.0)) or 1.0
    return _GRAVITY[point.level], -abs(point.value - point.threshold) / room

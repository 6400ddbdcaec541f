"""Freshness, completeness and model quality, from the windows and figures that monitoring stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Select, func, or_, select

from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.monitoring.columns import parse_spec
from backend.monitoring.fairness import KIND as FAIRNESS
from backend.monitoring.fairness.measures import needs_labels
from backend.monitoring.tables import JUDGED, MetricPoint, WindowState
from backend.registry.service import get_model
from backend.slo.burn_rates import Counts
from backend.slo.counting import moment
from backend.slo.objectives import Completeness, Freshness, Objective, Quality
from backend.slo.slots import MINUTE, Slot, floor_to
from backend.slo.sources import STORE, Asked, Reading

TOLD_LATER = 30
"""So many windows have figures that other jobs add to them, at most."""
_BATCH = 500
_FIRST = ("realised", "estimated")  # of one statistic that several kinds have, the first of these speaks


def count_stored(session: ReadSession, viewer: Actor, asked: Asked) -> Reading:
    """The events of an objective that is about stored figures.

    Freshness is looked at now: one event for the last minute of the span. Windows are events of the minute in which
    they end, read whenever they were computed in the span.
    """
    sli = asked.objective.sli
    if isinstance(sli, Freshness):
        return _look(session, asked, sli)
    if isinstance(sli, Completeness | Quality):
        return _count_windows(session, viewer, asked, sli)
    return Reading((), STORE, f"nothing stored answers an objective of {sli.kind}")


def _look(session: ReadSession, asked: Asked, sli: Freshness) -> Reading:
    now_s = floor_to(asked.until_s, MINUTE)
    newest = newest_of(session, asked.objective, sli.of)
    if newest is None:
        return Reading((), STORE, f"{asked.objective.model} has no {sli.of} yet")
    age_s = now_s - min(newest.timestamp(), now_s)
    counts = Counts(float(age_s <= sli.limit_s), 1.0, float(MINUTE))
    return Reading((Slot(now_s - MINUTE, MINUTE, counts),), STORE)


def newest_of(session: ReadSession, objective: Objective, of: str) -> datetime | None:
    """When the newest metrics were computed, or the end of the newest window that has labels."""
    about = (WindowState.model == objective.model, WindowState.environment == objective.environment)
    if of == "metrics":
        return session.scalar(select(func.max(WindowState.computed_at)).where(*about))
    return session.scalar(select(func.max(WindowState.end)).where(*about, WindowState.labels_known > 0))


def _count_windows(session: ReadSession, viewer: Actor, asked: Asked, sli: Completeness | Quality) -> Reading:
    objective = asked.objective
    spec = parse_spec(get_model(session, viewer, objective.model).spec)
    size = sli.size or spec.window
    since = moment(asked.since_s)
    mine = (
        WindowState.model == objective.model, WindowState.environment == objective.environment,
        WindowState.size == size, WindowState.state != "open", WindowState.rows > 0,
    )  # fmt: skip
    told = WindowState.computed_at >= since
    if isinstance(sli, Quality):
        newest = select(WindowState.id).where(*mine).order_by(WindowState.start.desc()).limit(TOLD_LATER)
        told = or_(told, WindowState.id.in_(_told_later(session, sli, newest, since)))
    windows = session.scalars(
        select(WindowState).where(
            *mine, told, WindowState.end > moment(_reach(asked)), WindowState.end <= moment(asked.until_s)
        )
    ).all()
    if isinstance(sli, Completeness):
        judged = {
            window.id: Decimal(window.labels_known) >= sli.at_least * (window.rows - window.labels_absent)
            for window in windows
            if window.labelled_at is not None and window.rows > window.labels_absent
        }
    else:
        judged = _judged(session, sli, windows)
    events: dict[int, Counts] = {}
    for window in windows:  # one that is not judged any more takes back what it was counted as
        end_s = floor_to(window.end.timestamp(), MINUTE)
        event = Counts(float(judged[window.id]), 1.0, float(MINUTE)) if window.id in judged else Counts()
        events[end_s] = events.get(end_s, Counts()) + event
    slots = (Slot(end_s - MINUTE, MINUTE, counts) for end_s, counts in sorted(events.items()))
    return Reading(tuple(slots), STORE)


def _told_later(session: ReadSession, sli: Quality, newest: Select[int], since: datetime) -> Sequence[int]:
    """Windows whose figure came since, by a job of its own that follows the window's: joint drift, attributions."""
    return session.scalars(
        select(MetricPoint.window_id).where(
            MetricPoint.window_id.in_(newest), MetricPoint.segment == sli.segment, MetricPoint.column == sli.column,
            MetricPoint.statistic == sli.metric, MetricPoint.computed_at >= since,
        )
    ).all()  # fmt: skip


def _reach(asked: Asked) -> int:
    """Windows that end before this count for no period any more."""
    return asked.until_s - 400 * 86_400


def _judged(session: ReadSession, sli: Quality, windows: Iterable[WindowState]) -> dict[int, bool]:
    """{window: whether its figure is inside the bounds}; a window whose figure is not known is left out."""
    by_id = {window.id: window for window in windows}
    ids = list(by_id)
    found: dict[int, list[MetricPoint]] = {}
    for first in range(0, len(ids), _BATCH):
        query = select(MetricPoint).where(
            MetricPoint.window_id.in_(ids[first : first + _BATCH]), MetricPoint.statistic == sli.metric,
            MetricPoint.column == sli.column, MetricPoint.segment == sli.segment,
        )  # fmt: skip
        if sli.points:
            query = query.where(MetricPoint.kind == sli.points)
        for point in session.scalars(query):
            window = by_id[point.window_id]
            of_labels = point.kind == "realised" or (point.kind == FAIRNESS and needs_labels(point.statistic))
            if not of_labels or window.labelled_at is not None:
                found.setdefault(point.window_id, []).append(point)
    judged: dict[int, bool] = {}
    for window_id, points in found.items():
        points.sort(key=lambda one: _FIRST.index(one.kind) if one.kind in _FIRST else len(_FIRST))
        verdicts = (_inside(sli, point) for point in points)
        known = next((one for one in verdicts if one is not None), None)
        if known is not None:
            judged[window_id] = known
    return judged


def _inside(sli: Quality, point: MetricPoint) -> bool | None:
    if sli.at_least is None and sli.at_most is None:
        return point.verdict == "ok" if point.verdict in JUDGED else None
    if point.value is None:
        return None
    if point.kind == FAIRNESS:
        return _all_inside(sli, point)
    value = Decimal(repr(point.value))
    return (sli.at_least is None or value >= sli.at_least) and (sli.at_most is None or value <= sli.at_most)


def _all_inside(sli: Quality, point: MetricPoint) -> bool | None:
    """By the whole interval of a gap or rate of groups; None where a bound lies within it."""
    if point.low is None or point.high is None:
        return None
    low, high = Decimal(repr(point.low)), Decimal(repr(point.high))
    if (sli.at_least is not None and high < sli.at_least) or (sli.at_most is not None and low > sli.at_most):
        return False
    inside = (sli.at_least is None or low >= sli.at_least) and (sli.at_most is None or high <= sli.at_most)
    return True if inside else None

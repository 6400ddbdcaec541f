"""Drift of attributions as stored figures: read by alerts and monitors as any other figure of a window is.

`ndcg` of a window, and of each of its segments, is judged: an alarm only where its whole 95 % interval lies below
`MOVED`. `rank_change` of each column, how many places it moved, has no verdict of its own; a monitor may look at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import WriteSession
from backend.explain.figures import MOVED, ndcg, ndcg_interval, rank_changes
from backend.explain.tables import AttributionWindow, ShapSummary
from backend.explain.windows import NEWEST
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.monitoring.columns import ModelSpec
from backend.monitoring.evaluate import Point
from backend.monitoring.service import point_row
from backend.monitoring.tables import ATTRIBUTION, MetricPoint, WindowState

LEAST_ROWS: Final = 20
"""Of fewer explained rows nothing is said."""


def store_attribution_points(
    session: WriteSession, actor: Actor, *, model: str, environment: str, spec: ModelSpec
) -> int:
    """The figures of the newest explained windows that lack them, or whose explanations, or whose version's own, were
    computed since; gives the number of windows. A version that is not explained on its reference says nothing."""
    allow(session, actor, Permission.COMPUTE_METRICS)
    stored = 0
    summaries: dict[int, ShapSummary | None] = {}
    for window, leanings in _explained(session, model, environment, spec):
        number = leanings[0].version
        summary = summaries.setdefault(number, session.get(ShapSummary, (model, number)))
        if summary is None:
            continue
        mine = (MetricPoint.window_id == window.id, MetricPoint.kind == ATTRIBUTION)
        before = session.scalars(select(MetricPoint).where(*mine)).all()
        since = max(summary.computed_at, *(one.computed_at for one in leanings))
        if before and min(one.computed_at for one in before) >= since:
            continue
        points = [point for one in leanings for point in attribution_points(summary, one)]
        if points:
            session.execute(delete(MetricPoint).where(*mine))
            _insert(session, window, points, before)
            _record(session, actor, window, points)
            stored += 1
    return stored


def attribution_points(summary: ShapSummary, leaning: AttributionWindow) -> list[Point]:
    """What one window, or one segment of it, says beside the version's own explanation; empty for too few rows."""
    if leaning.rows < LEAST_ROWS:
        return []
    reference, now = (
        {str(one["column"]): float(one["mean_abs"]) for one in columns}
        for columns in (summary.features, leaning.columns)
    )
    value = ndcg(reference, now)
    if value is None:
        return []
    low, high = ndcg_interval(summary.features, leaning.columns)
    verdict = "alarm" if high < MOVED else "ok" if low >= MOVED else "inconclusive"
    moved = rank_changes(reference, now)
    whole = Point(
        None, "ndcg", "attribution", value, MOVED, verdict, summary.rows, leaning.rows,  # type: ignore[arg-type]
        _sentence(leaning, moved, value, low, high),
        f"the interval holds {MOVED:.2f}" if verdict == "inconclusive" else None, low, high,
        "ticket" if verdict == "alarm" else None, {"reference": 1.0, "limit": {"below": True}}, leaning.segment,
    )  # fmt: skip
    return [whole, *(_rank_point(summary, leaning, one) for one in moved)]


def _rank_point(summary: ShapSummary, leaning: AttributionWindow, one: Mapping[str, Any]) -> Point:
    return Point(
        one["column"], "rank_change", "attribution", float(abs(one["moved"])), None, "inconclusive", summary.rows,
        leaning.rows, f"{one['column']}: place {one['now']}, on the reference {one['before']}",
        "one column is not judged; the order of all of them is", segment=leaning.segment,
    )  # fmt: skip


def _sentence(
    leaning: AttributionWindow, moved: Sequence[Mapping[str, Any]], value: float, low: float, high: float
) -> str:
    where = f" where {leaning.segment}" if leaning.segment else ""
    farthest = moved[0]
    told = (
        f"{farthest['column']} went from place {farthest['before']} to {farthest['now']}"
        if farthest["moved"]
        else "no column changed places"
    )
    return (
        f"what version {leaning.version} leans on{where}: {told} (NDCG {value:.2f}, 95 % {low:.2f} to {high:.2f}; at "
        f"least {MOVED:.2f} is asked)"
    )


def _explained(
    session: WriteSession, model: str, environment: str, spec: ModelSpec
) -> list[tuple[WindowState, list[AttributionWindow]]]:
    """The newest windows of the trend's size of which rows are explained, with what is stored of each segment."""
    mine = (
        AttributionWindow.model == model, AttributionWindow.environment == environment, AttributionWindow.rows > 0,
    )  # fmt: skip
    newest = select(AttributionWindow.start).where(*mine, AttributionWindow.segment == "")
    starts = session.scalars(newest.order_by(AttributionWindow.start.desc()).limit(NEWEST)).all()
    by_start: dict[datetime, list[AttributionWindow]] = {start: [] for start in starts}
    for one in session.scalars(
        select(AttributionWindow)
        .where(*mine, AttributionWindow.start.in_(starts))
        .order_by(AttributionWindow.start.desc(), AttributionWindow.segment)
    ):
        by_start[one.start].append(one)
    windows = session.scalars(
        select(WindowState).where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == spec.window,
            WindowState.start.in_(by_start),
        )
    )  # fmt: skip
    return [(window, by_start[window.start]) for window in windows]


def _insert(
    session: WriteSession, window: WindowState, points: Sequence[Point], before: Sequence[MetricPoint]
) -> None:
    """What a point said first stays."""
    now = clock.now()
    first = {
        (one.segment, one.column, one.statistic): (one.first_value, one.first_computed_at) for one in before
    }
    rows = []
    for point in points:
        row = point_row(
            point, window_id=window.id, model=window.model, environment=window.environment, size=window.size,
            start=window.start, completeness=None, now=now,
        )  # fmt: skip
        key = (str(row["segment"]), str(row["column"]), str(row["statistic"]))
        row["first_value"], row["first_computed_at"] = first.get(key, (point.value, now))
        rows.append(row)
    session.execute(MetricPoint.__table__.insert(), rows)  # type: ignore[attr-defined]


def _record(session: WriteSession, actor: Actor, window: WindowState, points: Sequence[Point]) -> None:
    record(
        session, actor, Action.WINDOW_COMPUTED, object_kind="model", object_id=window.model,
        payload={
            "environment": window.environment, "windows": [f"{window.size} {clock.to_iso(window.start)}"],
            "points": len(points), "alarms": sum(point.verdict == "alarm" for point in points), "attributions": True,
        },
    )  # fmt: skip

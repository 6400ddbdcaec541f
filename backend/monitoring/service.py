"""Windows that are due, and storing what was computed of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, update

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.holds.windows import kept_windows
from backend.identity.actor import Actor
from backend.monitoring.columns import ModelSpec
from backend.monitoring.computation import UNHEARD, WindowResult, expects_no_traffic
from backend.monitoring.evaluate import Point
from backend.monitoring.fairness import KIND as FAIRNESS
from backend.monitoring.fairness.measures import needs_labels
from backend.monitoring.tables import ATTRIBUTION, MetricPoint, WindowProfile, WindowState
from backend.monitoring.track_service import freeze_estimates
from backend.monitoring.windows import Window, window_of, windows_between
from backend.monitoring.windows_service import LIVE_WINDOWS_KEPT, is_due, mark_windows
from backend.registry.tables import Model


@dataclass(frozen=True)
class DueWindow:
    """A window to compute, as it was found: `dirty_at` tells whether more has arrived since.

    number  of a window of N rows, from 1; 0 for windows of the clock
    """

    id: int
    size: str
    window: Window
    dirty_at: datetime | None
    number: int = 0


def fill_gaps(session: WriteSession, *, model: str, environment: str, spec: ModelSpec, now: datetime) -> int:
    """Make the rows of windows in which nothing arrived, so that silence is a state and not a hole.

    From a model's first window on (for live windows: within the days they are kept) to the one before the
    present. Gives how many were made.
    """
    made = 0
    if spec.window_rows is not None:
        return made
    for size in spec.sizes:
        starts = set(
            session.scalars(
                select(WindowState.start).where(
                    WindowState.model == model,
                    WindowState.environment == environment,
                    WindowState.size == size,
                )
            )
        )
        if not starts:
            continue
        first = min(starts)
        if size == spec.live_window:
            first = max(first, window_of(now - LIVE_WINDOWS_KEPT, size, spec.timezone).start)
        present = window_of(now, size, spec.timezone).start
        missing = [w for w in windows_between(first, present, size, spec.timezone) if w.start not in starts]
        mark_windows(session, missing, now, model=model, environment=environment, size=size)
        made += len(missing)
    return made


def due_windows(
    session: ReadSession, *, model: str, environment: str, now: datetime, since: datetime | None = None
) -> list[DueWindow]:
    """Windows with new rows or labels, open ones that have ended, and those whose labels are to be looked at again.

    Newest first, because now matters most. `since` leaves out those that ended before it.
    """
    query = select(WindowState).where(
        WindowState.model == model, WindowState.environment == environment, is_due(now)
    )
    if since is not None:
        query = query.where(WindowState.end > since)
    found = session.scalars(query.order_by(WindowState.start.desc(), WindowState.number.desc()))
    return [
        DueWindow(row.id, row.size, Window(row.start, row.end), row.dirty_at, row.number) for row in found
    ]


def store_results(
    session: WriteSession,
    actor: Actor,
    *,
    model: Model,
    environment: str,
    spec: ModelSpec,
    computed: Sequence[tuple[DueWindow, WindowResult]],
) -> None:
    """Replace the points and profiles of these windows; storing the same result again changes nothing.

    A window stays due when something arrived for it after it was read. `first_value` keeps what a point said when
    it could first speak: of realised performance, and of fairness that needs labels, when the labels first spoke; of
    anything else, when the window was over. Points that an examination of rows (`examination_service`) or
    explanations (`backend.explain.attribution_drift`) gave stay: late labels do not change them. Points of drift under
    a rule that looks back stay until they are judged again (`rejudging`). When labels first speak for a window, its
    stored estimates are put on record beside what came true (`track_service`). A window on hold from which rows have
    gone stays as it is (`backend.holds.windows`).
    """
    computed = _without_held(session, model.name, computed)
    if not computed:
        return
    from backend.monitoring.examination import STATISTICS as EXAMINED

    now = clock.now()
    ids = [due.id for due, _ in computed]
    states = {
        state.id: state for state in session.scalars(select(WindowState).where(WindowState.id.in_(ids)))
    }
    before = [
        point
        for point in session.scalars(select(MetricPoint).where(MetricPoint.window_id.in_(ids)))
        if point.statistic not in EXAMINED
    ]
    first = {_key(point): (point.first_value, point.first_computed_at) for point in before
             if _has_spoken(point, states[point.window_id])}  # fmt: skip
    # Points that other steps derive from what is stored are replaced there, with what they said first.
    later = {due.id for due, result in computed if result.judged_by is None}
    session.execute(
        delete(MetricPoint).where(
            MetricPoint.window_id.in_(ids), MetricPoint.statistic.not_in(EXAMINED),
            MetricPoint.kind.not_in(("volume", ATTRIBUTION)),
            or_(MetricPoint.window_id.not_in(later), MetricPoint.kind.in_(("realised", "estimated", FAIRNESS))),
        )
    )  # fmt: skip
    session.execute(delete(WindowProfile).where(WindowProfile.window_id.in_(ids)))
    points: list[dict[str, object]] = []
    profiles: list[dict[str, object]] = []
    for due, found in computed:
        result = (
            _without_figures(found, spec) if due.number and found.rows < (spec.window_rows or 0) else found
        )
        state = states[due.id]
        if result.hearing.speaks and state.labelled_at is None and state.version == result.version:
            freeze_estimates(
                session, state, due.window, version=result.version or 0, rows=result.profiled_rows,
                stored=[point for point in before if point.window_id == due.id],
                realised=result.performance.metrics if result.performance else {}, now=now,
            )  # fmt: skip
        moved = (state.rows, state.version) != (result.rows, result.version)
        if moved and spec.reference.kind != "fixed":
            mark_followers(session, state, due.window, spec)
        _store_state(
            session,
            due,
            result,
            _state(result, spec, now, model, due),
            now,
            keeps=_keeps_inputs(state, result),
        )
        for point in result.points:
            row = point_row(
                point, window_id=due.id, model=model.name, environment=environment, size=due.size,
                start=due.window.start, completeness=result.completeness, now=now,
            )  # fmt: skip
            row["first_value"], row["first_computed_at"] = first.get(_key(row), (point.value, now))
            points.append(row)
        profiles += [
            {"window_id": due.id, "column": name, "segment": segment, "version": result.version,
             "profile": profile.to_json()}
            for segment, columns in result.parts.items()
            for name, profile in columns.items()
        ]  # fmt: skip
    if points:
        session.execute(MetricPoint.__table__.insert(), points)  # type: ignore[attr-defined]
    if profiles:
        session.execute(WindowProfile.__table__.insert(), profiles)  # type: ignore[attr-defined]
    session.expire_all()
    record(
        session, actor, Action.WINDOW_COMPUTED, object_kind="model", object_id=model.name,
        payload={
            "environment": environment,
            "windows": [f"{due.size} {clock.to_iso(due.window.start)}" for due, _ in computed],
            "points": len(points),
            "alarms": sum(point["verdict"] == "alarm" for point in points),
        },
    )  # fmt: skip


def _without_held(
    session: WriteSession, model: str, computed: Sequence[tuple[DueWindow, WindowResult]]
) -> Sequence[tuple[DueWindow, WindowResult]]:
    """Those that may be replaced; what a hold keeps as it is is no longer due."""
    kept = kept_windows(session, model, {due.id: result.rows for due, result in computed})
    over = (WindowState.state == "open") & (WindowState.end <= clock.now())
    session.execute(update(WindowState).where(WindowState.id.in_(kept), over).values(state="complete"))
    session.execute(update(WindowState).where(WindowState.id.in_(kept)).values(look_at=None))
    for due, _ in computed:
        if due.id in kept:
            _settle(session, due)
    return [one for one in computed if one[0].id not in kept]


def _without_figures(result: WindowResult, spec: ModelSpec) -> WindowResult:
    """A window of N rows that is filling: counted, and not judged before its rows have come."""
    return replace(
        result, parts={}, points=(), hearing=UNHEARD, performance=None, judged_by=spec.reference.text
    )


def _store_state(
    session: WriteSession, due: DueWindow, result: WindowResult, state: str, now: datetime, *, keeps: bool
) -> None:
    values: dict[str, Any] = {
        "version": result.version, "rows": result.rows, "injected_rows": result.injected_rows,
        "labels_known": result.labels_known, "labels_absent": result.labels_absent, "state": state,
        "computed_at": now, "watermark": result.watermark, "look_at": result.hearing.look_at,
        "labelled_at": func.coalesce(WindowState.labelled_at, now) if result.hearing.speaks else None,
    }  # fmt: skip
    if not keeps:
        values["judged_by"] = result.judged_by
    session.execute(update(WindowState).where(WindowState.id == due.id).values(values))
    _settle(session, due)


def _settle(session: WriteSession, due: DueWindow) -> None:
    """It is not due any more, unless something arrived since it was read."""
    session.execute(
        update(WindowState)
        .where(WindowState.id == due.id, WindowState.dirty_at == due.dirty_at)
        .values(dirty_at=None)
    )


def _key(point: MetricPoint | Mapping[str, object]) -> tuple[object, ...]:
    names = ("window_id", "segment", "kind", "column", "statistic")
    return tuple(point[name] if isinstance(point, Mapping) else getattr(point, name) for name in names)


def _has_spoken(point: MetricPoint, state: WindowState) -> bool:
    """Whether a stored point counts as what was seen first: an unfinished window changes by the minute."""
    of_labels = point.kind == "realised" or (point.kind == FAIRNESS and needs_labels(point.statistic))
    return state.labelled_at is not None if of_labels else state.state != "open"


def _keeps_inputs(state: WindowState, result: WindowResult) -> bool:
    """Whether the stored points of drift and quality still hold: judged from profiles, which have not changed."""
    unmoved = (state.rows, state.version) == (result.rows, result.version)
    return result.judged_by is None and state.judged_by is not None and unmoved


def mark_followers(session: WriteSession, state: WindowState, window: Window, spec: ModelSpec) -> None:
    """Let the windows that are compared with this one be judged again from their stored profiles."""
    mine = (
        WindowState.model == state.model, WindowState.environment == state.environment,
        WindowState.size == state.size,
    )  # fmt: skip
    rule = spec.reference
    if rule.kind == "previous":
        until = session.scalar(
            select(func.min(WindowState.start)).where(
                *mine, WindowState.start >= window.end + timedelta(seconds=rule.offset_s),
                WindowState.rows >= spec.min_rows,
            )
        )  # fmt: skip
        if until is None:
            until = window.end + timedelta(seconds=rule.offset_s)
    else:
        until = window.end + timedelta(seconds=rule.length_s + rule.offset_s)
    session.execute(
        update(WindowState)
        .where(*mine, WindowState.start > window.start, WindowState.start <= until)
        .values(judged_by=None)
    )


def point_row(
    point: Point, *, window_id: int, model: str, environment: str, size: str, start: datetime,
    completeness: float | None, now: datetime,
) -> dict[str, object]:  # fmt: skip
    """The columns of `MetricPoint` for a point that is computed for the first time."""
    return {
        "window_id": window_id, "model": model, "environment": environment, "size": size, "window_start": start,
        "segment": point.segment, "kind": _kind(point.family, point.column), "column": point.column or "",
        "statistic": point.statistic,
        "value": point.value, "low": point.low, "high": point.high, "threshold": point.threshold,
        "reference_value": point.details.get("reference"),
        "verdict": point.verdict, "level": point.level, "text": point.text, "reason": point.reason or "",
        "rows_reference": point.rows_reference, "rows": point.rows_current, "completeness": completeness,
        "effect": point.effect, "effect_se": point.effect_se, "importance": point.importance,
        "first_value": point.value, "first_computed_at": now, "computed_at": now,
    }  # fmt: skip


def _kind(family: str, column: str | None) -> str:
    """Drift of the model's own outputs is told apart from drift of its inputs."""
    return "prediction" if family == "drift" and column in ("score", "prediction") else family


def _state(result: WindowResult, spec: ModelSpec, now: datetime, model: Model, due: DueWindow) -> str:
    if due.number:
        return "complete" if result.rows >= (spec.window_rows or 0) else "open"
    if result.window.end > now:
        return "open"
    if result.rows:
        return "complete"
    before_watch = result.window.start < model.created_at
    if before_watch or expects_no_traffic(result.window, spec.quiet, spec.timezone):
        return "no_traffic_expected"
    return "no_traffic"

"""Windows that are due, and storing what was computed of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor
from backend.monitoring.columns import ModelSpec
from backend.monitoring.computation import WindowResult, expects_no_traffic
from backend.monitoring.evaluate import Point
from backend.monitoring.tables import MetricPoint, WindowProfile, WindowState
from backend.monitoring.windows import Window, window_of, windows_between
from backend.monitoring.windows_service import LIVE_WINDOWS_KEPT, mark_windows
from backend.registry.tables import Model


@dataclass(frozen=True)
class DueWindow:
    """A window to compute, as it was found: `dirty_at` tells whether more has arrived since."""

    id: int
    size: str
    window: Window
    dirty_at: datetime | None


def fill_gaps(session: WriteSession, *, model: str, environment: str, spec: ModelSpec, now: datetime) -> int:
    """Make the rows of windows in which nothing arrived, so that silence is a state and not a hole.

    From a model's first window on (for live windows: within the days they are kept) to the one before the
    present. Gives how many were made.
    """
    made = 0
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
    """Windows with new rows or labels, and open ones that have ended: newest first, because now matters most.

    `since` leaves out those that ended before it.
    """
    query = select(WindowState).where(
        WindowState.model == model,
        WindowState.environment == environment,
        or_(WindowState.dirty_at.is_not(None), (WindowState.state == "open") & (WindowState.end <= now)),
    )
    if since is not None:
        query = query.where(WindowState.end > since)
    found = session.scalars(query.order_by(WindowState.start.desc()))
    return [DueWindow(row.id, row.size, Window(row.start, row.end), row.dirty_at) for row in found]


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

    A window stays due when something arrived for it after it was read. `first_value` keeps what a point said
    when it was first computed: as seen then, beside as known now. Points that an examination of rows gave stay
    (`examination_service`): late labels do not change them.
    """
    if not computed:
        return
    from backend.monitoring.examination import STATISTICS as EXAMINED

    now = clock.now()
    ids = [due.id for due, _ in computed]
    first: dict[tuple[object, ...], tuple[object, object]] = {
        (point.window_id, point.segment, point.kind, point.column, point.statistic): (
            point.first_value,
            point.first_computed_at,
        )
        for point in session.scalars(select(MetricPoint).where(MetricPoint.window_id.in_(ids)))
    }
    session.execute(
        delete(MetricPoint).where(MetricPoint.window_id.in_(ids), MetricPoint.statistic.not_in(EXAMINED))
    )
    session.execute(delete(WindowProfile).where(WindowProfile.window_id.in_(ids)))
    points: list[dict[str, object]] = []
    profiles: list[dict[str, object]] = []
    for due, result in computed:
        state = _state(result, spec, now, watched_since=model.created_at)
        session.execute(
            update(WindowState)
            .where(WindowState.id == due.id)
            .values(
                version=result.version, rows=result.rows, injected_rows=result.injected_rows,
                labels_known=result.labels_known, labels_absent=result.labels_absent, state=state,
                computed_at=now, watermark=result.watermark,
            )
        )  # fmt: skip
        session.execute(
            update(WindowState)
            .where(WindowState.id == due.id, WindowState.dirty_at == due.dirty_at)
            .values(dirty_at=None)
        )
        for point in result.points:
            row = point_row(
                point, window_id=due.id, model=model.name, environment=environment, size=due.size,
                start=due.window.start, completeness=result.completeness, now=now,
            )  # fmt: skip
            key = (due.id, row["segment"], row["kind"], row["column"], row["statistic"])
            row["first_value"], row["first_computed_at"] = first.get(key, (point.value, now))
            points.append(row)
        profiles += [
            {
                "window_id": due.id,
                "column": name,
                "segment": "",
                "version": result.version,
                "profile": profile.to_json(),
            }
            for name, profile in result.profiles.items()
        ]
    if points:
        session.execute(MetricPoint.__table__.insert(), points)  # type: ignore[attr-defined]
    if profiles:
        session.execute(WindowProfile.__table__.insert(), profiles)  # type: ignore[attr-defined]
    record(
        session, actor, Action.WINDOW_COMPUTED, object_kind="model", object_id=model.name,
        payload={
            "environment": environment,
            "windows": [f"{due.size} {clock.to_iso(due.window.start)}" for due, _ in computed],
            "points": len(points),
            "alarms": sum(point["verdict"] == "alarm" for point in points),
        },
    )  # fmt: skip


def point_row(
    point: Point, *, window_id: int, model: str, environment: str, size: str, start: datetime,
    completeness: float | None, now: datetime,
) -> dict[str, object]:  # fmt: skip
    """The columns of `MetricPoint` for a point that is computed for the first time."""
    return {
        "window_id": window_id, "model": model, "environment": environment, "size": size, "window_start": start,
        "segment": "", "kind": _kind(point.family, point.column), "column": point.column or "",
        "statistic": point.statistic,
        "value": point.value, "low": point.low, "high": point.high, "threshold": point.threshold,
        "reference_value": point.details.get("reference"),
        "verdict": point.verdict, "level": point.level, "text": point.text, "reason": point.reason or "",
        "rows_reference": point.rows_reference, "rows": point.rows_current, "completeness": completeness,
        "effect": None, "effect_se": None, "importance": None,
        "first_value": point.value, "first_computed_at": now, "computed_at": now,
    }  # fmt: skip


def _kind(family: str, column: str | None) -> str:
    """Drift of the model's own outputs is told apart from drift of its inputs."""
    return "prediction" if family == "drift" and column in ("score", "prediction") else family


def _state(result: WindowResult, spec: ModelSpec, now: datetime, *, watched_since: datetime) -> str:
    if result.window.end > now:
        return "open"
    if result.rows:
        return "complete"
    if result.window.start < watched_since or expects_no_traffic(result.window, spec.quiet, spec.timezone):
        return "no_traffic_expected"
    return "no_traffic"


def newest_start(session: ReadSession, *, model: str, environment: str, size: str) -> datetime | None:
    """The start of the newest window that has rows."""
    return session.scalar(
        select(func.max(WindowState.start)).where(
            WindowState.model == model, WindowState.environment == environment,
            WindowState.size == size, WindowState.rows > 0,
        )
    )  # fmt: skip

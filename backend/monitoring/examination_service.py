"""Which windows have yet to be examined (joint drift, outlier rows, rules), and storing what was found.

Late labels recompute a window and change none of its features, so `store_results` leaves these points alone. A
window is due again when it has more rows than were examined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor
from backend.monitoring.columns import ModelSpec
from backend.monitoring.tables import MetricPoint, WindowState
from backend.monitoring.windows import Window
from backend.registry.tables import Model

if TYPE_CHECKING:
    from backend.monitoring.evaluate import Point

WINDOWS_EXAMINED = 14


@dataclass(frozen=True)
class UnexaminedWindow:
    """A finished window of the trend's size, as it was found."""

    id: int
    size: str
    window: Window
    version: int
    rows: int


def windows_to_examine(
    session: ReadSession, *, model: str, environment: str, spec: ModelSpec, limit: int = WINDOWS_EXAMINED
) -> list[UnexaminedWindow]:
    """Those of the newest `limit` finished windows that lack their points or have got rows since, newest first."""
    newest = session.scalars(
        select(WindowState)
        .where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == spec.window,
            WindowState.state == "complete", WindowState.rows > 0, WindowState.version.is_not(None),
        )
        .order_by(WindowState.start.desc())
        .limit(limit)
    ).all()  # fmt: skip
    return [
        UnexaminedWindow(row.id, row.size, Window(row.start, row.end), row.version, row.rows)
        for row in newest
        if row.version is not None and row.examined_rows != row.rows
    ]


def store_examination(
    session: WriteSession,
    actor: Actor,
    *,
    model: Model,
    environment: str,
    window: UnexaminedWindow,
    points: Sequence[Point],
) -> None:
    """Replace what was found of a window; storing the same again changes nothing but the time."""
    from backend.monitoring.examination import STATISTICS
    from backend.monitoring.service import point_row

    now = clock.now()
    mine = (MetricPoint.window_id == window.id, MetricPoint.statistic.in_(STATISTICS))
    first: dict[tuple[object, ...], tuple[object, object]] = {
        (point.segment, point.kind, point.column, point.statistic): (
            point.first_value,
            point.first_computed_at,
        )
        for point in session.scalars(select(MetricPoint).where(*mine))
    }
    session.execute(delete(MetricPoint).where(*mine))
    rows: list[dict[str, object]] = []
    for point in points:
        row = point_row(
            point, window_id=window.id, model=model.name, environment=environment, size=window.size,
            start=window.window.start, completeness=None, now=now,
        )  # fmt: skip
        key = (row["segment"], row["kind"], row["column"], row["statistic"])
        row["first_value"], row["first_computed_at"] = first.get(key, (point.value, now))
        rows.append(row)
    session.execute(update(WindowState).where(WindowState.id == window.id).values(examined_rows=window.rows))
    if rows:
        session.execute(MetricPoint.__table__.insert(), rows)  # type: ignore[attr-defined]
    record(
        session, actor, Action.WINDOW_COMPUTED, object_kind="model", object_id=model.name,
        payload={
            "environment": environment,
            "windows": [f"{window.size} {clock.to_iso(window.window.start)}"],
            "points": len(rows),
            "alarms": sum(row["verdict"] == "alarm" for row in rows),
            "examined": True,
        },
    )  # fmt: skip

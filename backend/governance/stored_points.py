"""What monitoring stored of the newest windows, as gates and conditions ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from backend import clock
from backend.database.session import ReadSession
from backend.monitoring.columns import ModelSpec
from backend.monitoring.tables import MetricPoint, WindowState


def newest_windows(
    session: ReadSession, model: str, environment: str, spec: ModelSpec, *, count: int, version: int | None = None
) -> list[WindowState]:  # fmt: skip
    """The newest finished windows that have been computed and judged, newest first."""
    query = (
        select(WindowState)
        .where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == spec.window,
            WindowState.state == "complete", WindowState.computed_at.is_not(None),
        )
        .order_by(WindowState.start.desc(), WindowState.number.desc())
        .limit(count)
    )  # fmt: skip
    if version is not None:
        query = query.where(WindowState.version == version)
    return list(session.scalars(query))


def points_of(
    session: ReadSession, windows: Sequence[WindowState], *kinds: str, statistic: str | None = None
) -> list[MetricPoint]:
    """Points of all rows of these windows."""
    query = select(MetricPoint).where(
        MetricPoint.window_id.in_([window.id for window in windows]),
        MetricPoint.segment == "",
        MetricPoint.kind.in_(kinds),
    )
    if statistic is not None:
        query = query.where(MetricPoint.statistic == statistic)
    return list(session.scalars(query.order_by(MetricPoint.window_start.desc(), MetricPoint.id)))


def in_words(start: datetime, end: datetime) -> str:
    """`2026-03-03 00:00:00 UTC to 2026-03-04 00:00:00 UTC`."""
    return f"{clock.to_words(start)} to {clock.to_words(end)}"

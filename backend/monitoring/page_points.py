"""Points of a model's newest windows for those who were woken: what was judged, and series on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from backend.database.session import ReadSession
from backend.monitoring.tables import JUDGED, MetricPoint, WindowState


class Series(NamedTuple):
    """One figure over windows, oldest first: (window start, value, low, high, verdict)."""

    name: str
    points: tuple[tuple[datetime, float | None, float | None, float | None, str], ...]


def judged_points(session: ReadSession, model: str, environment: str) -> list[MetricPoint]:
    """Of the newest window of each size that has any: points of all rows that were judged."""
    found: list[MetricPoint] = []
    sizes = session.scalars(
        select(WindowState.size)
        .where(WindowState.model == model, WindowState.environment == environment)
        .distinct()
    ).all()
    for size in sizes:
        newest = session.scalar(
            select(MetricPoint.window_id)
            .where(
                MetricPoint.model == model, MetricPoint.environment == environment, MetricPoint.size == size,
                MetricPoint.kind.in_(("quality", "drift")), MetricPoint.verdict.in_(JUDGED),
            )
            .order_by(MetricPoint.window_start.desc())
            .limit(1)
        )  # fmt: skip
        if newest is not None:
            found += session.scalars(
                select(MetricPoint).where(
                    MetricPoint.window_id == newest,
                    MetricPoint.segment == "",
                    MetricPoint.verdict.in_(JUDGED),
                )
            )
    return found


def request_series(
    session: ReadSession, *, model: str, environment: str, size: str, since: datetime, until: datetime
) -> Series:
    """Predictions of each window."""
    rows = session.execute(
        select(WindowState.start, WindowState.rows)
        .where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == size,
            WindowState.start >= since, WindowState.start <= until,
        )
        .order_by(WindowState.start)
    )  # fmt: skip
    return Series("requests", tuple((start, float(count), None, None, "ok") for start, count in rows))


def point_series(
    session: ReadSession, *, model: str, environment: str, size: str, since: datetime, until: datetime,
    kinds: Sequence[str], statistic: str, column: str | None = None,
) -> Series:  # fmt: skip
    """One statistic of all rows, of one column where it is named."""
    query = (
        select(MetricPoint)
        .where(
            MetricPoint.model == model, MetricPoint.environment == environment, MetricPoint.size == size,
            MetricPoint.kind.in_(kinds), MetricPoint.statistic == statistic, MetricPoint.segment == "",
            MetricPoint.window_start >= since, MetricPoint.window_start <= until,
        )
        .order_by(MetricPoint.window_start)
    )  # fmt: skip
    if column is not None:
        query = query.where(MetricPoint.column == column)
    points = ((one.window_start, one.value, one.low, one.high, one.verdict) for one in session.scalars(query))
    return Series(f"{statistic}{f' of {column}' if column else ''}", tuple(points))

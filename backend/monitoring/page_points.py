"""Points of a model's newest windows for those who were woken: what was judged, and series on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import select

from backend.database.session import ReadSession
from backend.monitoring.columns import ModelSpec, is_positive_class
from backend.monitoring.grids import Grid
from backend.monitoring.profiles import Profile
from backend.monitoring.tables import JUDGED, MetricPoint, ReferenceProfile, WindowProfile, WindowState


class Series(NamedTuple):
    """One figure over windows, oldest first: (window start, value, low, high, verdict). `length`: of each; None: not
    said."""

    name: str
    points: tuple[tuple[datetime, float | None, float | None, float | None, str], ...]
    length: timedelta | None = None


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


def predicted_series(
    session: ReadSession, *, model: str, environment: str, size: str, since: datetime, until: datetime,
    spec: ModelSpec,
) -> Series:  # fmt: skip
    """What each window predicted: the share of the positive class, of several classes that of the one most predicted
    last, and of numbers their mean."""
    rows = session.execute(
        select(WindowState.start, WindowProfile.version, WindowProfile.profile)
        .join(WindowProfile, WindowProfile.window_id == WindowState.id)
        .where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == size,
            WindowState.start >= since, WindowState.start <= until,
            WindowProfile.column == "prediction", WindowProfile.segment == "",
        )
        .order_by(WindowState.start)
    ).all()  # fmt: skip
    versions = {version for _, version, _ in rows}
    frozen = select(ReferenceProfile).where(
        ReferenceProfile.model == model, ReferenceProfile.version.in_(versions),
        ReferenceProfile.column == "prediction", ReferenceProfile.segment == "",
    )  # fmt: skip
    grids = {one.version: Grid.from_json(one.grid) for one in session.scalars(frozen)}
    counted = [
        (start, Profile.from_json(profile, grids[version]))
        for start, version, profile in rows
        if version in grids and profile["grid"] == grids[version].digest
    ]
    if spec.task == "regression":
        told, values = "mean prediction", [(start, one.mean) for start, one in counted]
    else:
        shown = _class_shown(spec, [one for _, one in counted])
        told, values = f"share predicted {shown}", [(start, _share_of(shown, one)) for start, one in counted]
    return Series(told, tuple((start, value, None, None, "ok") for start, value in values))


def _class_shown(spec: ModelSpec, counted: Sequence[Profile]) -> str:
    """The class whose share is told."""
    if spec.task == "binary":
        names = {str(value) for one in counted for value in one.grid.values}
        return next((one for one in sorted(names) if is_positive_class(spec, one)), spec.positive or "1")
    last = counted[-1] if counted else None
    if last is None or not last.grid.values:
        return "a class"
    most = max(range(len(last.grid.values)), key=lambda place: int(last.counts[place]))
    return str(last.grid.values[most])


def _share_of(name: str, one: Profile) -> float | None:
    """None where nothing was predicted. A class that the reference never predicted is in no cell of its own."""
    places = [place for place, value in enumerate(one.grid.values) if str(value) == name]
    return sum(int(one.counts[place]) for place in places) / one.known if one.known else None

"""Reading what the metrics job stored: the latest windows of models, and series of points.

Every function takes the viewer first and returns plain values. Unknown stays None: nothing here turns a missing
figure into zero or into "fine".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd
from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select
from sqlalchemy.orm import aliased

from backend.audit.tables import AuditEntry
from backend.database.many import among
from backend.database.session import ReadSession
from backend.database.types import UtcDateTime
from backend.errors import NotFound
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.monitoring.performance import PRIMARY
from backend.monitoring.performance._core import completeness
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.service import get_model
from backend.registry.tables import Model

COLUMN_KINDS = ("drift", "quality", "prediction")

WINDOW_COLUMNS = (
    "id", "start", "end", "version", "rows", "injected_rows", "labels_known", "labels_absent", "state",
    "computed_at", "dirty_at", "watermark",
)  # fmt: skip
POINT_COLUMNS = (
    "window_id", "window_start", "segment", "kind", "column", "statistic", "value", "low", "high", "threshold",
    "reference_value", "verdict", "level", "reason", "rows_reference", "rows", "completeness", "effect", "effect_se",
    "importance", "first_value", "first_computed_at", "computed_at", "text",
)  # fmt: skip
_READ_OF_WINDOWS: Final = (
    WindowState.id, WindowState.model, WindowState.start, WindowState.end, WindowState.version, WindowState.rows,
    WindowState.labels_known, WindowState.labels_absent, WindowState.computed_at,
)  # fmt: skip
_READ_OF_POINTS: Final = (
    MetricPoint.window_id, MetricPoint.model, MetricPoint.kind, MetricPoint.statistic, MetricPoint.value,
    MetricPoint.low, MetricPoint.high, MetricPoint.verdict, MetricPoint.rows, MetricPoint.computed_at,
    MetricPoint.reference_value, MetricPoint.level,
)  # fmt: skip
_BEFORE_ALL: Final = literal(datetime(1, 1, 2, tzinfo=UTC), UtcDateTime())
NUMBERS = (
    "value", "low", "high", "threshold", "reference_value", "completeness", "effect", "effect_se", "importance",
    "first_value",
)  # fmt: skip


@dataclass(frozen=True)
class RecentPoint:
    """The realised (or estimated) value of one window, as a line of a model's history."""

    window_id: int
    window_start: datetime
    window_end: datetime
    value: float | None
    low: float | None
    high: float | None
    verdict: str
    rows: int
    completeness: float | None
    computed_at: datetime
    version: int | None
    reference: float | None  # what the value was held against
    level: str | None = None  # of an alarm


@dataclass(frozen=True)
class Labelled:
    """The newest window with labels: how many of its rows have one."""

    window_id: int
    start: datetime
    labels: int
    rows: int


@dataclass(frozen=True)
class RecentWindows:
    """The latest windows of one model and size, oldest first, with the points of the metric it is judged by.

    last_rows    the latest window with rows that has been computed, or None
    open_rows    rows of windows that are waiting to be computed
    """

    size: str
    metric: str
    realised: tuple[RecentPoint, ...]
    estimated: tuple[RecentPoint, ...]
    last_start: datetime | None
    last_end: datetime | None
    last_rows: int | None
    last_completeness: float | None
    computed_at: datetime | None
    labelled: Labelled | None = None


def completeness_of(rows: int, known: int, absent: int) -> float | None:
    """Labels known / labels that can come; None where no label can be there."""
    return completeness(known, rows, absent)


def recent_windows(
    session: ReadSession,
    viewer: Actor,
    models: Sequence[Model],
    environment: str,
    *,
    count: int = 28,
) -> dict[str, RecentWindows]:
    """Per model, its last `count` windows of the trend's size with its primary metric. As many queries for any number
    of models: one for each size of window, and two.

    Raises `NotFound` for a model the viewer may not see.
    """
    if not models:
        return {}
    _require_seen(session, viewer, [model.name for model in models])
    sizes = {model.name: str(model.spec["window"]) for model in models}
    metrics = {model.name: str(PRIMARY[model.spec["task"]]) for model in models}
    windows: dict[str, list[Any]] = {}
    for size in sorted(set(sizes.values())):
        named = [name for name, its in sizes.items() if its == size]
        for window in _newest(session, named, environment, size, count):
            windows.setdefault(window.model, []).append(window)
    kept = {name: found[-count:] for name, found in windows.items()}
    by_window = {
        (point.window_id, point.kind): point
        for point in session.execute(
            select(*_READ_OF_POINTS).where(
                among(MetricPoint.window_id, [window.id for found in kept.values() for window in found]),
                MetricPoint.segment == "", MetricPoint.kind.in_(("realised", "estimated")), MetricPoint.column == "",
                MetricPoint.statistic.in_(set(metrics.values())),
            )
        )
        if point.statistic == metrics[point.model]
    }  # fmt: skip
    return {name: _recent(kept.get(name, ()), by_window, size, metrics[name]) for name, size in sizes.items()}


def _require_seen(session: ReadSession, viewer: Actor, names: Sequence[str]) -> None:
    see(session, viewer)
    unseen = set(names).difference(session.scalars(select(Model.name).where(among(Model.name, names))))
    if unseen:
        raise NotFound(f"there is no model named {min(unseen)!r} that you may see", model=min(unseen))


def _newest(
    session: ReadSession, models: Sequence[str], environment: str, size: str, count: int
) -> Sequence[Any]:
    """The last `count` windows of each with rows, oldest first: a walk down the index of each model, however long its
    history. Windows that begin with the oldest of them are there, too."""

    def such(one: Any) -> tuple[ColumnElement[bool], ...]:
        return (one.model == Model.name, one.environment == environment, one.size == size,
                one.computed_at.is_not(None), one.rows > 0)  # fmt: skip

    earlier = aliased(WindowState)
    begins = (
        select(earlier.start).where(*such(earlier)).order_by(earlier.start.desc()).offset(count - 1).limit(1)
        .correlate(Model).scalar_subquery()
    )  # fmt: skip
    return session.execute(
        select(*_READ_OF_WINDOWS).select_from(Model).join(WindowState, and_(*such(WindowState)))
        .where(among(Model.name, models), WindowState.start >= func.coalesce(begins, _BEFORE_ALL))
        .order_by(WindowState.start, WindowState.number)
    ).all()  # fmt: skip


def _recent(
    windows: Sequence[Any], points: Mapping[tuple[int, str], Any], size: str, metric: str
) -> RecentWindows:
    def line(kind: str) -> tuple[RecentPoint, ...]:
        return tuple(
            RecentPoint(
                window.id, window.start, window.end, point.value, point.low, point.high, point.verdict, point.rows,
                completeness_of(window.rows, window.labels_known, window.labels_absent), point.computed_at,
                window.version, point.reference_value, point.level,
            )
            for window in windows
            if (point := points.get((window.id, kind))) is not None
        )  # fmt: skip

    last = windows[-1] if windows else None
    return RecentWindows(
        size=size,
        metric=metric,
        realised=line("realised"),
        estimated=line("estimated"),
        last_start=last.start if last else None,
        last_end=last.end if last else None,
        last_rows=last.rows if last else None,
        last_completeness=completeness_of(last.rows, last.labels_known, last.labels_absent) if last else None,
        computed_at=last.computed_at if last else None,
        labelled=next(
            (
                Labelled(one.id, one.start, one.labels_known, one.rows)
                for one in reversed(windows)
                if one.labels_known
            ),
            None,
        ),
    )


def list_windows(
    session: ReadSession, viewer: Actor, model: str, environment: str, *, size: str, limit: int = 120,
    since: datetime | None = None, before: datetime | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The latest `limit` windows, of those that begin from `since` on and `before` a moment, oldest first:
    `WINDOW_COLUMNS` and `completeness` (0..1, NaN: no label can come)."""
    get_model(session, viewer, model)
    query = select(*(getattr(WindowState, name) for name in WINDOW_COLUMNS)).where(
        WindowState.model == model, WindowState.environment == environment, WindowState.size == size
    )
    if since is not None:
        query = query.where(WindowState.start >= since)
    if before is not None:
        query = query.where(WindowState.start < before)
    found = session.execute(query.order_by(WindowState.start.desc()).limit(limit)).all()
    rows = list(reversed(found))
    frame = pd.DataFrame(rows, columns=list(WINDOW_COLUMNS))
    shares = [completeness_of(row.rows, row.labels_known, row.labels_absent) for row in rows]
    return frame.assign(completeness=pd.Series(shares, dtype="float64"))


def last_stored(session: ReadSession, viewer: Actor, model: str) -> tuple[int, int]:
    """The newest audit entry about a model and the newest point of any. Whoever stores points or profiles of a model
    records it in the same transaction, so what was read at these two numbers holds until one of them moves."""
    get_model(session, viewer, model)
    entry = select(func.max(AuditEntry.seq)).where(
        AuditEntry.object_kind == "model", AuditEntry.object_id == model
    )
    return session.scalar(entry) or 0, session.scalar(select(func.max(MetricPoint.id))) or 0


def known_statistics(
    session: ReadSession,
    viewer: Actor,
    model: str,
    environment: str,
    *,
    size: str,
    kinds: Sequence[str],
    since: datetime | None,
    until: datetime | None = None,
    of_columns: bool = False,
) -> list[str]:
    """The names of the statistics that have points of windows from `since` to `until` (None: of any), in order of name;
    `of_columns`: without those of whole windows."""
    get_model(session, viewer, model)
    names = select(MetricPoint.statistic).distinct().where(
        *_scope(model, environment, size, kinds, since, until, None)
    )  # fmt: skip
    if of_columns:
        names = names.where(MetricPoint.column != "")
    return sorted(session.scalars(names))


def list_points(
    session: ReadSession,
    viewer: Actor,
    model: str,
    environment: str,
    *,
    size: str,
    kinds: Sequence[str],
    since: datetime | None = None,
    until: datetime | None = None,
    statistic: str | None = None,
    window_id: int | None = None,
    column: str | None = None,
    segment: str | None = "",
) -> pd.DataFrame:
    """Metric points of windows that begin from `since` to `until`, that moment included, or of one window, oldest
    first: `POINT_COLUMNS`, missing numbers NaN.

    column    "" for figures of the whole window, None for any
    segment   "" for figures of all rows, "column=value" for those of one segment, None for both
    """
    get_model(session, viewer, model)
    query = select(*(getattr(MetricPoint, name) for name in POINT_COLUMNS)).where(
        *_scope(model, environment, size, kinds, since, until, segment)
    )
    if statistic is not None:
        query = query.where(MetricPoint.statistic == statistic)
    if window_id is not None:
        query = query.where(MetricPoint.window_id == window_id)
    if column is not None:
        query = query.where(MetricPoint.column == column)
    # Of one window all starts are the same; leaving them out of the order lets its own index be used.
    order = [MetricPoint.column, MetricPoint.statistic]
    rows = session.execute(
        query.order_by(*order if window_id is not None else [MetricPoint.window_start, *order])
    )
    return _frame(rows.all())


def worst_points(
    session: ReadSession,
    viewer: Actor,
    model: str,
    environment: str,
    *,
    size: str,
    kinds: Sequence[str],
    since: datetime | None = None,
    until: datetime | None = None,
    segment: str = "",
) -> pd.DataFrame:
    """For each window and column its most telling point: an alarm before a quiet one, then the furthest over its limit,
    and one without a verdict only where there is no other. `POINT_COLUMNS`, oldest first; points of whole windows are
    left out.
    """
    get_model(session, viewer, model)
    told = case((MetricPoint.verdict == "alarm", 2), (MetricPoint.verdict == "ok", 1), else_=0)
    paged = case((MetricPoint.level == "page", 1), else_=0)
    # No share goes beyond a limit of all rows, so such a check tells least.
    idle = and_(MetricPoint.kind == "quality", MetricPoint.threshold >= 1)
    # `excess.has_lower_limit` and `excess.measure_excess`, where the rows are.
    below = and_(
        MetricPoint.kind == "quality",
        MetricPoint.threshold > 0,
        MetricPoint.threshold < 1,
        or_(
            and_(MetricPoint.verdict == "alarm", MetricPoint.value < MetricPoint.threshold),
            and_(
                MetricPoint.verdict == "ok", MetricPoint.value > MetricPoint.threshold, MetricPoint.value <= 1
            ),
        ),
    )
    over = case(
        (idle, -0.5),
        (below, (1 - MetricPoint.value) / (1 - MetricPoint.threshold)),
        else_=func.coalesce(MetricPoint.value / func.nullif(MetricPoint.threshold, 0), -1),
    )
    place = func.row_number().over(
        partition_by=(MetricPoint.window_id, MetricPoint.column),
        order_by=(told.desc(), paged.desc(), over.desc(), MetricPoint.statistic),
    )
    ranked = (
        select(*(getattr(MetricPoint, name) for name in POINT_COLUMNS), place.label("place"))
        .where(*_scope(model, environment, size, kinds, since, until, segment), MetricPoint.column != "")
        .subquery()
    )
    rows = session.execute(
        select(*(ranked.c[name] for name in POINT_COLUMNS))
        .where(ranked.c.place == 1)
        .order_by(ranked.c.window_start, ranked.c.column)
    )
    return _frame(rows.all())


def known_segments(
    session: ReadSession, viewer: Actor, model: str, environment: str, *, size: str, kinds: Sequence[str],
    since: datetime | None, until: datetime | None = None,
) -> list[str]:  # fmt: skip
    """The segments ("column=value") that have points of windows from `since` to `until` (None: of any), in order of
    name; none where the model has no segments."""
    get_model(session, viewer, model)
    names = select(MetricPoint.segment).distinct().where(
        *_scope(model, environment, size, kinds, since, until, None), MetricPoint.segment != ""
    )  # fmt: skip
    return sorted(session.scalars(names))


def _scope(
    model: str, environment: str, size: str, kinds: Sequence[str], since: datetime | None, until: datetime | None,
    segment: str | None,
) -> list[ColumnElement[bool]]:  # fmt: skip
    found = [
        MetricPoint.model == model, MetricPoint.environment == environment, MetricPoint.size == size,
        MetricPoint.kind.in_(list(kinds)),
    ]  # fmt: skip
    if since is not None:
        found.append(MetricPoint.window_start >= since)
    if until is not None:
        found.append(MetricPoint.window_start <= until)
    if segment is not None:
        found.append(MetricPoint.segment == segment)
    return found


def _frame(rows: Sequence[Any]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(POINT_COLUMNS))
    frame[list(NUMBERS)] = frame[list(NUMBERS)].astype("float64")
    return frame

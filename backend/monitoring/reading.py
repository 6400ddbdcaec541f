"""Reading what the metrics job stored: health of models, series, and one column of one window.

Every function takes the viewer first and returns plain values. Unknown stays None: nothing here turns a missing
figure into zero or into "fine".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import pandas as pd
from sqlalchemy import and_, func, or_, select

from backend.database.session import ReadSession
from backend.errors import NotFound
from backend.identity.actor import Actor
from backend.monitoring.grids import Grid
from backend.monitoring.profiles import Profile
from backend.monitoring.tables import MetricPoint, ReferenceProfile, WindowProfile, WindowState
from backend.registry.service import get_model
from backend.registry.tables import Model

COLUMN_KINDS = ("drift", "quality", "prediction")
SHOWN_CATEGORIES = 15

WINDOW_COLUMNS = (
    "id", "start", "end", "version", "rows", "injected_rows", "labels_known", "labels_absent", "state",
    "computed_at", "dirty_at", "watermark",
)  # fmt: skip
POINT_COLUMNS = (
    "window_id", "window_start", "segment", "kind", "column", "statistic", "value", "low", "high", "threshold",
    "reference_value", "verdict", "level", "reason", "rows_reference", "rows", "completeness", "effect", "effect_se",
    "importance", "first_value", "first_computed_at", "computed_at",
)  # fmt: skip


@dataclass(frozen=True)
class RecentPoint:
    """The realised (or estimated) value of one window, as a line of a model's history."""

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


@dataclass(frozen=True)
class RecentWindows:
    """The latest windows of one model and size, oldest first, with one metric's points.

    last_rows    the latest window with rows that has been computed, or None
    open_rows    rows of windows that are waiting to be computed
    """

    size: str
    realised: tuple[RecentPoint, ...]
    estimated: tuple[RecentPoint, ...]
    last_start: datetime | None
    last_end: datetime | None
    last_rows: int | None
    last_completeness: float | None
    computed_at: datetime | None


def completeness_of(rows: int, known: int, absent: int) -> float | None:
    """Labels known / labels that can come; None where no label can be there."""
    expected = rows - absent
    return min(known / expected, 1.0) if expected > 0 else None


def recent_windows(
    session: ReadSession,
    viewer: Actor,
    models: Sequence[Model],
    environment: str,
    *,
    statistic: str = "roc_auc",
    count: int = 28,
) -> dict[str, RecentWindows]:
    """Per model, its last `count` windows of the trend's size with one metric. Two queries for any number of models.

    Raises `NotFound` for a model the viewer may not see.
    """  # fmt: skip
    if not models:
        return {}
    for model in models:
        get_model(session, viewer, model.name)
    sizes = {model.name: str(model.spec["window"]) for model in models}
    mine = or_(*(and_(WindowState.model == name, WindowState.size == size) for name, size in sizes.items()))
    newest = func.row_number().over(partition_by=WindowState.model, order_by=WindowState.start.desc())
    ranked = (
        select(WindowState.id, newest.label("place"))
        .where(mine, WindowState.environment == environment, WindowState.computed_at.is_not(None), WindowState.rows > 0)
        .subquery()
    )  # fmt: skip
    windows = session.scalars(
        select(WindowState).join(ranked, ranked.c.id == WindowState.id).where(ranked.c.place <= count)
        .order_by(WindowState.start)
    ).all()  # fmt: skip
    points = session.scalars(
        select(MetricPoint).join(ranked, ranked.c.id == MetricPoint.window_id)
        .where(
            ranked.c.place <= count, MetricPoint.statistic == statistic, MetricPoint.column == "",
            MetricPoint.segment == "",
            MetricPoint.kind.in_(("realised", "estimated")),
        )
    ).all()  # fmt: skip
    by_window = {(point.window_id, point.kind): point for point in points}
    return {
        name: _recent([window for window in windows if window.model == name], by_window, size)
        for name, size in sizes.items()
    }


def _recent(
    windows: Sequence[WindowState], points: dict[tuple[int, str], MetricPoint], size: str
) -> RecentWindows:
    def line(kind: str) -> tuple[RecentPoint, ...]:
        return tuple(
            RecentPoint(
                window.start, window.end, point.value, point.low, point.high, point.verdict, point.rows,
                completeness_of(window.rows, window.labels_known, window.labels_absent), point.computed_at,
                window.version, point.reference_value,
            )
            for window in windows
            if (point := points.get((window.id, kind))) is not None
        )  # fmt: skip

    last = windows[-1] if windows else None
    return RecentWindows(
        size=size,
        realised=line("realised"),
        estimated=line("estimated"),
        last_start=last.start if last else None,
        last_end=last.end if last else None,
        last_rows=last.rows if last else None,
        last_completeness=completeness_of(last.rows, last.labels_known, last.labels_absent) if last else None,
        computed_at=last.computed_at if last else None,
    )


def list_windows(
    session: ReadSession, viewer: Actor, model: str, environment: str, *, size: str, limit: int = 120
) -> pd.DataFrame:
    """The latest `limit` windows, oldest first: `WINDOW_COLUMNS` and `completeness` (0..1, NaN: no label can come)."""
    get_model(session, viewer, model)
    found = session.execute(
        select(*(getattr(WindowState, name) for name in WINDOW_COLUMNS))
        .where(WindowState.model == model, WindowState.environment == environment, WindowState.size == size)
        .order_by(WindowState.start.desc()).limit(limit)
    ).all()  # fmt: skip
    rows = list(reversed(found))
    frame = pd.DataFrame(rows, columns=list(WINDOW_COLUMNS))
    shares = [completeness_of(row.rows, row.labels_known, row.labels_absent) for row in rows]
    return frame.assign(completeness=pd.Series(shares, dtype="float64"))


def known_statistics(
    session: ReadSession, viewer: Actor, model: str, environment: str, *, size: str, kinds: Sequence[str]
) -> list[str]:
    """The names of the statistics that have points, in order of name."""
    get_model(session, viewer, model)
    names = select(MetricPoint.statistic).distinct().where(
        MetricPoint.model == model, MetricPoint.environment == environment, MetricPoint.size == size,
        MetricPoint.kind.in_(list(kinds)),
    )  # fmt: skip
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
    statistic: str | None = None,
    window_id: int | None = None,
    segment: str | None = "",
) -> pd.DataFrame:
    """Metric points from `since` on, or of one window, oldest first: `POINT_COLUMNS`, missing numbers NaN.

    segment   "" for figures of all rows, "column=value" for those of one segment, None for both
    """
    get_model(session, viewer, model)
    query = select(*(getattr(MetricPoint, name) for name in POINT_COLUMNS)).where(
        MetricPoint.model == model, MetricPoint.environment == environment, MetricPoint.size == size,
        MetricPoint.kind.in_(list(kinds)),
    )  # fmt: skip
    if since is not None:
        query = query.where(MetricPoint.window_start >= since)
    if statistic is not None:
        query = query.where(MetricPoint.statistic == statistic)
    if window_id is not None:
        query = query.where(MetricPoint.window_id == window_id)
    if segment is not None:
        query = query.where(MetricPoint.segment == segment)
    rows = session.execute(query.order_by(MetricPoint.window_start)).all()
    frame = pd.DataFrame(rows, columns=list(POINT_COLUMNS))
    numbers = ["value", "low", "high", "threshold", "reference_value", "completeness", "effect", "effect_se",
               "importance", "first_value"]  # fmt: skip
    frame[numbers] = frame[numbers].astype("float64")
    return frame


def column_in_window(
    session: ReadSession, viewer: Actor, window_id: int, column: str
) -> tuple[dict[str, Any], Profile, Profile]:
    """One column of one window beside the reference of the version that served: shares for a chart, and both
    profiles (reference, window). Raises `NotFound` where either has not been stored.
    """
    window = session.get(WindowState, window_id)
    if window is None:
        raise NotFound("there is no such window that you may see")
    get_model(session, viewer, window.model)
    counted = session.get(WindowProfile, (window_id, column, ""))
    if counted is None:
        raise NotFound(f"no profile of {column} is stored for this window; compute its metrics first")
    frozen = session.get(ReferenceProfile, (window.model, counted.version, column, ""))
    if frozen is None:
        raise NotFound(f"version {counted.version} has no reference profile of {column}")
    grid = Grid.from_json(frozen.grid)
    reference = Profile.from_json(frozen.profile, grid)
    current = Profile.from_json(counted.profile, grid)
    return shares_of(grid, reference, current), reference, current


def shares_of(grid: Grid, reference: Profile, current: Profile) -> dict[str, Any]:
    """Two profiles of one grid as shares of all their rows, in the layout of `app.charts.distribution_figure`.

    Few numeric values are drawn as bins around each value. Infinite values count as above.
    """
    both = (reference, current)

    def share(counts: Any, profile: Profile) -> Any:
        return counts / max(profile.rows, 1)

    null = tuple(share(profile.missing, profile) for profile in both)
    if grid.kind == "categorical":
        return _category_shares(grid, reference, current) | {"null": null}
    infinite = [share(profile.infinite, profile) for profile in both]
    outside = {
        "underflow": tuple(share(int(profile.counts[0]), profile) for profile in both),
        "overflow": tuple(
            share(int(profile.counts[-1]), profile) + extra
            for profile, extra in zip(both, infinite, strict=True)
        ),
        "null": null,
    }
    if grid.edges:
        series = {
            name: share(grid.draw(profile.counts), profile).tolist()
            for name, profile in zip(("reference", "current"), both, strict=True)
        }
        return {"kind": "numeric", "edges": grid.drawn_borders.tolist(), **series, **outside}
    if len(grid.values) < 3:
        labels = [f"{value:g}" for value in grid.values]
        series = {
            name: share(profile.counts[1::2][: len(labels)], profile).tolist()
            for name, profile in zip(("reference", "current"), both, strict=True)
        }
        rest = tuple(
            max(0.0, 1.0 - sum(series[name]) - gone)
            for name, gone in zip(("reference", "current"), null, strict=True)
        )
        return {"kind": "categorical", "labels": labels, **series, "other": rest, "null": null}
    values = [float(value) for value in grid.values]
    middles = [(a + b) / 2 for a, b in pairwise(values)]
    edges = [values[0] - (middles[0] - values[0]), *middles, values[-1] + (values[-1] - middles[-1])]
    series = {}
    for name, profile in zip(("reference", "current"), both, strict=True):
        inner = profile.counts[1:-1]
        at, between = inner[0::2].copy(), inner[1::2]
        at[: len(between)] += between
        series[name] = share(at, profile).tolist()
    return {"kind": "numeric", "edges": edges, **series, **outside}


def _category_shares(grid: Grid, reference: Profile, current: Profile) -> dict[str, Any]:
    """The most frequent categories of either side, the unseen ones of the window, and the rest together."""
    labels = [str(value) for value in grid.values]
    sides = [(profile.counts / max(profile.rows, 1)).tolist() for profile in (reference, current)]
    ranked = sorted(range(len(labels)), key=lambda i: max(sides[0][i], sides[1][i]), reverse=True)[
        :SHOWN_CATEGORIES
    ]
    shown = {"reference": [sides[0][i] for i in ranked], "current": [sides[1][i] for i in ranked]}
    names, unseen = [labels[i] for i in ranked], []
    strange = sorted((current.unseen or {}).items(), key=lambda item: -item[1])[:5]
    for label, rows in strange:
        names.append(label)
        unseen.append(label)
        shown["reference"].append(0.0)
        shown["current"].append(rows / max(current.rows, 1))
    known = [sum(side) for side in sides]
    other = tuple(max(0.0, known[i] - sum(shown[name])) for i, name in enumerate(("reference", "current")))
    return {"kind": "categorical", "labels": names, **shown, "unseen": unseen, "other": other}

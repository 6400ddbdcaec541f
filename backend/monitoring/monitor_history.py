"""The stored figures that monitors look at, as arrays."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import func, select

from backend.database.session import ReadSession
from backend.monitoring.columns import parse_spec
from backend.monitoring.fairness import KIND as FAIRNESS
from backend.monitoring.kpi_service import kpi_figures, kpi_names
from backend.monitoring.monitor_replay import Floats, History, Series
from backend.monitoring.monitors import Figure
from backend.monitoring.reading import completeness_of
from backend.monitoring.tables import MetricPoint, ReferenceSummary, WindowState
from backend.monitoring.windows import Window
from backend.registry.tables import Model

MOST_WINDOWS = 10_000
OFFERED_WINDOWS = 60
VOLUME = Figure("volume", "", "rows")
_FINISHED = ("complete", "no_traffic")


def read_history(
    session: ReadSession,
    model: str,
    environment: str,
    *,
    size: str,
    figures: Collection[Figure],
    limit: int = MOST_WINDOWS,
) -> History:
    """The newest `limit` finished windows with the figures asked for, oldest first.

    Windows in which no traffic was expected are passed over. The rows of a window are the figure `VOLUME`; figures of
    the user's own have the kind `kpi`, their name as column, and the statistic `mean`, `total` or `rows`.
    """
    # On the connection: the session's own way of making rows costs as much as the rest of the reading.
    rows = session.connection().execute(
        select(
            WindowState.id, WindowState.start, WindowState.end, WindowState.version, WindowState.rows,
            WindowState.labels_known, WindowState.labels_absent,
        )
        .where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == size,
            WindowState.computed_at.is_not(None), WindowState.state.in_(_FINISHED),
        )
        .order_by(WindowState.start.desc(), WindowState.number.desc())
        .limit(limit)
    ).all()[::-1]  # fmt: skip
    windows = [Window(row.start, max(row.end, row.start + timedelta(microseconds=1))) for row in rows]
    versions = np.array([-1 if row.version is None else row.version for row in rows], dtype=np.int64)
    series: dict[Figure, Series] = {}
    if rows:
        shares = [completeness_of(row.rows, row.labels_known, row.labels_absent) for row in rows]
        completeness = np.array([np.nan if share is None else share for share in shares], dtype=np.float64)
        place = {row.id: i for i, row in enumerate(rows)}
        for figure in figures:
            if figure.kind != "kpi":
                found = _stored(session, model, environment, size, rows[0].start, figure, place, completeness)
                if found is not None:
                    series[figure] = found
        if VOLUME in figures:
            series[VOLUME] = _plain(np.array([row.rows for row in rows], dtype=np.float64))
        wanted = [figure for figure in figures if figure.kind == "kpi"]
        for figure, values in kpi_figures(session, model, environment, windows, wanted).items():
            series[figure] = _plain(values)
    return History(windows, versions, series, _wait(session, model))


def known_figures(session: ReadSession, model: str, environment: str, *, size: str) -> list[Figure]:
    """Every figure that a monitor of these windows can look at, as the newest of them have it, in order."""
    newest = (
        select(WindowState.start)
        .where(WindowState.model == model, WindowState.environment == environment, WindowState.size == size)
        .order_by(WindowState.start.desc())
        .limit(OFFERED_WINDOWS)
        .subquery()
    )
    found = session.execute(
        select(MetricPoint.kind, MetricPoint.column, MetricPoint.statistic, MetricPoint.segment)
        .where(
            MetricPoint.model == model, MetricPoint.environment == environment, MetricPoint.size == size,
            MetricPoint.window_start >= select(func.min(newest.c.start)).scalar_subquery(),
        )
        .distinct()
    ).all()  # fmt: skip
    figures = {Figure(*row) for row in found} | {VOLUME}
    for name, segment in kpi_names(session, model, environment):
        figures |= {Figure("kpi", name, statistic, segment) for statistic in ("mean", "total", "rows")}
    return sorted(figures)


def _wait(session: ReadSession, model: str) -> timedelta:
    """How long labels may take, by the newest version's reference, else as the spec declares; 0 where nothing tells."""
    summary = session.scalars(
        select(ReferenceSummary)
        .where(ReferenceSummary.model == model)
        .order_by(ReferenceSummary.version.desc())
        .limit(1)
    ).first()
    looks = summary.trust.get("label_looks") if summary is not None else None
    measured = timedelta(seconds=float(looks[-1][0])) if looks else timedelta(0)
    registered = session.get(Model, model)
    declared = parse_spec(registered.spec).label_delay_s if registered is not None else None
    return measured or timedelta(seconds=declared or 0.0)


def _stored(
    session: ReadSession, model: str, environment: str, size: str, since: datetime, figure: Figure,
    place: dict[int, int], completeness: Floats,
) -> Series | None:  # fmt: skip
    """One figure in each window; None where it has no point. Asked by window, which the points' own key finds: a scan
    of all points of a year would take minutes.
    """
    rows = session.connection().execute(
        select(
            MetricPoint.window_id, MetricPoint.value, MetricPoint.threshold, MetricPoint.reference_value,
            MetricPoint.rows, MetricPoint.verdict, MetricPoint.low, MetricPoint.high,
        )
        .select_from(WindowState)
        .join(MetricPoint, MetricPoint.window_id == WindowState.id)
        .where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == size,
            WindowState.start >= since, MetricPoint.segment == figure.segment, MetricPoint.kind == figure.kind,
            MetricPoint.column == figure.column, MetricPoint.statistic == figure.statistic,
        )
    ).all()  # fmt: skip
    known = [row for row in rows if row[0] in place]
    if not known:
        return None
    ids, values, limits, references, many, verdicts, lows, highs = zip(*known, strict=True)
    at = np.array([place[one] for one in ids])
    series = replace(_plain(np.full(len(place), np.nan)), completeness=completeness)
    for target, source in ((series.value, values), (series.limit, limits), (series.reference, references)):
        target[at] = np.array(source, dtype=np.float64)  # None becomes NaN
    series.rows[at] = many
    series.alarm[at] = [one == "alarm" for one in verdicts]
    series.judged[at] = [one in ("alarm", "ok") for one in verdicts]
    if figure.kind == FAIRNESS:  # a wide interval of a small group is beyond nothing
        low, high = np.full(len(place), np.nan), np.full(len(place), np.nan)
        low[at], high[at] = np.array(lows, dtype=np.float64), np.array(highs, dtype=np.float64)
        series = replace(series, low=low, high=high)
    return series


def _plain(value: Floats) -> Series:
    """A figure that Warrant does not judge itself."""
    count = len(value)
    return Series(
        value=value, limit=np.full(count, np.nan), reference=np.full(count, np.nan), rows=np.zeros(count),
        completeness=np.full(count, np.nan), alarm=np.zeros(count, dtype=bool), judged=np.zeros(count, dtype=bool),
    )  # fmt: skip

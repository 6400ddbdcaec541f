"""Health, windows, statistics and service levels."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from app.data.kept import until_stored
from app.data.scope import SHORT, Scope, environment, for_all_alike
from app.words import readable
from backend.database.session import reading
from backend.errors import NotFound
from backend.monitoring import distributions, health, kpi_service
from backend.monitoring import reading as monitoring
from backend.monitoring.fairness.standing import read_standing
from backend.monitoring.limit_grounds import LimitGrounds, limit_grounds
from backend.monitoring.track_service import TrackSummary, read_track_record


@for_all_alike
@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def overview(scope: Scope) -> list[health.ModelHealth]:
    with reading() as session:
        return [_said(one) for one in health.overview(session, scope.actor(), environment())]


@for_all_alike
@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def health_of(scope: Scope, model: str) -> health.ModelHealth:
    with reading() as session:
        return _said(health.health_of(session, scope.actor(), model, environment()))


@for_all_alike
@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def windows(
    scope: Scope, model: str, size: str, *, limit: int = 120, since: datetime | None = None,
    before: datetime | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The latest `limit` windows of those that begin from `since` on and `before` a moment, oldest first."""
    with reading() as session:
        return monitoring.list_windows(
            session, scope.actor(), model, environment(), size=size, limit=limit, since=since, before=before
        )


@until_stored
def statistics(
    scope: Scope,
    model: str,
    size: str,
    kinds: tuple[str, ...],
    *,
    since: datetime | None,
    until: datetime | None = None,
    of_columns: bool = False,
) -> list[str]:
    """Which statistics have points of windows from `since` to `until`; `of_columns`: without those of whole windows."""
    with reading() as session:
        return monitoring.known_statistics(
            session,
            scope.actor(),
            model,
            environment(),
            size=size,
            kinds=kinds,
            since=since,
            until=until,
            of_columns=of_columns,
        )


@until_stored
def points(
    scope: Scope,
    model: str,
    size: str,
    kinds: tuple[str, ...],
    *,
    statistic: str | None,
    since: datetime | None,
    until: datetime | None = None,
    column: str | None = None,
    segment: str | None = "",
) -> pd.DataFrame:
    """One statistic, or every one, over time. `segment`: "" all rows, None those and each segment."""
    with reading() as session:
        return monitoring.list_points(
            session,
            scope.actor(),
            model,
            environment(),
            size=size,
            kinds=kinds,
            since=since,
            until=until,
            statistic=statistic,
            column=column,
            segment=segment,
        )


@until_stored
def window_points(
    scope: Scope, model: str, size: str, kinds: tuple[str, ...], window_id: int, segment: str = ""
) -> pd.DataFrame:
    """Every statistic of one window, of all rows or of one segment."""
    with reading() as session:
        return monitoring.list_points(
            session,
            scope.actor(),
            model,
            environment(),
            size=size,
            kinds=kinds,
            window_id=window_id,
            segment=segment,
        )


@until_stored
def worst_points(
    scope: Scope, model: str, size: str, kinds: tuple[str, ...], *, since: datetime | None,
    until: datetime | None = None, segment: str = "",
) -> pd.DataFrame:  # fmt: skip
    """The most telling point of each column in each window."""
    with reading() as session:
        return monitoring.worst_points(
            session,
            scope.actor(),
            model,
            environment(),
            size=size,
            kinds=kinds,
            since=since,
            until=until,
            segment=segment,
        )


@until_stored
def segments(
    scope: Scope, model: str, size: str, kinds: tuple[str, ...], *, since: datetime | None,
    until: datetime | None = None,
) -> list[str]:  # fmt: skip
    """Which segments have points of windows from `since` to `until`."""
    with reading() as session:
        return monitoring.known_segments(
            session, scope.actor(), model, environment(), size=size, kinds=kinds, since=since, until=until
        )


@until_stored
def fairness(scope: Scope, model: str) -> list[dict[str, Any]]:
    """Every gap between groups as the newest windows that can speak have it."""
    with reading() as session:
        return [
            {
                "attribute": one.point.column, "statistic": one.point.statistic, "value": one.point.value,
                "low": one.point.low, "high": one.point.high, "threshold": one.point.threshold,
                "verdict": one.point.verdict, "level": one.point.level, "text": readable(one.point.text),
                "reason": one.point.reason, "rows": one.point.rows, "judged": one.judged,
                "start": one.window.start, "end": one.window.end, "version": one.window.version,
            }
            for one in read_standing(session, scope.actor(), model, environment())
        ]  # fmt: skip


@until_stored
def track(scope: Scope, model: str, version: int, size: str, metric: str) -> TrackSummary:
    """How good a version's estimates of a metric turned out to be, and whether they may page."""
    with reading() as session:
        return read_track_record(
            session, scope.actor(), model, environment(), version=version, size=size, metric=metric
        )


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def kpis(
    scope: Scope, model: str, size: str, since: datetime | None, until: datetime | None = None
) -> pd.DataFrame:
    """Figures of the user's own in the model's windows, of rows from `since` on and before `until`."""
    with reading() as session:
        return kpi_service.kpi_series(
            session, scope.actor(), model, environment(), size=size, since=since, until=until
        )


@until_stored
def grounds(scope: Scope, model: str, version: int | None, size: str) -> LimitGrounds:
    """What the limits of a version in windows of a size rest on."""
    with reading() as session:
        return limit_grounds(session, scope.actor(), model, version, size)


@until_stored
def comparison(
    scope: Scope,
    model: str,
    window_id: int,
    column: str,
    against: distributions.Against,
    segment: str = "",
    other: int | None = None,
) -> distributions.Compared | None:
    """One column of one window beside a reference; None where its counts, or the reference's, are not stored."""
    with reading() as session:
        try:
            return distributions.compare_column(
                session, scope.actor(), window_id, column, against=against, segment=segment, other=other
            )
        except NotFound:
            return None


@until_stored
def column_facts(
    scope: Scope, model: str, window_id: int
) -> dict[str, tuple[distributions.Side, distributions.Side]]:
    """Every column of one window beside its version's reference, in figures."""
    with reading() as session:
        return distributions.describe_columns(session, scope.actor(), window_id)


@until_stored
def segment_comparisons(
    scope: Scope, model: str, window_id: int, column: str
) -> dict[str, distributions.Compared]:
    """One column of one window in each of its largest segments, beside the same segment of the reference."""
    with reading() as session:
        return distributions.compare_segments(session, scope.actor(), window_id, column)


def _said(one: health.ModelHealth) -> health.ModelHealth:
    return replace(one, because=readable(one.because))

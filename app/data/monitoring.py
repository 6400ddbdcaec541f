"""Health, windows, statistics and service levels."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from app.data.rows import row_of
from app.data.scope import LONG, SHORT, Scope, environment
from app.words import readable
from backend.database.session import reading
from backend.monitoring import health
from backend.monitoring import reading as monitoring
from backend.slo import service as slo


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def overview(scope: Scope) -> list[health.ModelHealth]:
    with reading() as session:
        return [_said(one) for one in health.overview(session, scope.actor(), environment())]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def health_of(scope: Scope, model: str) -> health.ModelHealth:
    with reading() as session:
        return _said(health.health_of(session, scope.actor(), model, environment()))


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def windows(scope: Scope, model: str, size: str) -> pd.DataFrame:
    with reading() as session:
        return monitoring.list_windows(session, scope.actor(), model, environment(), size=size)


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def statistics(scope: Scope, model: str, size: str, kinds: tuple[str, ...]) -> list[str]:
    with reading() as session:
        return monitoring.known_statistics(
            session, scope.actor(), model, environment(), size=size, kinds=kinds
        )


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def points(
    scope: Scope, model: str, size: str, kinds: tuple[str, ...], *, statistic: str, since: datetime | None
) -> pd.DataFrame:
    """One statistic over time."""
    with reading() as session:
        return monitoring.list_points(
            session,
            scope.actor(),
            model,
            environment(),
            size=size,
            kinds=kinds,
            since=since,
            statistic=statistic,
        )


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def window_points(
    scope: Scope, model: str, size: str, kinds: tuple[str, ...], window_id: int
) -> pd.DataFrame:
    """Every statistic of one window."""
    with reading() as session:
        return monitoring.list_points(
            session, scope.actor(), model, environment(), size=size, kinds=kinds, window_id=window_id
        )


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def distribution(scope: Scope, window_id: int, column: str) -> dict[str, Any]:
    with reading() as session:
        shares, reference, current = monitoring.column_in_window(session, scope.actor(), window_id, column)
        facts = [
            {"rows": one.rows, "missing": one.missing, "mean": one.mean, "low": one.low, "high": one.high}
            for one in (reference, current)
        ]
        return {"shares": shares, "reference": facts[0], "current": facts[1]}


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def indicators(scope: Scope, model: str) -> list[dict[str, Any]]:
    """The latest service-level readings of a model."""
    with reading() as session:
        return [row_of(one) for one in slo.list_readings(session, scope.actor(), model, environment())]


def _said(one: health.ModelHealth) -> health.ModelHealth:
    return replace(one, because=readable(one.because))

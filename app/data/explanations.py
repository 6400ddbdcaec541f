"""Explanations of single predictions and of versions, as pages draw them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import streamlit as st

from app.data.rows import row_of
from app.data.scope import LONG, SHORT, Scope, environment
from backend.data_rights.explanation import find_run
from backend.database.session import reading
from backend.explain import rows
from backend.explain.differences import compare_explanations
from backend.explain.predictions import find_stored
from backend.explain.views import leaning_view
from backend.explain.windows import list_leanings
from backend.identity.roles import Permission
from backend.registry.service import get_model

DRAWN_WINDOWS: Final = 90
MOST_OF_A_RANGE: Final = 750


def explaining(scope: Scope, model: str, prediction_id: str) -> dict[str, Any] | None:
    """The run that computes what moved a prediction, or the newest that failed to since it was asked for; as it is now.
    None where nobody asked or it is stored by now."""
    viewer = scope.actor()
    viewer.require_some(Permission.EXPLAIN_PREDICTION)
    with reading() as session:
        get_model(session, viewer, model)
        run = find_run(session, model, prediction_id, ("queued", "running"))
        if run is None and find_stored(session, model, prediction_id) is None:
            run = find_run(session, model, prediction_id, ("failed",))
        return row_of(run) if run is not None else None


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def explained_counts(scope: Scope, model: str, version: int) -> dict[str, int]:
    with reading() as session:
        return rows.count_stored(session, scope.actor(), model, version)


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=100)
def sampled_importance(scope: Scope, model: str, version: int) -> dict[str, Any] | None:
    with reading() as session:
        return rows.importance(session, scope.actor(), model, version)


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=20)
def local_values(scope: Scope, model: str, version: int) -> rows.LocalValues | None:
    with reading() as session:
        return rows.list_values(session, scope.actor(), model, version)


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=100)
def cohorts(scope: Scope, model: str, version: int, column: str) -> list[str]:
    with reading() as session:
        return rows.cohorts(session, scope.actor(), model, version, column)


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=100)
def cohort(scope: Scope, model: str, version: int, column: str, value: str) -> dict[str, Any]:
    with reading() as session:
        return rows.compare_cohort(session, scope.actor(), model, version, column=column, value=value)


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=100)
def leanings(
    scope: Scope, model: str, version: int, since: datetime | None = None, until: datetime | None = None
) -> list[dict[str, Any]]:
    """What a version leant on in the newest explained windows, of a range where one is given, and their segments, the
    oldest first."""
    with reading() as session:
        most = DRAWN_WINDOWS if since is None else MOST_OF_A_RANGE
        found = list_leanings(
            session, scope.actor(), model, environment(), version=version, most=most, since=since, until=until
        )
        return leaning_view(session, found)


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=100)
def explanations_apart(scope: Scope, model: str, before: int, after: int) -> dict[str, Any] | None:
    """On what two versions lean, side by side."""
    with reading() as session:
        get_model(session, scope.actor(), model)
        return compare_explanations(session, model, before, after)

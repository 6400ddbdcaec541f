"""The blocks of the first page: a few rows each, read in a session of its own, as each narrows it by its right."""

from __future__ import annotations

import streamlit as st

from app.data.scope import SHORT, Scope, environment
from backend.database.session import reading
from backend.home import reading as home
from backend.home.reading import Rows

BLOCKS = (
    "rollouts",
    "candidates",
    "changes",
    "budgets",
    "findings",
    "model_reviews",
    "access_reviews",
    "failed_jobs",
)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=400)
def home_rows(scope: Scope, block: str) -> Rows:
    """The first rows of one of `BLOCKS`, and how many there are."""
    viewer, here = scope.actor(), environment()
    with reading() as session:
        if block == "rollouts":
            return home.running_rollouts(session, viewer, here)
        if block == "candidates":
            return home.candidates(session, viewer, here)
        if block == "changes":
            return home.recent_changes(session, viewer, here)
        if block == "budgets":
            return home.burning_budgets(session, viewer, here)
        if block == "findings":
            return home.overdue_findings(session, viewer)
        if block == "model_reviews":
            return home.overdue_model_reviews(session, viewer)
        if block == "access_reviews":
            return home.overdue_access_reviews(session, viewer)
        return home.failed_jobs(session, viewer)

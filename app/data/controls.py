"""Catalogues of controls held against the record, and judgements on one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from app.data.rows import MOST_READ
from app.data.scope import LONG, SHORT, Scope, environment
from backend.controls.assessment import Assessment, assess
from backend.controls.judgements import list_judgements, why_not_judge
from backend.database.session import reading


@st.cache_data(ttl=LONG, show_spinner="Looking at the record…", max_entries=100)
def assessment(scope: Scope, catalogue: str, model: str | None, as_of: datetime | None) -> Assessment:
    with reading() as session:
        return assess(
            session, scope.actor(), catalogue=catalogue, model=model, as_of=as_of, environment=environment()
        )


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def judgements(scope: Scope, catalogue: str, control: str, model: str | None) -> list[dict[str, Any]]:
    with reading() as session:
        return list_judgements(
            session, scope.actor(), catalogue=catalogue, control=control, model=model, limit=MOST_READ
        )


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def judging_refused(scope: Scope, model: str | None) -> str:
    """Why the viewer signs no judgement about the model; empty where they may."""
    with reading() as session:
        return why_not_judge(session, scope.actor(), model)

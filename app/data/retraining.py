"""Runs of the retraining pipeline, what sets them off, and one before it is asked for."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.data.scope import SHORT, Scope
from backend.database.session import reading
from backend.governance import machine
from backend.governance.kinds import Asked
from backend.retraining import running, service, views
from backend.retraining.plan import Plan


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def retraining_runs(scope: Scope, model: str, limit: int = 20) -> list[dict[str, Any]]:
    """The newest runs of a model."""
    with reading() as session:
        return views.list_runs(session, scope.actor(), model=model, limit=limit)


def retraining_run(scope: Scope, run_id: str) -> dict[str, Any]:
    """One run as it is now: not kept, it moves."""
    with reading() as session:
        return views.run_view(session, scope.actor(), run_id)


def change_before(scope: Scope, run_id: str) -> dict[str, Any] | None:
    """The open change that a run will carry out, until it has begun; not kept."""
    with reading() as session:
        change = running.change_before(session, scope.actor(), run_id)
        if change is None:
            return None
        return {"id": change.id, "model": change.model, "words": machine.WORDS[change.state]}


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def retraining_triggers(scope: Scope, model: str) -> dict[str, Any]:
    """What sets off retraining of a model, and the causes that were seen."""
    with reading() as session:
        return views.triggers_view(session, scope.actor(), model)


def retraining_preview(scope: Scope, asked: Asked, plan: Plan) -> dict[str, Any]:
    """A retraining before it is asked for: not kept, since asking is bound to what is shown."""
    with reading() as session:
        return service.preview_retraining(session, scope.actor(), asked, plan)

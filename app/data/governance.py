"""Changes to production: those that wait, one as it is now, and one before it is asked for."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.data.scope import SHORT, Scope, environment
from backend.database.session import reading
from backend.governance import service as governance
from backend.governance import views


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=500)
def inbox(scope: Scope) -> list[dict[str, Any]]:
    """Changes that wait for this person's decision."""
    with reading() as session:
        return [
            views.change_summary(session, change) for change in governance.waiting_for(session, scope.actor())
        ]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def changes(
    scope: Scope, states: tuple[str, ...] = (), limit: int = 50, before: int | None = None
) -> list[dict[str, Any]]:
    with reading() as session:
        found = governance.list_changes(session, scope.actor(), states=states, limit=limit, before=before)
        return [views.change_summary(session, change) for change in found]


def change(scope: Scope, change_id: int) -> dict[str, Any]:
    """One change as it is now: not kept, since a decision is bound to what is shown."""
    viewer = scope.actor()
    with reading() as session:
        return views.change_detail(session, viewer, governance.get_change(session, viewer, change_id))


def preview(
    scope: Scope, *, kind: str, model: str, to_version: int | None, alert_id: int | None
) -> dict[str, Any]:
    """A change before it is asked for: not kept, since asking is bound to what is shown."""
    with reading() as session:
        return views.preview_view(
            governance.preview_change(
                session, scope.actor(), kind=kind, model=model, environment=environment(), to_version=to_version,
                alert_id=alert_id,
            )
        )  # fmt: skip

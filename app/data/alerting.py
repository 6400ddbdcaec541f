"""Alerts, incidents, and what happened to a model."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.data.rows import alert_of, row_of
from app.data.scope import SHORT, Scope, environment
from app.words import readable
from backend.alerting import service as alerting
from backend.database.session import reading
from backend.deployment import service as deployments
from backend.governance import service as governance
from backend.governance import views
from backend.identity.people import names_of


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def firing(scope: Scope, model: str | None = None) -> list[dict[str, Any]]:
    with reading() as session:
        found = alerting.firing_alerts(session, scope.actor(), models=[model] if model else None)
        return [alert_of(alert) for alert in found]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def open_incidents(scope: Scope) -> list[dict[str, Any]]:
    with reading() as session:
        found = alerting.recent_incidents(session, scope.actor())
        return [alert_of(incident) for incident in found if incident.state == "open"]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def incident(scope: Scope, incident_id: int) -> dict[str, Any]:
    """An incident, its alerts, and every change and deployment of its model around it."""
    viewer = scope.actor()
    with reading() as session:
        found = alerting.get_incident(session, viewer, incident_id)
        alerts = alerting.recent_alerts(session, viewer, incident_id=incident_id)
        names = names_of(session, {found.acknowledged_by})
        changes = governance.list_changes(session, viewer, model=found.model, limit=20)
        served = deployments.history(session, viewer, found.model, found.environment)[:10]
        return alert_of(found) | {
            "acknowledged_by_name": names.get(found.acknowledged_by or ""),
            "alerts": [alert_of(alert) for alert in alerts],
            "changes": [views.change_summary(session, change) for change in changes],
            "deployments": [row_of(one) for one in served],
        }


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def marks(scope: Scope, model: str) -> list[dict[str, Any]]:
    """What happened to a model, for marks on time axes: alerts and incidents of late."""
    viewer = scope.actor()
    with reading() as session:
        incidents = alerting.recent_incidents(session, viewer, model=model, limit=30)
        alerts = alerting.recent_alerts(session, viewer, model=model, limit=100)
        return [
            {"at": one.opened_at, "text": f"INC-{one.id}: {readable(one.title)}", "level": "page"} for one in incidents
        ] + [
            {"at": one.since, "text": readable(one.title), "level": "attention"}
            for one in alerts
            if one.level == "ticket"
        ]  # fmt: skip


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def alerts_about(scope: Scope, model: str) -> list[dict[str, Any]]:
    """The latest alerts of a model in this environment, newest first."""
    with reading() as session:
        found = alerting.recent_alerts(session, scope.actor(), model=model, limit=100)
        return [alert_of(one) for one in found if one.environment == environment()]

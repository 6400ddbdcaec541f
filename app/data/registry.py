"""Models, their versions, cards, explanations and reports."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.data.rows import MOST_READ, row_of
from app.data.scope import LONG, SHORT, Scope, environment, for_all_alike
from backend.database.session import reading
from backend.deployment import service as deployments
from backend.explain.reports import list_reports
from backend.explain.service import find_explanation
from backend.identity.people import names_of
from backend.identity.teams import team_names
from backend.registry import service as registry


@for_all_alike
@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def models(scope: Scope) -> dict[str, str]:
    """Title by name of every model that may be seen."""
    with reading() as session:
        return registry.titles_of_models(session, scope.actor())


@for_all_alike
@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def noticed_models(scope: Scope) -> list[str]:
    """Models whose data come with a notice, such as that their times are shifted."""
    with reading() as session:
        return list(registry.titles_of_models(session, scope.actor(), noticed=True))


@for_all_alike
@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def model(scope: Scope, name: str) -> dict[str, Any]:
    """A model, its versions (newest first) and deployments (newest first) with people's names."""
    viewer = scope.actor()
    with reading() as session:
        found = registry.get_model(session, viewer, name)
        versions = registry.list_versions(session, viewer, name, limit=MOST_READ)
        served = deployments.history(session, viewer, name, environment(), limit=MOST_READ)
        names = names_of(session, {
            found.owner_id, *(one.trained_by for one in versions), *(one.data_owner for one in versions)
        })  # fmt: skip
        return {
            "name": found.name, "title": found.title, "description": found.description, "tier": found.tier,
            "spec": found.spec, "notice": found.notice,
            "created_at": found.created_at, "owner": names.get(found.owner_id or ""),
            "team": team_names(session, [name]).get(name),
            "versions": [
                row_of(v)
                | {"trained_by_name": names.get(v.trained_by or ""), "data_owner_name": names.get(v.data_owner or "")}
                for v in versions
            ],
            "deployments": [row_of(one) for one in served],
            "gateways": [row_of(one) for one in deployments.live_reports(session, name, environment())],
        }  # fmt: skip


@for_all_alike
@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def explanation(scope: Scope, model: str, version: int) -> dict[str, Any] | None:
    with reading() as session:
        found = find_explanation(session, scope.actor(), model, version)
        return row_of(found) if found else None


@for_all_alike
@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def reports(scope: Scope, model: str) -> list[dict[str, Any]]:
    with reading() as session:
        return [row_of(report) for report in list_reports(session, scope.actor(), model, limit=20)]

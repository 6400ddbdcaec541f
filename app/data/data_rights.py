"""Requests of data subjects, rules of a model's data, and one prediction."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.data.rows import MOST_READ
from app.data.scope import SHORT, Scope
from backend.data_rights.explanation import Explained, explain_prediction
from backend.data_rights.requests import list_requests
from backend.data_rights.rules import count_opt_outs, rule_of
from backend.data_rights.views import request_views, rule_view
from backend.database.session import reading
from backend.holds.service import list_holds
from backend.holds.views import hold_views
from backend.identity.roles import Permission
from backend.monitoring.columns import parse_spec
from backend.registry.service import described_models, get_model
from backend.settings import settings


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def data_requests(scope: Scope) -> list[dict[str, Any]]:
    with reading() as session:
        return request_views(session, list_requests(session, scope.actor()))


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def open_holds(scope: Scope) -> list[dict[str, Any]]:
    """What nobody has released yet, the newest first."""
    with reading() as session:
        return hold_views(session, list_holds(session, scope.actor(), limit=MOST_READ))


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def data_rule(scope: Scope, model: str) -> dict[str, Any]:
    """What holds for a model's data; `subject` and `pseudonymise` are the spec's, `house_days` how long the house keeps
    payloads of the log."""
    with reading() as session:
        viewer = scope.actor()
        spec = parse_spec(get_model(session, viewer, model).spec)
        found = rule_view(rule_of(session, viewer, model), opt_outs=count_opt_outs(session, viewer, model))
        house = settings().audit_keep_payloads_days
        return {
            **found,
            "subject": spec.subject,
            "pseudonymise": list(spec.pseudonymise),
            "house_days": house,
        }


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def models_with_data(scope: Scope) -> list[str]:
    """Names of the models that have a spec, so whose rows are stored."""
    with reading() as session:
        described = {one.name for one in described_models(session)}
        return sorted(name for name in described if _visible(scope, name))


def _visible(scope: Scope, model: str) -> bool:
    reach = scope.actor().models_with(Permission.READ_MODELS)
    return reach is None or model in reach


@st.cache_data(ttl=SHORT, show_spinner="Looking for the prediction", max_entries=50)
def explained(scope: Scope, model: str, prediction_id: str) -> Explained:
    """Read from the store: only when somebody asked for this one prediction."""
    with reading() as session:
        return explain_prediction(
            session,
            scope.actor(),
            model=model,
            prediction_id=prediction_id,
            observations=settings().observations,
        )

"""Evidence packs, and the keys that verify them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.data.scope import SHORT, Scope
from backend.audit.signers import verifier_keys
from backend.database.session import reading
from backend.packs.service import list_packs, pack_views
from backend.registry.service import titles_of_models


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def evidence_packs(scope: Scope) -> list[dict[str, Any]]:
    """Newest first, with how far each is."""
    with reading() as session:
        return pack_views(session, list_packs(session, scope.actor()))


@st.cache_data(ttl=1, show_spinner=False, max_entries=50)
def packs_being_made(scope: Scope) -> list[dict[str, Any]]:
    with reading() as session:
        found = pack_views(session, list_packs(session, scope.actor(), limit=50))
    return [one for one in found if one["state"] in ("queued", "running")]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def models_to_choose(scope: Scope) -> list[str]:
    """Names of all models that the viewer may see."""
    with reading() as session:
        return list(titles_of_models(session, scope.actor()))


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=1)
def log_keys() -> list[str]:
    return [key.statement for key in verifier_keys()]

"""What a search finds, for a few seconds."""

from __future__ import annotations

import streamlit as st

from app.data.scope import SHORT, Scope
from backend.database.session import reading
from backend.search.hits import Found
from backend.search.service import search
from backend.settings import settings


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def found(scope: Scope, text: str, *, kind: str | None = None, limit: int = 8, stored: bool = False) -> Found:
    """`stored`: also read stored predictions, which only somebody who asks for it waits for."""
    with reading() as session:
        return search(
            session, scope.actor(), text, kind=kind, limit=limit,
            observations=settings().observations if stored else None,
        )  # fmt: skip

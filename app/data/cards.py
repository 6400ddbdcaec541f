"""Model cards: as they are read, their versions, what differs, and how an unsaved text would look."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.data.rows import MOST_READ
from app.data.scope import LONG, SHORT, Scope
from backend.cards.errors import NoSuchCard
from backend.cards.examination import Examined, examine_card, examine_text
from backend.cards.export import reading_blocks
from backend.cards.versions import card_diff, get_card_version
from backend.cards.views import card_view, version_views
from backend.database.session import reading
from backend.documents import html_of


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def card(
    scope: Scope, model: str, version: int, number: int | None = None, newest: bool = False
) -> dict[str, Any] | None:
    """A card with its safe HTML; None where the version has none."""
    viewer = scope.actor()
    with reading() as session:
        try:
            found = examine_card(session, viewer, model, version, number, newest=newest)
        except NoSuchCard:
            return None
        return {**card_view(session, viewer, found), "html": _html(found)}


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def card_versions(scope: Scope, model: str, version: int) -> list[dict[str, Any]]:
    with reading() as session:
        return version_views(session, scope.actor(), model, version, limit=MOST_READ)


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def card_changes(scope: Scope, model: str, version: int, before: int, after: int) -> list[str]:
    """The unified diff of two versions."""
    with reading() as session:
        texts = [
            get_card_version(session, scope.actor(), model, version, one).text for one in (before, after)
        ]
    return card_diff(texts[0], texts[1], names=(f"version {before}", f"version {after}"))


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def card_preview(scope: Scope, model: str, version: int, text: str) -> dict[str, Any]:
    """A text that is being written, as it would be read and judged."""
    with reading() as session:
        found = examine_text(session, scope.actor(), model, version, text)
    return {**found.as_dict(), "html": _html(found)}


def _html(found: Examined) -> str:
    return html_of(reading_blocks(found), below=1)

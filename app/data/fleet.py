"""The list of models: a page of it, what its filters can be set to, saved views, and what an act would do."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.data.scope import LONG, SHORT, Scope
from app.words import readable
from backend.database.session import reading
from backend.fleet import listing
from backend.fleet.acts import ActPreview, Asking, preview_act
from backend.fleet.views import MOST_VIEWS, View, list_views


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def fleet(
    scope: Scope, wanted: listing.Wanted, environment: str, offset: int = 0, limit: int | None = 50
) -> listing.FleetPage:
    with reading() as session:
        page = listing.list_fleet(session, scope.actor(), environment, wanted, offset=offset, limit=limit)
    return replace(page, rows=tuple(replace(one, because=readable(one.because)) for one in page.rows))


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=100)
def fleet_choices(scope: Scope) -> dict[str, list[tuple[str, str]]]:
    """(value, label) of the owners, teams and tags that there are."""
    with reading() as session:
        return listing.choices(session, scope.actor())


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=100)
def fleet_places(scope: Scope) -> list[str]:
    """The environments where models serve or served."""
    with reading() as session:
        return listing.environments(session, scope.actor())


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def fleet_names(scope: Scope, wanted: listing.Wanted, environment: str) -> list[str]:
    """Every model that matches, by name."""
    with reading() as session:
        return listing.names_matching(session, scope.actor(), environment, wanted)


def fleet_act(scope: Scope, asking: Asking, environment: str) -> ActPreview:
    """What an act would do now: never kept, as a person agrees to it."""
    with reading() as session:
        return preview_act(session, scope.actor(), asking, environment)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def views(scope: Scope) -> list[View]:
    with reading() as session:
        return list_views(session, scope.actor(), limit=5 * MOST_VIEWS)

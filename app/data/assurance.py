"""What people vouch for: the inventory, one model of it, serious incidents, and who can do what."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.data.rows import MOST_READ
from app.data.scope import SHORT, Scope, environment
from backend.access.movements import Movement, movements_in
from backend.access.reviews import Progress, items_of, list_reviews, teams_in_rights, who_may_review
from backend.access.rights import Right, rights_now
from backend.assurance import exceptions as excepting
from backend.assurance.inventory import Entry, Page, entry_of, list_models_kept, names_kept
from backend.assurance.lineage import Lineage, lineage_of
from backend.assurance.questionnaire import answers_of, asked_now
from backend.assurance.reading import assurance_of
from backend.assurance.serious_views import serious_view
from backend.audit.population import parse_period
from backend.database.session import reading
from backend.identity.people import names_of, names_to_choose


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def models_kept(
    scope: Scope, text: str, tiers: tuple[str, ...], kinds: tuple[str, ...], needing: bool, sort: str, offset: int,
    limit: int, team: str = "",
) -> Page:  # fmt: skip
    with reading() as session:
        return list_models_kept(
            session, scope.actor(), environment=environment(), text=text, tiers=tiers, kinds=kinds, needing=needing,
            sort=sort, offset=offset, limit=limit, team=team,
        )  # fmt: skip


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def model_names(scope: Scope) -> list[str]:
    """The names of every model of the inventory, described or not, to choose from."""
    with reading() as session:
        return names_kept(session, scope.actor())


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def model_kept(scope: Scope, model: str) -> Entry:
    with reading() as session:
        return entry_of(session, scope.actor(), model, environment=environment())


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def assurance(scope: Scope, model: str) -> dict[str, Any]:
    """Validations, findings and exceptions of a model, newest first, those that are over too."""
    viewer = scope.actor()
    with reading() as session:
        found = excepting.list_exceptions(session, viewer, model=model, limit=MOST_READ)
        return {
            **assurance_of(session, viewer, model),
            "exceptions": excepting.exception_views(session, found),
        }


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def tier_answers(scope: Scope, model: str) -> dict[str, Any]:
    """The questionnaire that is asked, and what was answered, newest first."""
    with reading() as session:
        now, rows = asked_now(session), answers_of(session, scope.actor(), model, limit=MOST_READ)
        names = names_of(session, {one.answered_by for one in rows})
        return {
            "revision": now.revision, "digest": now.digest, "document": now.document.as_dict(),
            "answers": [
                {"tier": one.tier, "levels": one.levels, "answers": one.answers, "note": one.note,
                 "answered_by": names[one.answered_by], "answered_at": one.answered_at,
                 "current": one.digest == now.digest}
                for one in rows
            ],
        }  # fmt: skip


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def lineage(scope: Scope, model: str) -> Lineage:
    with reading() as session:
        return lineage_of(session, scope.actor(), model)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def serious(scope: Scope, incident_id: int) -> dict[str, Any]:
    with reading() as session:
        return serious_view(session, scope.actor(), incident_id)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def people_to_choose(scope: Scope) -> dict[str, str]:
    """User name -> id of everybody who can be asked to do something, for those who keep the inventory."""
    with reading() as session:
        return names_to_choose(session, scope.actor())


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def access_rights(scope: Scope) -> list[Right]:
    with reading() as session:
        return rights_now(session, scope.actor())


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def reviewers(scope: Scope) -> dict[str, str]:
    """`Name (user name)` -> id of everybody who may review access."""
    with reading() as session:
        return who_may_review(session, scope.actor())


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def teams_to_review(scope: Scope) -> dict[str, str]:
    """Name -> id of every team, for whoever reviews access."""
    with reading() as session:
        return teams_in_rights(session, scope.actor())


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def movements(scope: Scope, period: str) -> list[Movement]:
    """Who joined, moved and left in a period, oldest first. Raises `BadInput` for what names no period."""
    with reading() as session:
        return movements_in(session, scope.actor(), parse_period(period))


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def access_reviews(scope: Scope) -> list[Progress]:
    with reading() as session:
        return list_reviews(session, scope.actor(), limit=MOST_READ)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def access_items(scope: Scope, review_id: int) -> list[dict[str, Any]]:
    with reading() as session:
        return items_of(session, scope.actor(), review_id, limit=MOST_READ)

"""Objectives as pages show them: how each stands, its budget over time, and what a definition would be warned of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from app.data.rows import MOST_READ, bare, row_of
from app.data.scope import SHORT, Scope, environment, for_all_alike
from backend.database.session import reading
from backend.governance.direct_edits import why_only_by_change
from backend.identity.people import names_of
from backend.registry.service import get_model
from backend.slo.findings import Finding
from backend.slo.lint import findings_of
from backend.slo.objectives import Objective
from backend.slo.objectives_service import count_objectives, objective_revisions
from backend.slo.openslo import read_openslo
from backend.slo.reading import Detail, Standing, list_standings, read_detail


@for_all_alike
@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def standings(scope: Scope, model: str | None = None) -> list[Standing]:
    """The objectives of this environment, those in danger first: `MOST_READ` of them at most."""
    with reading() as session:
        found = list_standings(
            session, scope.actor(), model=model, environment=environment(), limit=MOST_READ
        )
        return [_bare(one) for one in found]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def how_many(scope: Scope) -> int:
    """How many objectives this environment has; `standings` reads the worst `MOST_READ` of them."""
    with reading() as session:
        return count_objectives(session, scope.actor(), environment=environment())


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def detail(scope: Scope, key: str) -> Detail:
    """One objective with its history, maintenance, months and alerts."""
    with reading() as session:
        found = read_detail(session, scope.actor(), key)
        return replace(
            found, standing=_bare(found.standing), alerts=tuple(bare(one) for one in found.alerts),
            maintenance=tuple(bare(one) for one in found.maintenance),
        )  # fmt: skip


def _bare(one: Standing) -> Standing:
    return replace(one, revision=bare(one.revision), state=bare(one.state))


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def revisions(scope: Scope, key: str) -> list[dict[str, Any]]:
    """Every revision of an objective, newest first, with the name of who made it."""
    with reading() as session:
        rows = objective_revisions(session, scope.actor(), key, limit=MOST_READ)
        names = names_of(session, {row.made_by for row in rows})
        return [row_of(row) | {"made_by_name": names.get(row.made_by or "")} for row in rows]


def only_by_change(scope: Scope, model: str) -> str | None:
    """Why objectives of this model are not edited directly here; None where they may be."""
    with reading() as session:
        return why_only_by_change(
            session, get_model(session, scope.actor(), model), environment(), what="objectives"
        )


@dataclass(frozen=True)
class Checked:
    """A text that somebody wrote: the one objective in it, or why there is none."""

    objective: Objective | None
    findings: tuple[Finding, ...]


def checked(document: str) -> Checked:
    """What an OpenSLO text holds and is warned of."""
    found = read_openslo([("", document)])
    objective = found.objectives[0] if len(found.objectives) == 1 and not found.errors else None
    return Checked(objective, findings_of(found))

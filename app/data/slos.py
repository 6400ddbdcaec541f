"""Objectives as pages show them: how each stands, its budget over time, and what a definition would be warned of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import streamlit as st

from app.data.rows import MOST_READ, bare, row_of
from app.data.scope import SHORT, Scope, environment, for_all_alike
from backend import clock
from backend.database.session import reading
from backend.governance.direct_edits import why_only_by_change
from backend.identity.people import names_of
from backend.registry.service import get_model
from backend.slo.findings import Finding
from backend.slo.lint import findings_of
from backend.slo.objectives import Objective
from backend.slo.objectives_service import count_states, objective_revisions
from backend.slo.openslo import read_openslo
from backend.slo.reading import Detail, Standing, list_standings, read_detail, step_of


@for_all_alike
@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def standings(scope: Scope, model: str | None = None) -> list[Standing]:
    """The objectives of this environment, those in danger first: `MOST_READ` of them at most."""
    with reading() as session:
        found = list_standings(
            session, scope.actor(), model=model, environment=environment(), limit=MOST_READ
        )
        return [_bare(one) for one in found]


@dataclass(frozen=True)
class Part:
    """A part of the list of objectives.

    total   how many match
    counts  {state: how many objectives of the environment are in it}, whatever is asked for
    worst   the worst of them all; None: there is none
    """

    rows: list[Standing]
    total: int
    counts: dict[str, int]
    worst: Standing | None


@for_all_alike
@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def listed(scope: Scope, model: str | None, state: str | None, first: int, most: int) -> Part:
    """The objectives of this environment that are of a model and in a state, those in danger first, cut by the
    database."""
    with reading() as session:
        viewer, here = scope.actor(), environment()
        rows = list_standings(
            session, viewer, model=model, environment=here, state=state, limit=most, offset=first
        )
        counts = count_states(session, viewer, environment=here)
        of_model = counts if model is None else count_states(session, viewer, model=model, environment=here)
        total = sum(count for word, count in of_model.items() if state in (None, word))
        is_worst = rows and model is None and state is None and first == 0
        worst = rows[:1] if is_worst else list_standings(session, viewer, environment=here, limit=1)
        return Part([_bare(one) for one in rows], total, counts, _bare(worst[0]) if worst else None)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def detail(scope: Scope, key: str, since: datetime, until: datetime) -> Detail:
    """One objective with its history in a range, maintenance, months and alerts."""
    now = clock.now()
    with reading() as session:
        found = read_detail(
            session, scope.actor(), key, since=since, until=until, step_s=step_of(since, until, now)
        )
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

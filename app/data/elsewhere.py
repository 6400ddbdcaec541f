"""A registry that others keep: its inventory with the gaps, the moves made in it, and what served when."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import streamlit as st

from app.data.scope import LONG, SHORT, Scope
from backend import clock
from backend.database.session import reading
from backend.deployment import timeline as served
from backend.governance import registry_moves
from backend.registry.inventory import ModelEntry, VersionEntry, extent_of_inventory, list_inventory

OPEN_MOVES = 100


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def inventory_extent(scope: Scope) -> dict[str, Any]:
    """How many models and versions are known, from where, and how many are only observed."""
    with reading() as session:
        return asdict(extent_of_inventory(session, scope.actor()))


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def inventory_of(scope: Scope, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """These models, by name, with their versions and gaps."""
    with reading() as session:
        return [_entry(one) for one in list_inventory(session, scope.actor(), names=names)]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def inventory_entry(scope: Scope, model: str) -> dict[str, Any]:
    """One model of the inventory."""
    with reading() as session:
        (found,) = list_inventory(session, scope.actor(), names=(model,))
        return _entry(found)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def moves(
    scope: Scope, since: datetime | None = None, until: datetime | None = None, model: str | None = None,
    states: tuple[str, ...] = (), limit: int = 50,
) -> dict[str, Any]:  # fmt: skip
    """Moves made elsewhere, newest first, and how many of them the rules would have refused."""
    with reading() as session:
        return registry_moves.report_view(
            registry_moves.list_moves(
                session, scope.actor(), since=since, until=until, model=model, states=states, limit=limit
            )
        )


def open_moves(scope: Scope) -> list[dict[str, Any]]:
    """Moves that somebody has to answer."""
    found: list[dict[str, Any]] = moves(scope, states=("open",), limit=OPEN_MOVES)["moves"]
    return found


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def move(scope: Scope, move_id: int) -> dict[str, Any]:
    with reading() as session:
        return registry_moves.move_view(registry_moves.get_move(session, scope.actor(), move_id))


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=100)
def environments(scope: Scope, model: str) -> list[str]:
    """Where a model serves or served."""
    with reading() as session:
        return served.environments_of(session, scope.actor(), model)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def served_at(
    scope: Scope,
    model: str,
    environment: str,
    at: datetime | None = None,
    *,
    since: datetime,
    until: datetime,
) -> dict[str, Any]:
    """`moment`: what served then (None: now), and why. `timeline`: what touches the time from `since` to `until`, with
    changes and incidents."""
    with reading() as session:
        viewer = scope.actor()
        shown = served.read_timeline(session, viewer, model, environment, since=since, until=until)
        return {
            "moment": served.read_moment(session, viewer, model, environment, at or clock.now()),
            "timeline": served.timeline_view(shown),
        }


def _entry(one: ModelEntry) -> dict[str, Any]:
    return {
        "name": one.model.name, "tier": one.model.tier, "enforcement": one.model.enforcement,
        "described": one.model.described, "gaps": list(one.gaps),
        "imported": None if one.imported is None
        else {"from": one.imported.read_from, "at": one.imported.imported_at, "found": one.imported.found},
        "versions": [_version(version) for version in one.versions],
    }  # fmt: skip


def _version(one: VersionEntry) -> dict[str, Any]:
    return {
        "version": one.version, "registered": one.registered is not None, "aliases": list(one.aliases),
        "gaps": list(one.gaps), "created_at": one.imported.created_at if one.imported is not None else None,
        "run_id": one.imported.run_id if one.imported is not None else "",
    }  # fmt: skip

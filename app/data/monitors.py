"""Monitors that people wrote, what they can look at, and when they would have fired."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import streamlit as st

from app.data.kept import until_stored
from app.data.rows import MOST_READ, alert_of, row_of
from app.data.scope import LONG, Scope, environment
from backend.database.session import reading
from backend.errors import BadInput
from backend.governance.direct_edits import why_budget_only_by_change, why_only_by_change
from backend.identity.people import names_of
from backend.monitoring import monitors_service as service
from backend.monitoring.budget_service import BudgetChange, FalseAlarms, preview_budget
from backend.monitoring.budget_service import false_alarms as read_false_alarms
from backend.monitoring.monitor_history import known_figures, read_history
from backend.monitoring.monitor_replay import History, Replay, replay
from backend.monitoring.monitors import Figure, Monitor
from backend.registry.service import get_model


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=100)
def monitors(scope: Scope, model: str) -> list[dict[str, Any]]:
    """The model's monitors as they are now: their row, `says`, the newest alert, and `broken`, why one cannot be looked
    at any more. Of stored history: `fired` times, `per_month`, the `firing_share` of the time, the windows in which it
    could be tested (`tested`) and whether they are half of all (`mostly_tested`). Of now: whether it was `looked_at`
    since it was stored, whether the newest window could be `judged`, and whether the monitor `holds` in it."""
    viewer = scope.actor()
    with reading() as session:
        rows = service.list_monitors(session, viewer, model, environment())
        registered = get_model(session, viewer, model)
        names = names_of(session, {row.made_by for row in rows})
        alerts = service.newest_alerts(session, viewer, model, environment())
        looked = service.looked_at(session, viewer, model, environment())
        valid: dict[str, Monitor] = {}
        broken: dict[str, str] = {}
        for row in rows:
            try:
                valid[row.key] = service.check_definition(registered, row.definition)
            except BadInput as error:
                broken[row.key] = error.message
        # One reading for all monitors of a size: the windows of a year are most of it.
        sizes = {monitor.size for monitor in valid.values()}
        histories = {size: _history(scope, model, size, _figures(valid.values(), size)) for size in sizes}
        listed = []
        for row in rows:
            alert = alerts.get(row.key)
            one = row_of(row) | {
                "made_by_name": names.get(row.made_by or ""), "alert": alert_of(alert) if alert else None,
                "says": "", "fired": None, "per_month": None, "broken": broken.get(row.key, ""), "judged": False,
                "mostly_tested": False, "tested": 0, "firing_share": None, "holds": False,
                "looked_at": alert is not None or (looked is not None and looked > row.made_at),
            }  # fmt: skip
            if row.key in valid:
                monitor = valid[row.key]
                found = replay(monitor, histories[monitor.size])
                one |= {
                    "says": monitor.words(),
                    "fired": len(found.firings),
                    "per_month": found.per_month,
                    "judged": found.judged_now,
                    "mostly_tested": found.mostly_tested,
                    "tested": found.looked_at,
                    "firing_share": found.firing_share,
                    "holds": found.fires_now,
                }
            listed.append(one)
        return listed


def only_by_change(scope: Scope, model: str) -> str | None:
    """Why monitors of this model are not edited directly here; None where they may be."""
    with reading() as session:
        return why_only_by_change(session, get_model(session, scope.actor(), model), environment())


def budget_only_by_change(scope: Scope, model: str) -> str | None:
    """Why the model's false-alarm budget is not changed directly; None where it may be."""
    with reading() as session:
        return why_budget_only_by_change(session, get_model(session, scope.actor(), model))


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=100)
def monitor_versions(scope: Scope, key: str) -> list[dict[str, Any]]:
    """Every version of a monitor, newest first, with the name of who made it."""
    with reading() as session:
        rows = service.monitor_versions(session, scope.actor(), key, limit=MOST_READ)
        names = names_of(session, {row.made_by for row in rows})
        return [row_of(row) | {"made_by_name": names.get(row.made_by or "")} for row in rows]


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=100)
def figures(scope: Scope, model: str, size: str) -> list[Figure]:
    """What a monitor of windows of this size can look at."""
    with reading() as session:
        service.list_monitors(
            session, scope.actor(), model, environment()
        )  # who may not see the model stops here
        return known_figures(session, model, environment(), size=size)


def replayed(scope: Scope, model: str, definition: str) -> tuple[Monitor, Replay]:
    """A proposed monitor (JSON), and when it would have fired. Raises `BadInput` for a definition that is wrong."""
    with reading() as session:
        monitor = service.check_definition(get_model(session, scope.actor(), model), json.loads(definition))
    return monitor, replay(monitor, _history(scope, model, monitor.size, _figures([monitor], monitor.size)))


def _figures(monitors: Iterable[Monitor], size: str) -> tuple[Figure, ...]:
    return tuple(sorted({figure for one in monitors if one.size == size for figure in one.figures}))


@until_stored
def _history(scope: Scope, model: str, size: str, figures: tuple[Figure, ...]) -> History:
    """What is stored of these figures, read once: a rule is tried with many numbers."""
    with reading() as session:
        get_model(session, scope.actor(), model)
        return read_history(session, model, environment(), size=size, figures=figures)


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=100)
def false_alarms(scope: Scope, model: str) -> FalseAlarms:
    with reading() as session:
        return read_false_alarms(session, scope.actor(), model, environment())


def budget_change(
    scope: Scope, model: str, *, pages_per_quarter: float, rota: str, rota_pages_per_shift: float
) -> BudgetChange:
    """What another budget would change. Raises `BadInput` for a bad figure."""
    with reading() as session:
        return preview_budget(
            session, scope.actor(), model=model, environment=environment(), pages_per_quarter=pages_per_quarter,
            rota=rota, rota_pages_per_shift=rota_pages_per_shift,
        )  # fmt: skip

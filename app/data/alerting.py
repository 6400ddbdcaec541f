"""Alerts, incidents, and what happened to a model."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import streamlit as st

from app.data.rows import MOST_READ, alert_of, row_of
from app.data.scope import SHORT, Scope, environment, for_all_alike
from app.formats import format_when
from app.words import readable
from backend.alerting import service as alerting
from backend.alerting.answers_around import answers_around
from backend.alerting.brief import budgets_of, sentence_of, series_between, similar
from backend.alerting.false_alarms import false_alarms_said
from backend.alerting.incident_alerts import alerts_of_incident, page_of_alerts, tally_alerts
from backend.alerting.incident_list import Wanted, list_incidents
from backend.alerting.incidents import asks_again, on_it
from backend.alerting.muting import Mute, muting_now
from backend.alerting.runbook import steps_done, steps_offered
from backend.alerting.silences import list_silences, matchers_of
from backend.alerting.suspects import suspects
from backend.alerting.tables import Alert
from backend.alerting.timeline import changed_within, timeline
from backend.database.session import ReadSession, hold, reading
from backend.deployment import service as deployments
from backend.governance import reading as governance
from backend.governance import views
from backend.governance.authority import possible_deciders
from backend.identity.people import names_of
from backend.monitoring.health import health_of
from backend.registry.service import get_model

MOST: Final = 500
"""So many alerts or incidents are read at once: more are counted, and paged where they are listed."""


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def firing(
    scope: Scope, model: str | None = None, *, loose: bool = False, limit: int = MOST, offset: int = 0
) -> list[dict[str, Any]]:
    """The worst that fires, `limit` at most; `loose`: only pages and tickets of no incident."""
    with reading() as session:
        found = alerting.firing_alerts(
            session, scope.actor(), models=[model] if model else None, loose=loose, limit=limit, offset=offset
        )
        return _told(session, found)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def open_incidents(scope: Scope, *, limit: int = MOST, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The gravest that are open, each with how many alerts fire under it (`firing`), and how many are open."""
    viewer = scope.actor()
    with reading() as session:
        found = alerting.open_incidents(session, viewer, limit=limit, offset=offset)
        fire = alerting.firing_by_incident(session, viewer, [one.id for one in found])
        rows = [alert_of(one) | {"firing": fire.get(one.id, 0)} for one in found]
        return rows, alerting.how_many_open(session, viewer)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def incidents(
    scope: Scope, wanted: Wanted, *, limit: int, offset: int = 0
) -> tuple[list[dict[str, Any]], int, int]:
    """One page of incidents by a filter, with `has_it` (who, by name; empty: nobody) and `firing` (how many alerts);
    and how many are open and how many are over."""
    viewer = scope.actor()
    with reading() as session:
        found = list_incidents(session, viewer, wanted, limit=limit, offset=offset)
        fire = alerting.firing_by_incident(session, viewer, [one.id for one in found.incidents])
        names = names_of(
            session, {who for one in found.incidents for who in (one.assigned_to, one.acknowledged_by)}
        )
        rows = [
            alert_of(one)
            | {"firing": fire.get(one.id, 0), "has_it": names.get(one.assigned_to or "") or on_it(one, names)}
            for one in found.incidents
        ]
        return rows, found.open, found.closed


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def incident(scope: Scope, incident_id: int, zone: str | None = None) -> dict[str, Any]:
    """An incident, its alerts, and every change and deployment of its model around it. Its sentence tells times of
    `zone`."""
    viewer = scope.actor()
    with reading() as session:
        found = alerting.get_incident(session, viewer, incident_id)
        hold(session, found, get_model(session, viewer, found.model) if found.model else None)
        alerts = alerts_of_incident(session, viewer, incident_id)
        tally = tally_alerts(session, viewer, incident_id)
        names = names_of(session, {found.acknowledged_by, found.assigned_to})
        changes = governance.list_changes(session, viewer, model=found.model, limit=20) if found.model else []
        served = (
            deployments.history(session, viewer, found.model, found.environment, limit=10)
            if found.model
            else []
        )
        health = health_of(session, viewer, found.model, found.environment) if found.model else None
        why = suspects(session, viewer, found, alerts, changed_within(session, viewer, found))
        return alert_of(found) | {
            "on_it": on_it(found, names),
            "asks_again": asks_again(found),
            "assigned_to_name": names.get(found.assigned_to or ""),
            "alerts": _told(session, alerts),
            "alerts_in_all": tally.total,
            "firing": dict(tally.firing),
            "suspects": [
                {
                    "name": one.name,
                    "verdict": one.verdict,
                    "evidence": readable(one.evidence),
                    "steps": one.steps,
                }
                for one in why
            ],
            "steps": steps_offered(why),
            "steps_done": {
                step: {"by": one.by, "at": one.at} for step, one in steps_done(session, incident_id).items()
            },
            "timeline": [
                one.document() | {"text": readable(one.text), "page": one.page, "query": one.query}
                for one in timeline(session, viewer, incident_id)
            ],
            "answers": answers_around(session, viewer, found),
            "sentence": readable(
                sentence_of(session, viewer, found, alerts, health, lambda at: format_when(at, zone))
            ),
            "budgets": budgets_of(one for one in alerts if one.state == "firing"),
            "can_approve": [one.display_name for one in possible_deciders(session)],
            "similar": [
                row_of(one.incident) | {"lasted": one.lasted} for one in similar(session, viewer, found)
            ],
            "changes": views.change_summaries(session, changes),
            "deployments": [row_of(one) for one in served],
        }


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def incident_figures(scope: Scope, incident_id: int, since: datetime, until: datetime) -> dict[str, Any]:
    """Series of its model in a range, and the changes that were executed in it."""
    viewer = scope.actor()
    with reading() as session:
        found = alerting.get_incident(session, viewer, incident_id)
        alerts = alerts_of_incident(session, viewer, incident_id)
        health = health_of(session, viewer, found.model, found.environment) if found.model else None
        changes = governance.list_changes(
            session, viewer, model=found.model, states=("executed",), between=(since, until)
        )
        return {
            "series": series_between(session, viewer, found, alerts, health, since, until),
            "changes": [
                {"ref": f"CHG-{one.id}", "at": one.finished_at, "text": readable(one.summary)}
                for one in changes
                if one.environment == found.environment and one.finished_at is not None
            ],
        }


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def alerts_of(scope: Scope, incident_id: int, number: int) -> list[dict[str, Any]]:
    """One page of the alerts of an incident."""
    with reading() as session:
        return _told(session, page_of_alerts(session, scope.actor(), incident_id, number=number))


@for_all_alike
@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def marks(scope: Scope, model: str) -> list[dict[str, Any]]:
    """What happened to a model, for marks on time axes: alerts and incidents of late."""
    viewer = scope.actor()
    with reading() as session:
        incidents = alerting.recent_incidents(session, viewer, model=model, limit=30)
        alerts = alerting.recent_alerts(session, viewer, model=model, limit=100)
        return [
            {"at": one.opened_at, "text": f"INC-{one.id}: {readable(one.title)}", "level": "page"} for one in incidents
        ] + [
            {"at": one.since, "text": readable(one.title), "level": "attention"}
            for one in alerts
            if one.level == "ticket"
        ]  # fmt: skip


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def alerts_about(scope: Scope, model: str) -> list[dict[str, Any]]:
    """The latest alerts of a model in this environment, newest first."""
    with reading() as session:
        found = alerting.recent_alerts(session, scope.actor(), model=model, limit=100)
        return _told(session, [one for one in found if one.environment == environment()])


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def silences(scope: Scope, *, over: bool = False) -> list[dict[str, Any]]:
    """Silences and maintenance that hold or will, the first to end first; with `over` past ones, newest first."""
    with reading() as session:
        found = list_silences(session, scope.actor(), over=over, limit=MOST_READ)
        names = names_of(session, {one.author for one in found})
        return [
            row_of(one) | {"author_name": names[one.author], "about": matchers_of(one).words()}
            for one in found
        ]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def wrong_alarms(scope: Scope, model: str) -> list[dict[str, Any]]:
    """By monitor, how often people called its alerts false within 90 days."""
    with reading() as session:
        found = false_alarms_said(session, scope.actor(), model, environment(), limit=MOST_READ)
        return [
            {"kind": one.kind, "about": one.fingerprint.split("/", 3)[-1], "fired": one.fired, "false": one.false,
             "pages": one.pages}
            for one in found
        ]  # fmt: skip


def _told(session: ReadSession, alerts: Iterable[Alert]) -> list[dict[str, Any]]:
    """Alerts as rows; `muted` says what mutes one that fires, empty where nothing does, `muted_until` to when."""
    found = list(alerts)
    mutes = muting_now(session).of_all(found)
    ends = {number: mute.until for number, mute in mutes.items()}
    return [
        alert_of(one) | {"muted": mute_words(mutes.get(one.id)), "muted_until": ends.get(one.id)}
        for one in found
    ]


def mute_words(mute: Mute | None) -> str:
    if mute is None:
        return ""
    return f"muted by {mute.words}{'' if mute.until else ', while that fires'}: {readable(mute.text)}"

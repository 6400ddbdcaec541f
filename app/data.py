"""What pages read, kept for a few seconds. The only home of `st.cache_data`.

A cached answer is shared between people, so who looks (`Scope`) is an argument of every function, and the
services filter by it.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from app.words import readable
from backend import clock, demo_state, leases, queue
from backend.alerting import service as alerting
from backend.audit import heads
from backend.audit import reading as audit
from backend.audit.tables import AuditHead
from backend.cards.reading import Card, read_card
from backend.database.session import reading
from backend.deployment import service as deployments
from backend.explain import reading as explain
from backend.governance import service as governance
from backend.governance import views
from backend.governance.digests import digest_of
from backend.identity import sessions as identity_sessions
from backend.identity import tokens as identity_tokens
from backend.identity.actor import Actor
from backend.identity.people import list_people, names_of
from backend.identity.roles import Permission, Role
from backend.monitoring import health
from backend.monitoring import reading as monitoring
from backend.registry import service as registry
from backend.settings import settings
from backend.slo import service as slo

SHORT, LONG = 3, 10  # seconds; an action of one's own clears them all


class Scope(NamedTuple):
    """Who looks, as far as it decides what they may see. Hashable, without names or addresses."""

    person_id: str
    kind: str
    roles: tuple[str, ...]
    acting_for: str | None

    def actor(self) -> Actor:
        return Actor(
            self.person_id,
            self.kind,
            frozenset(Role(role) for role in self.roles),
            acting_for=self.acting_for,
        )


def scope_of(actor: Actor) -> Scope:
    return Scope(
        actor.person_id, actor.kind, tuple(sorted(role.value for role in actor.roles)), actor.acting_for
    )


def environment() -> str:
    return settings().environment


@st.cache_data(ttl=SHORT, show_spinner=False)
def injected_fault() -> demo_state.InjectedFault | None:
    return demo_state.injected_fault()


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def overview(scope: Scope) -> list[health.ModelHealth]:
    with reading() as session:
        return [_said(one) for one in health.overview(session, scope.actor(), environment())]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def health_of(scope: Scope, model: str) -> health.ModelHealth:
    with reading() as session:
        return _said(health.health_of(session, scope.actor(), model, environment()))


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def models(scope: Scope) -> dict[str, str]:
    """Title by name of every model that may be seen."""
    with reading() as session:
        return {model.name: model.title for model in registry.list_models(session, scope.actor())}


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def noticed_models(scope: Scope) -> list[str]:
    """Models whose data come with a notice, such as that their times are shifted."""
    with reading() as session:
        return sorted(model.name for model in registry.list_models(session, scope.actor()) if model.notice)


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def model(scope: Scope, name: str) -> dict[str, Any]:
    """A model, its versions (newest first) and deployments (newest first) with people's names."""
    viewer = scope.actor()
    with reading() as session:
        found = registry.get_model(session, viewer, name)
        versions = registry.list_versions(session, viewer, name)
        served = deployments.history(session, viewer, name, environment())
        names = names_of(session, {found.owner_id, *(version.trained_by for version in versions)})
        return {
            "name": found.name, "title": found.title, "description": found.description, "tier": found.tier,
            "spec": found.spec, "notice": found.notice, "owner": names.get(found.owner_id or ""),
            "versions": [_row(v) | {"trained_by_name": names.get(v.trained_by or "")} for v in versions],
            "deployments": [_row(one) for one in served],
            "gateways": [_row(one) for one in deployments.live_reports(session, name, environment())],
        }  # fmt: skip


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def card(scope: Scope, model: str, version: int) -> Card:
    with reading() as session:
        return read_card(session, scope.actor(), model, version)


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def explanation(scope: Scope, model: str, version: int) -> dict[str, Any] | None:
    with reading() as session:
        found = explain.shap_summary_of(session, scope.actor(), model, version)
        return _row(found) if found else None


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def reports(scope: Scope, model: str) -> list[dict[str, Any]]:
    with reading() as session:
        return [_row(report) for report in explain.list_reports(session, scope.actor(), model)]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def indicators(scope: Scope, model: str) -> list[dict[str, Any]]:
    """The latest service-level readings of a model."""
    with reading() as session:
        return [_row(one) for one in slo.list_readings(session, scope.actor(), model, environment())]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def firing(scope: Scope, model: str | None = None) -> list[dict[str, Any]]:
    with reading() as session:
        found = alerting.firing_alerts(session, scope.actor(), models=[model] if model else None)
        return [_alert(alert) for alert in found]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def open_incidents(scope: Scope) -> list[dict[str, Any]]:
    with reading() as session:
        found = alerting.recent_incidents(session, scope.actor())
        return [_alert(incident) for incident in found if incident.state == "open"]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def incident(scope: Scope, incident_id: int) -> dict[str, Any]:
    """An incident, its alerts, and every change and deployment of its model around it."""
    viewer = scope.actor()
    with reading() as session:
        found = alerting.get_incident(session, viewer, incident_id)
        alerts = alerting.recent_alerts(session, viewer, incident_id=incident_id)
        names = names_of(session, {found.acknowledged_by})
        changes = governance.list_changes(session, viewer, model=found.model, limit=20)
        served = deployments.history(session, viewer, found.model, found.environment)[:10]
        return _alert(found) | {
            "acknowledged_by_name": names.get(found.acknowledged_by or ""),
            "alerts": [_alert(alert) for alert in alerts],
            "changes": [views.change_summary(session, change) for change in changes],
            "deployments": [_row(one) for one in served],
        }


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def fault_switches(scope: Scope, model: str, since: datetime, until: datetime) -> list[audit.EntryView]:
    """When somebody injected a fault of the demo into this model's workload, or took it away; nothing for those who
    may not read the log."""
    viewer = scope.actor()
    if not viewer.may(Permission.READ_AUDIT):
        return []
    with reading() as session:
        return audit.search_entries(
            session, viewer, action="demo:fault", object_id=model, since=since, until=until, limit=20
        )


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


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def windows(scope: Scope, model: str, size: str) -> pd.DataFrame:
    with reading() as session:
        return monitoring.list_windows(session, scope.actor(), model, environment(), size=size)


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def statistics(scope: Scope, model: str, size: str, kinds: tuple[str, ...]) -> list[str]:
    with reading() as session:
        return monitoring.known_statistics(
            session, scope.actor(), model, environment(), size=size, kinds=kinds
        )


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def points(
    scope: Scope, model: str, size: str, kinds: tuple[str, ...], *, statistic: str, since: datetime | None
) -> pd.DataFrame:
    """One statistic over time."""
    with reading() as session:
        return monitoring.list_points(
            session,
            scope.actor(),
            model,
            environment(),
            size=size,
            kinds=kinds,
            since=since,
            statistic=statistic,
        )


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def window_points(
    scope: Scope, model: str, size: str, kinds: tuple[str, ...], window_id: int
) -> pd.DataFrame:
    """Every statistic of one window."""
    with reading() as session:
        return monitoring.list_points(
            session, scope.actor(), model, environment(), size=size, kinds=kinds, window_id=window_id
        )


@st.cache_data(ttl=LONG, show_spinner=False, max_entries=200)
def distribution(scope: Scope, window_id: int, column: str) -> dict[str, Any]:
    with reading() as session:
        shares, reference, current = monitoring.column_in_window(session, scope.actor(), window_id, column)
        facts = [
            {"rows": one.rows, "missing": one.missing, "mean": one.mean, "low": one.low, "high": one.high}
            for one in (reference, current)
        ]
        return {"shares": shares, "reference": facts[0], "current": facts[1]}


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=500)
def inbox(scope: Scope) -> list[dict[str, Any]]:
    """Changes that wait for this person's decision."""
    with reading() as session:
        return [
            views.change_summary(session, change) for change in governance.waiting_for(session, scope.actor())
        ]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def changes(
    scope: Scope, states: tuple[str, ...] = (), limit: int = 50, before: int | None = None
) -> list[dict[str, Any]]:
    with reading() as session:
        found = governance.list_changes(session, scope.actor(), states=states, limit=limit, before=before)
        return [views.change_summary(session, change) for change in found]


def change(scope: Scope, change_id: int) -> dict[str, Any]:
    """One change as it is now: not kept, since a decision is bound to what is shown."""
    viewer = scope.actor()
    with reading() as session:
        return views.change_detail(session, viewer, governance.get_change(session, viewer, change_id))


def preview(
    scope: Scope, *, kind: str, model: str, to_version: int | None, alert_id: int | None
) -> dict[str, Any]:
    """A change before it is asked for: not kept, since asking is bound to what is shown."""
    with reading() as session:
        return views.preview_view(
            governance.preview_change(
                session, scope.actor(), kind=kind, model=model, environment=environment(), to_version=to_version,
                alert_id=alert_id,
            )
        )  # fmt: skip


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def audit_entries(scope: Scope, **wanted: Any) -> list[audit.EntryView]:
    with reading() as session:
        return audit.search_entries(session, scope.actor(), **wanted)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def audit_entry(scope: Scope, seq: int) -> dict[str, Any]:
    with reading() as session:
        detail = audit.entry_detail(session, scope.actor(), seq)
        return {
            "view": detail.view, "leaf": detail.leaf, "salt": detail.salt,
            "proof": asdict(detail.proof) if detail.proof else None, "proof_problem": detail.proof_problem,
        }  # fmt: skip


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def audit_head(scope: Scope) -> dict[str, Any]:
    """Size and root in the database, and the head that this machine published outside of it."""
    scope.actor().require(Permission.READ_AUDIT)
    with reading() as session:
        head = session.get(AuditHead, 1)
    try:
        published = heads.read_head()
        problem = ""
    except ValueError as error:
        published, problem = None, str(error)
    return {
        "size": head.size if head else 0, "root": head.root if head else "",
        "published_size": published.size if published else None,
        "published_root": published.root if published else None, "problem": problem,
    }  # fmt: skip


def jobs(scope: Scope, *, limit: int = 60) -> dict[str, Any]:
    """Runs, workers and the writer's lease as they are now."""
    scope.actor().require(Permission.READ_JOBS)
    with reading() as session:
        runs = queue.recent_runs(session, limit=limit)
        open_runs = queue.recent_runs(session, limit=200, states=("queued", "running"))
        failed = queue.recent_runs(session, limit=20, states=("failed",))
        names = names_of(session, {run.requested_by for run in [*runs, *failed]})
        known = {run.id: run for run in [*runs, *open_runs, *failed]}
        writer = leases.lease_of(session, leases.WRITER)
        now = clock.now()
        return {
            "runs": [
                _row(run) | {"requested_by_name": names.get(run.requested_by or "", "Warrant")}
                for run in sorted(known.values(), key=lambda run: run.requested_at, reverse=True)
            ],
            "workers": [
                _row(beat) | {"alive": now - beat.seen_at <= queue.worker_dead_after()}
                for beat in queue.recent_workers(session)
            ],
            "writer": _row(writer) | {"held": bool(writer.holder) and writer.expires_at > now}
            if writer
            else None,
        }


def _alert(record: Any) -> dict[str, Any]:
    """An alert or incident, its title in the console's words."""
    return _row(record) | {"title": readable(record.title)}


def _said(one: health.ModelHealth) -> health.ModelHealth:
    return replace(one, because=readable(one.because))


def _row(record: Any) -> dict[str, Any]:
    """The columns of one row as a plain dict."""
    return {column.key: getattr(record, column.key) for column in type(record).__mapper__.column_attrs}


def sessions(actor: Actor) -> list[dict[str, Any]]:
    """The open sessions of the person who looks, as they are now."""
    with reading() as session:
        return [_row(one) for one in identity_sessions.list_sessions(session, actor, actor.person_id)]


def tokens(actor: Actor) -> list[dict[str, Any]]:
    with reading() as session:
        return [_row(one) for one in identity_tokens.list_tokens(session, actor)]


def people(actor: Actor) -> list[dict[str, Any]]:
    """Everyone who may or might come in; `digest` changes with their roles and state."""
    with reading() as session:
        found = list_people(session, actor)
    return [
        {
            "id": one.id, "username": one.username, "display_name": one.display_name, "kind": one.kind,
            "roles": sorted(role.value for role in one.roles), "disabled_at": one.disabled_at,
            "digest": digest_of([one.id, sorted(one.roles), one.disabled_at is None]),
        }
        for one in found
    ]  # fmt: skip


def run(scope: Scope, run_id: str | None) -> dict[str, Any] | None:
    """One job run as it is now, for those who may see what it is about."""
    scope.actor().require(Permission.READ_MODELS)
    with reading() as session:
        found = session.get(queue.JobRun, run_id) if run_id else None
        return _row(found) if found else None


def runs_about(scope: Scope, model: str) -> list[dict[str, Any]]:
    """Queued and running jobs whose subject is this model, as they are now."""
    with reading() as session:
        registry.get_model(session, scope.actor(), model)
        found = queue.recent_runs(session, limit=50, states=("queued", "running"))
        return [
            _row(run) | {"title": queue.JOBS[run.name].title}
            for run in found
            if run.name in queue.JOBS and run.subject.split("/")[0].split(" ")[0] == model
        ]

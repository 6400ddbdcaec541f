"""One timeline of an incident: alerts, deployments, changes, edits, schema changes, faults, and what people wrote.

Nothing is kept for it: each line is read from where it is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, func, or_, select

from backend import clock
from backend.alerting.entries import KINDS, entries_of
from backend.alerting.incidents import get_incident
from backend.alerting.tables import Alert, Incident, Silence
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import ReadSession
from backend.deployment.service import history
from backend.governance.reading import list_changes
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import entries_about
from backend.monitoring.happenings import happenings
from backend.monitoring.windows import Window
from backend.registry.service import get_model

BEFORE: Final = timedelta(hours=2)
MOST: Final = 200
FIRST: Final = 60  # of these
FIRST_ALERTS, LAST_ALERTS = 20, 60
EDITS: Final = {
    Action.MONITOR_CREATED: "monitor created", Action.MONITOR_CHANGED: "monitor changed",
    Action.MONITOR_PAUSED: "monitor paused", Action.MONITOR_RESUMED: "monitor resumed",
    Action.MONITOR_DELETED: "monitor deleted", Action.MODEL_REGISTERED: "the model's spec registered anew",
    Action.POLICY_REPLACED: "policy replaced", Action.TIER_CHANGED: "tier changed",
    Action.VERSION_REGISTERED: "version registered", Action.DATA_OWNER_DECLARED: "owner of training data declared",
    Action.FAULT_INJECTED: "demo fault switched on",
    Action.FAULT_CLEARED: "demo fault switched off", Action.ALIAS_MOVED_ELSEWHERE: "alias moved elsewhere",
    Action.BATCH_INGESTED: "rows sent by hand", Action.HISTORY_IMPORTED: "history imported",
    Action.OBJECTIVE_DEFINED: "objective defined", Action.OBJECTIVE_REVISED: "objective revised",
    Action.OBJECTIVE_RETIRED: "objective retired", Action.MAINTENANCE_DECLARED: "maintenance of objectives declared",
    Action.MAINTENANCE_ENDED: "maintenance of objectives ended", Action.DATA_RULE_SET: "rule of its data set",
    Action.ENFORCEMENT_CHANGED: "enforcement changed", Action.RETRAINING_STARTED: "retraining started",
}  # fmt: skip


@dataclass(frozen=True)
class Event:
    """kind: alert | deployment | change | edit | schema | quality | volume | fault | incident | silence, or that of an
    entry. page, query: where more is told; level: a state of the console ("page", "attention", "ok", "unknown")."""

    at: datetime
    kind: str
    text: str
    level: str = "unknown"
    by: str = ""
    page: str = ""
    query: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {"at": self.at, "kind": self.kind, "text": self.text, "level": self.level, "by": self.by}


def timeline(session: ReadSession, viewer: Actor, incident_id: int) -> list[Event]:
    """From two hours before what it is about began, to its end or now; oldest first."""
    incident = get_incident(session, viewer, incident_id)
    since = began(session, incident) - BEFORE
    until = incident.closed_at or clock.now()
    found = [*around(session, viewer, incident, since, until), *_written(session, incident)]
    return _clipped(sorted(found, key=lambda one: one.at), incident)


def _clipped(events: list[Event], incident: Incident) -> list[Event]:
    """How it began and how it stands, where there is too much to tell; what lies between is counted."""
    left = len(events) - MOST
    if left <= 0:
        return events
    told = f"{left:,} more lines until then, which are not told here"
    gap = Event(events[FIRST + left - 1].at, "incident", told, "unknown", "", "incident", {"id": incident.id})
    return [*events[:FIRST], gap, *events[FIRST + left :]]


def began(session: ReadSession, incident: Incident) -> datetime:
    """When what its alerts tell of began, where that is known, else when it was opened. A window that began a week
    before an alert says little of the moment; more than two days before, the notice counts."""
    first = session.scalar(select(func.min(Alert.since)).where(Alert.incident_id == incident.id))
    if first is None or incident.opened_at - first > timedelta(days=2):
        return incident.opened_at
    return min(first, incident.opened_at)


def changed_within(
    session: ReadSession, viewer: Actor, incident: Incident, hours: float = 2.0
) -> list[Event]:
    """What changed from `hours` before it began until it was noticed, the latest first: without alerts, and without
    what was done about it."""
    since = began(session, incident) - timedelta(hours=hours)
    found = around(session, viewer, incident, since, incident.opened_at, alerts=False)
    return [one for one in reversed(found) if one.kind not in ("incident", "quality", "volume", "silence")]


def around(
    session: ReadSession,
    viewer: Actor,
    incident: Incident,
    since: datetime,
    until: datetime,
    *,
    alerts: bool = True,
) -> list[Event]:
    """Everything that happened to its model and environment in [since, until], oldest first."""
    found = [
        *(_alerts(session, incident) if alerts else ()),
        *_edits(session, incident, since, until),
        *_silences(session, incident, since, until),
    ]
    if incident.model:
        found += _deployments(session, viewer, incident)
        found += _changes(session, viewer, incident, since, until)
        found += _happened(session, viewer, incident, since, until)
    return together(sorted((one for one in found if since <= one.at <= until), key=lambda one: one.at))


def together(events: Iterable[Event]) -> list[Event]:
    """Events in a row that say the same of the same person are one, at the time of the last, with their number."""
    found: list[tuple[Event, int]] = []
    for one in events:
        if found and _says(found[-1][0]) == _says(one):
            found[-1] = (one, found[-1][1] + 1)
        else:
            found.append((one, 1))
    return [replace(one, text=f"{one.text} ({number} times)") if number > 1 else one for one, number in found]


def _says(one: Event) -> tuple[str, str, str, str]:
    return one.kind, one.text, one.by, one.level


def _alerts(session: ReadSession, incident: Incident) -> Iterable[Event]:
    """The first and the latest of them, and how many came in between."""
    query, mine = {"id": incident.id}, Alert.incident_id == incident.id
    first = session.scalars(
        select(Alert).where(mine).order_by(Alert.fired_at, Alert.id).limit(FIRST_ALERTS)
    ).all()
    last = session.scalars(
        select(Alert).where(mine).order_by(Alert.fired_at.desc(), Alert.id.desc()).limit(LAST_ALERTS)
    ).all()
    shown = {one.id: one for one in (*first, *last)}
    between = (session.scalar(select(func.count()).where(mine)) or 0) - len(shown)
    if between:
        yield Event(last[-1].fired_at, "alert", f"{between:,} more alerts came until then", "unknown", "", "incident",
                    query)  # fmt: skip
    for one in shown.values():
        level = "page" if one.level == "page" else "attention"
        yield Event(one.fired_at, "alert", f"fires ({one.level}): {one.title}", level, "", "incident", query)
        if one.resolved_at is not None:
            yield Event(one.resolved_at, "alert", f"resolved: {one.title}", "ok", "", "incident", query)


def _deployments(session: ReadSession, viewer: Actor, incident: Incident) -> Iterable[Event]:
    for one in history(session, viewer, incident.model, incident.environment):
        page, query = ("change", {"id": one.change_id}) if one.change_id else ("model", {"model": one.model})
        failed = ", failed" if one.state == "failed" else ""
        what = f"version {one.version} as {one.role}{failed}"
        level = "page" if failed else "unknown"
        yield Event(one.serving_at or one.started_at, "deployment", what, level, "", page, query)
        if one.ended_at is not None:
            yield Event(one.ended_at, "deployment", f"version {one.version} stopped as {one.role}", "unknown", "",
                        page, query)  # fmt: skip


def _changes(
    session: ReadSession, viewer: Actor, incident: Incident, since: datetime, until: datetime
) -> Iterable[Event]:
    found = [
        one for one in list_changes(session, viewer, model=incident.model, limit=MOST, between=(since, until))
        if one.environment in (incident.environment, "*")
    ]  # fmt: skip
    names = names_of(session, {one.requested_by for one in found})
    for one in found:
        query, who = {"id": one.id}, names.get(one.requested_by, "")
        yield Event(one.requested_at, "change", f"CHG-{one.id} asked for: {one.summary}", "unknown", who, "change",
                    query)  # fmt: skip
        if one.finished_at is not None:
            level = (
                "page" if one.state in ("failed", "void") else "ok" if one.state == "executed" else "unknown"
            )
            yield Event(one.finished_at, "change", f"CHG-{one.id} {one.state}: {one.summary}", level, "", "change",
                        query)  # fmt: skip


def _edits(session: ReadSession, incident: Incident, since: datetime, until: datetime) -> Iterable[Event]:
    """Edits of monitors, spec, policy and faults, from the log."""
    actions = [one.value for one in EDITS]
    about = [AuditEntry.action == Action.POLICY_REPLACED.value]
    if incident.model:
        about += [
            entries_about([incident.model]),
            and_(AuditEntry.object_kind == "workload", AuditEntry.object_id == incident.model),
        ]
    rows = session.scalars(
        select(AuditEntry)
        .where(
            AuditEntry.action.in_(actions), AuditEntry.at >= clock.to_iso(since), AuditEntry.at <= clock.to_iso(until),
            or_(*about),
        )
        .order_by(AuditEntry.seq.desc())
        .limit(MOST)
    ).all()  # fmt: skip
    names = names_of(session, {one.actor for one in rows})
    for one in rows:
        word, query = EDITS[Action(one.action)], {"seq": one.seq}
        level = "injected" if one.action == Action.FAULT_INJECTED.value else "unknown"
        yield Event(
            clock.from_iso(one.at), "edit", word, level, names.get(one.actor, ""), "audit_entry", query
        )


def _happened(
    session: ReadSession, viewer: Actor, incident: Incident, since: datetime, until: datetime
) -> Iterable[Event]:
    """Schema changes, data-quality alarms, unusual volumes and injected rows, from windows."""
    size = str(get_model(session, viewer, incident.model).spec["window"])
    if since >= until:
        return
    for one in happenings(
        session,
        model=incident.model,
        environment=incident.environment,
        size=size,
        window=Window(since, until),
    ):
        if one.kind in ("schema", "quality", "volume", "fault"):
            page, query = "quality", {"model": incident.model}
            yield Event(one.at, one.kind, one.text, one.level, "", page, query)


def _silences(session: ReadSession, incident: Incident, since: datetime, until: datetime) -> Iterable[Event]:
    mine = Silence.fingerprint.startswith(f"{incident.model}/", autoescape=True)
    rows = session.scalars(
        select(Silence)
        .where(
            or_(Silence.model == incident.model, mine),
            or_(Silence.starts_at.between(since, until), Silence.ended_at.between(since, until)),
        )
        .order_by(Silence.id)
    ).all()
    names = names_of(session, {one.author for one in rows})
    for one in rows:
        who = names.get(one.author, "")
        worse = " or worse" if one.until_worse else ""
        text = f"{one.purpose} until {one.ends_at:%Y-%m-%d %H:%M:%S} UTC{worse}: {one.comment}"
        yield Event(one.starts_at, "silence", text, "unknown", who)
        if one.ended_at is not None:
            yield Event(one.ended_at, "silence", f"{one.purpose} over: {one.ended_because}", "attention")


def _written(session: ReadSession, incident: Incident) -> list[Event]:
    rows = entries_of(session, incident.id)
    names = names_of(session, {one.by for one in rows})
    levels = {"opened": "page", "relapsed": "page", "resolved": "ok", "mitigated": "attention"}
    return [
        Event(
            one.at, one.kind, f"{KINDS[one.kind]}: {one.text}" if one.text else KINDS[one.kind],
            levels.get(one.kind, "unknown"), names.get(one.by or "", ""),
        )
        for one in rows
    ]  # fmt: skip

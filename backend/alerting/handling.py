"""What people do with an incident: open one by hand, assign, note, link, merge, mitigate, mark a false alarm.

Acknowledging is in `incidents`, resolving with a cause in `service.close_by_hand`. Every act is a line of the
incident's own timeline and an entry of the audit log, in one transaction.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import select, update

from backend import clock
from backend.addresses import without_credentials
from backend.alerting.entries import write_entry
from backend.alerting.incidents import LONGEST_TITLE, change_severity, get_incident, relapse, tier_of
from backend.alerting.phases import move
from backend.alerting.service import close_incident
from backend.alerting.silences import Matchers, silence_each
from backend.alerting.sources import AREAS, severity_by_rule
from backend.alerting.tables import Alert, Incident, IncidentEntry, Silence, firing_under
from backend.assurance.serious_tables import SeriousIncident
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import WriteSession
from backend.errors import BadInput, Conflict
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.identity.sessions import actor_of
from backend.identity.tables import Person
from backend.registry.service import get_model

SEVERITIES: Final = (1, 2, 3, 4)
LONGEST_NOTE: Final = 4000
TWICE: Final = timedelta(seconds=30)


def open_incident(
    session: WriteSession, actor: Actor, *, model: str, environment: str, title: str, severity: int | None = None,
    area: str = "model",
) -> Incident:  # fmt: skip
    """Open one by hand, beside whatever the rule has opened: alerts of its model and area join it where there is no
    other. `model` empty: it is about the whole installation."""
    allow(session, actor, Permission.ACKNOWLEDGE)
    if model:
        get_model(session, actor, model)
    if area not in AREAS:
        raise BadInput(f"area: one of {', '.join(AREAS)}, not {area!r}", field="area")
    told = _text(title, "title", LONGEST_TITLE)
    rule = severity_by_rule([("page", "slo" if area == "serving" else "monitor")], tier_of(session, model))
    incident = Incident(
        model=model, environment=environment, area=area, title=told, opened_at=clock.now(), opened_by=actor.person_id,
        severity=_severity(severity) if severity is not None else rule,
        severity_by=actor.person_id if severity is not None else None,
    )  # fmt: skip
    session.add(incident)
    session.flush()
    write_entry(session, actor, incident, "opened", told)
    record(
        session, actor, Action.INCIDENT_OPENED, object_kind="incident", object_id=incident.id,
        payload={"title": told, "severity": incident.severity},
    )  # fmt: skip
    return incident


def assign(session: WriteSession, actor: Actor, incident_id: int, *, username: str) -> Incident:
    """Give it to a person who can act on it. Empty: to nobody. The same again does nothing."""
    incident = _open(session, actor, incident_id)
    person = _person(session, username, incident.model) if username.strip() else None
    if incident.assigned_to == (person.id if person else None):
        return incident
    incident.assigned_to = person.id if person else None
    write_entry(session, actor, incident, "assigned", person.display_name if person else "nobody")
    record(
        session, actor, Action.INCIDENT_ASSIGNED, object_kind="incident", object_id=incident.id,
        payload={"to": incident.assigned_to},
    )  # fmt: skip
    return incident


def add_note(session: WriteSession, actor: Actor, incident_id: int, *, text: str) -> IncidentEntry:
    """A note; also when it is over, for what was learnt later. The same words of the same person within `TWICE` are
    one note: a thumb tapped twice."""
    allow(session, actor, Permission.ACKNOWLEDGE)
    incident = get_incident(session, actor, incident_id)
    words = _text(text, "text", LONGEST_NOTE)
    if (said := _said_just_now(session, actor, incident, words)) is not None:
        return said
    row = write_entry(session, actor, incident, "note", words)
    record(
        session, actor, Action.INCIDENT_NOTED, object_kind="incident", object_id=incident.id,
        payload={"entry": row.id}, why=row.text,
    )  # fmt: skip
    return row


def _said_just_now(
    session: WriteSession, actor: Actor, incident: Incident, words: str
) -> IncidentEntry | None:
    session.execute(select(Incident.id).where(Incident.id == incident.id).with_for_update())
    return session.scalars(
        select(IncidentEntry)
        .where(
            IncidentEntry.incident_id == incident.id, IncidentEntry.kind == "note",
            IncidentEntry.by == actor.person_row, IncidentEntry.text == without_credentials(words),
            IncidentEntry.at > clock.now() - TWICE,
        )
        .limit(1)
    ).first()  # fmt: skip


def add_link(
    session: WriteSession, actor: Actor, incident_id: int, *, address: str, text: str
) -> IncidentEntry:
    """A link to something outside: a ticket, a call, a dashboard. Only http and https, without a password or
    a secret in it: everybody who may see the incident reads it."""
    allow(session, actor, Permission.ACKNOWLEDGE)
    incident = get_incident(session, actor, incident_id)
    secret = without_credentials(address) != address
    address = _text(address, "address", 2000)
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise BadInput("address: this is no address", field="address") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or secret:
        raise BadInput(
            "address: write a full http or https address, without a password or a token in it",
            field="address",
        )
    row = write_entry(session, actor, incident, "link", _text(text, "text", 300), address=address)
    record(
        session, actor, Action.INCIDENT_LINKED, object_kind="incident", object_id=incident.id,
        payload={"entry": row.id, "address": address}, why=row.text,
    )  # fmt: skip
    return row


def set_severity(
    session: WriteSession, actor: Actor, incident_id: int, *, severity: int, why: str
) -> Incident:
    """From then on the rule leaves it alone."""
    incident = _open(session, actor, incident_id)
    severity, told = _severity(severity), _text(why, "why", LONGEST_NOTE)
    before = incident.severity
    if before == severity and incident.severity_by is not None:
        return incident
    incident.severity_by = actor.person_id
    write_entry(session, actor, incident, "severity", f"SEV-{before} to SEV-{severity}: {told}")
    change_severity(session, actor, incident, severity)
    record(
        session, actor, Action.INCIDENT_SEVERITY_SET, object_kind="incident", object_id=incident.id, why=told,
        payload={"before": before, "severity": severity},
    )  # fmt: skip
    return incident


def mitigate(session: WriteSession, actor: Actor, incident_id: int, *, how: str) -> Incident:
    """The harm has stopped, the cause is not mended. It goes back where an alert fires anew."""
    incident = _open(session, actor, incident_id)
    if incident.phase == "mitigated":
        return incident
    told = _text(how, "how", LONGEST_NOTE)
    move(incident, "mitigated")
    incident.mitigated_at = clock.now()
    write_entry(session, actor, incident, "mitigated", told)
    record(session, actor, Action.INCIDENT_MITIGATED, object_kind="incident", object_id=incident.id, why=told)
    return incident


def merge(session: WriteSession, actor: Actor, incident_id: int, *, into: int) -> Incident:
    """Its alerts, firing or not, go to `into`, which stays; this one is over. The same again does nothing. One that
    was mitigated is taken back where something that is not comes in firing."""
    allow(session, actor, Permission.ACKNOWLEDGE)
    incident, other = get_incident(session, actor, incident_id), get_incident(session, actor, into)
    if incident.merged_into == into:
        return other
    if incident.id == other.id:
        raise BadInput("an incident cannot be merged into itself", field="into")
    if incident.state == "closed" or other.state == "closed":
        over = incident if incident.state == "closed" else other
        raise Conflict(f"INC-{over.id} is over; only incidents that are both open become one")
    if session.get(SeriousIncident, incident.id) and not session.get(SeriousIncident, other.id):
        raise Conflict(
            f"INC-{incident.id} was marked serious and INC-{other.id} was not: merge INC-{other.id} into it, or mark "
            "that one serious first, so that holds and kept states go on"
        )
    comes_firing = incident.phase != "mitigated" and bool(session.scalars(firing_under(incident.id)).first())
    session.execute(update(Alert).where(Alert.incident_id == incident.id).values(incident_id=other.id))
    if comes_firing and other.phase == "mitigated":
        relapse(session, actor, other, f"INC-{incident.id} came in, and fires: {incident.title}")
    if other.severity_by is None:
        change_severity(session, actor, other, min(other.severity, incident.severity))
    incident.merged_into = other.id
    write_entry(
        session, actor, other, "merged", f"INC-{incident.id} came in: {incident.title}", other=incident.id
    )
    close_incident(session, actor, incident, why=f"merged into INC-{other.id}", phase="merged")
    record(
        session, actor, Action.INCIDENT_MERGED, object_kind="incident", object_id=incident.id,
        payload={"into": other.id},
    )  # fmt: skip
    return other


def mark_false_alarm(session: WriteSession, actor: Actor, incident_id: int, *, why: str) -> Incident:
    """Nothing was wrong: close it, count its alerts against the monitors that fired (`false_alarms`), and mute what
    still fires until it gets worse, for 8 hours at most, so that the same figure does not wake somebody again."""
    allow(session, actor, Permission.ACKNOWLEDGE)
    incident, told = get_incident(session, actor, incident_id), _text(why, "why", LONGEST_NOTE)
    if incident.phase == "false_alarm":
        return incident
    if incident.state == "closed":
        raise Conflict(f"INC-{incident_id} is over; a false alarm is said of one that is open")
    now = clock.now()
    alerts = session.scalars(select(Alert).where(Alert.incident_id == incident.id)).all()
    silence_each(
        session, actor, [Matchers(fingerprint=one.fingerprint) for one in alerts if one.state == "firing"],
        until_worse=True, comment=f"INC-{incident.id} was a false alarm: {told}"[:2000],
    )  # fmt: skip
    for alert in alerts:
        alert.false_alarm_at = now
    record(
        session, actor, Action.ALERTS_FALSE, object_kind="incident", object_id=incident.id, why=told,
        payload={"alerts": [alert.id for alert in alerts]},
    )  # fmt: skip
    close_incident(session, actor, incident, why=told, phase="false_alarm", cause="monitor")
    return incident


def silence_incident(
    session: WriteSession, actor: Actor, incident_id: int, *, comment: str, until: datetime | None = None,
    until_worse: bool = True,
) -> list[Silence]:  # fmt: skip
    """Mute each alert that fires under it, by its fingerprint: until worse (8 hours at most), or until a time."""
    incident = _open(session, actor, incident_id)
    firing = session.scalars(firing_under(incident.id)).all()
    if not firing:
        raise Conflict(f"nothing fires under INC-{incident_id}, so there is nothing to silence")
    return silence_each(
        session, actor, [Matchers(fingerprint=one.fingerprint) for one in firing], comment=comment, until=until,
        until_worse=until_worse,
    )  # fmt: skip


def _open(session: WriteSession, actor: Actor, incident_id: int) -> Incident:
    allow(session, actor, Permission.ACKNOWLEDGE)
    incident = get_incident(session, actor, incident_id)
    if incident.state == "closed":
        raise Conflict(f"INC-{incident_id} is over; open another one, or write a note")
    return incident


def _person(session: WriteSession, username: str, model: str | None) -> Person:
    found = session.scalars(
        select(Person).where(Person.username == username.strip().lower(), Person.disabled_at.is_(None))
    ).one_or_none()
    if found is None or not actor_of(found, session_id=None).may_about(Permission.ACKNOWLEDGE, model):
        raise BadInput(f"{username!r} is nobody who may handle incidents; give a user name", field="username")
    return found


def _severity(value: int) -> int:
    if value not in SEVERITIES:
        raise BadInput(f"severity: 1 to 4, not {value}", field="severity")
    return value


def _text(text: str, field: str, longest: int) -> str:
    told = text.strip()
    if not told or len(told) > longest:
        raise BadInput(f"{field}: write something, in at most {longest:,} characters", field=field)
    return without_credentials(told)

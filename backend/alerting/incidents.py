"""Incidents: what a human handles. Opened by the rule or by hand, joined by alerts of one model and area, named by the
worst that fires, acknowledged. What people do with one is `backend.alerting.handling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import func, select

from backend import clock
from backend.alerting.entries import write_entry
from backend.alerting.phases import move
from backend.alerting.sources import area_of, severity_by_rule
from backend.alerting.tables import Alert, Incident, graver_first
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import Conflict, NotFound
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.registry.service import get_model
from backend.registry.tables import Model

LONGEST_TITLE: Final = 300


def join_incident(session: WriteSession, actor: Actor, alert: Alert, *, may_open: bool) -> Incident | None:
    """The open incident of the alert's model and area, or a new one for a page. A ticket alone opens none."""
    incident = session.scalars(
        select(Incident)
        .where(
            Incident.model == alert.model, Incident.environment == alert.environment, Incident.state == "open",
            Incident.area == area_of(alert.source),
        )
        .order_by(Incident.opened_by.is_not(None), Incident.id)
        .with_for_update()  # whoever closes it is waited for, and it is open no more
    ).first()  # fmt: skip
    if incident is None and alert.level == "page" and may_open:
        incident = Incident(
            model=alert.model, environment=alert.environment, area=area_of(alert.source), title=alert.title,
            severity=severity_by_rule([(alert.level, alert.source)], tier_of(session, alert.model)),
            opened_at=clock.now(),
        )  # fmt: skip
        session.add(incident)
        session.flush()
        write_entry(session, actor, incident, "opened", alert.title, alert=alert.id)
        record(
            session, actor, Action.INCIDENT_OPENED, object_kind="incident", object_id=incident.id,
            payload={"title": incident.title, "alert": alert.id, "severity": incident.severity},
        )  # fmt: skip
    elif incident is not None and incident.phase == "mitigated":
        relapse(session, actor, incident, alert.title, alert=alert.id)
    return incident


def relapse(
    session: WriteSession, actor: Actor, incident: Incident, why: str, *, alert: int | None = None
) -> None:
    """Take a mitigated incident back: who was on it still is, and channels are told again."""
    move(incident, "acknowledged" if incident.acknowledged_at else "new")
    change, incident.mitigated_by_change = incident.mitigated_by_change, None
    incident.mitigated_at, incident.reopens_at, incident.relapsed_at = None, None, clock.now()
    session.flush()
    write_entry(session, actor, incident, "relapsed", why, **({"alert": alert} if alert else {}))
    record(
        session, actor, Action.INCIDENT_REOPENED, object_kind="incident", object_id=incident.id, why=why,
        payload={"alert": alert, "change": change, "severity": incident.severity},
    )  # fmt: skip


def name_by_worst(session: WriteSession, actor: Actor, incident_id: int) -> None:
    """An incident is called after the worst that fires under it now, not after what opened it; one that a person opened
    keeps the words of that person. The rule makes it graver with its alerts, never milder, and not at all once a person
    has set its severity.

    Each alert that fires asks this: one title and the kinds of alerts are read, however many there are.
    """
    fires = (Alert.incident_id == incident_id, Alert.state == "firing")
    incident = session.get_one(Incident, incident_id)
    worst = session.execute(
        select(Alert.id, Alert.title).where(*fires).order_by(graver_first(), Alert.since, Alert.id).limit(1)
    ).one()
    if incident.opened_by is None and incident.title != worst.title:
        before, incident.title = incident.title, worst.title
        record(
            session, actor, Action.INCIDENT_RENAMED, object_kind="incident", object_id=incident.id,
            payload={"before": before, "title": incident.title, "alert": worst.id},
        )  # fmt: skip
    if incident.severity_by is None:
        kinds = session.execute(select(Alert.level, Alert.source).where(*fires).distinct())
        found = [(level, source) for level, source in kinds]
        grave = severity_by_rule(found, tier_of(session, incident.model))
        change_severity(session, actor, incident, min(incident.severity, grave))
    session.flush()


def change_severity(session: WriteSession, actor: Actor, incident: Incident, severity: int) -> None:
    """Whoever acknowledged it acknowledged so much and no more: graver than that, nobody is on it until somebody
    acknowledges it again, and people are told anew."""
    incident.severity = severity
    known = incident.acknowledged_severity
    if incident.acknowledged_at is None or known is None or severity >= known:
        return
    incident.acknowledged_at, incident.acknowledged_by, incident.acknowledged_there = None, None, ""
    incident.asks += 1
    if incident.phase == "acknowledged":
        move(incident, "new")
    session.flush()
    write_entry(session, actor, incident, "asks_again", asks_again(incident), before=known, severity=severity)
    record(
        session, actor, Action.INCIDENT_ASKS_AGAIN, object_kind="incident", object_id=incident.id,
        payload={"acknowledged": known, "severity": severity},
    )  # fmt: skip


def asks_again(incident: Incident) -> str:
    """Why it has to be acknowledged although somebody did; empty where nothing is to be said."""
    milder = acknowledged_milder(incident) if incident.state == "open" else ""
    return f"{milder}: it has to be acknowledged again" if milder else ""


def acknowledged_milder(incident: Incident) -> str:
    """Of one that was acknowledged, but never as grave as it is; empty of any other."""
    if incident.acknowledged_at or incident.acknowledged_severity is None:
        return ""
    return f"acknowledged as SEV-{incident.acknowledged_severity}, then it became SEV-{incident.severity}"


def note_acknowledged(
    session: WriteSession, actor: Actor, incident: Incident, *, by: str | None = None, there: str = ""
) -> None:
    """Somebody is on it, as grave as it is now: `by` a person here, or `there`, in words."""
    incident.acknowledged_at, incident.acknowledged_severity = clock.now(), incident.severity
    incident.acknowledged_by, incident.acknowledged_there = by, there
    if incident.phase == "new":
        move(incident, "acknowledged")
    session.flush()
    said = "" if by else there
    write_entry(session, actor, incident, "acknowledged", said, severity=incident.severity)
    record(
        session, actor, Action.INCIDENT_ACKNOWLEDGED, object_kind="incident", object_id=incident.id, why=said
    )


def tier_of(session: ReadSession, model: str) -> str:
    """Empty for the whole installation."""
    return session.scalar(select(Model.tier).where(Model.name == model)) or ""


def acknowledge(session: WriteSession, actor: Actor, incident_id: int) -> Incident:
    """Say that someone is on it. Acknowledging again keeps the first name."""
    allow(session, actor, Permission.ACKNOWLEDGE)
    incident = get_incident(session, actor, incident_id)
    if incident.state == "closed":
        raise Conflict(f"INC-{incident_id} is closed; there is nothing to acknowledge")
    if incident.acknowledged_by is None:
        note_acknowledged(session, actor, incident, by=actor.person_id, there=incident.acknowledged_there)
    return incident


def on_it(incident: Incident, names: Mapping[str, str]) -> str:
    """Who acknowledged it, by name; where that was elsewhere, "somebody" with the place. Empty: nobody."""
    if incident.acknowledged_by is not None:
        return names.get(incident.acknowledged_by, "somebody")
    return f"somebody, {incident.acknowledged_there}" if incident.acknowledged_there else ""


def get_incident(session: ReadSession, viewer: Actor, incident_id: int) -> Incident:
    see(session, viewer)
    incident = session.get(Incident, incident_id)
    if incident is None:
        raise NotFound(f"there is no incident INC-{incident_id} that you may see")
    if incident.model:
        get_model(session, viewer, incident.model)
    return incident


def open_incidents(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[Incident]:
    """Those that are open, however old: the gravest first, of these those that nobody is on, then the oldest. All of
    them, or a page."""
    see(session, viewer)
    query = select(Incident).where(Incident.state == "open")
    if model is not None:
        query = query.where(Incident.model == model)
    order = (Incident.severity, Incident.acknowledged_at.is_not(None), Incident.opened_at, Incident.id)
    return list(session.scalars(query.order_by(*order).limit(limit).offset(offset)))


def how_many_open(session: ReadSession, viewer: Actor) -> int:
    see(session, viewer)
    return session.scalar(select(func.count()).select_from(Incident).where(Incident.state == "open")) or 0


def recent_incidents(
    session: ReadSession, viewer: Actor, *, model: str | None = None, limit: int = 50
) -> list[Incident]:
    see(session, viewer)
    query = select(Incident).order_by(Incident.opened_at.desc()).limit(limit)
    if model is not None:
        query = query.where(Incident.model == model)
    return list(session.scalars(query))

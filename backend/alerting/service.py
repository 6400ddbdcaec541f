"""Alerts and incidents: firing once per fingerprint, resolving, acknowledging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from backend import clock
from backend.alerting.tables import Alert, Incident
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotFound
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.registry.service import get_model

LEVELS = ("page", "ticket", "info")


@dataclass(frozen=True)
class Firing:
    """One reason to alert, as a job found it."""

    model: str
    environment: str
    version: int | None
    kind: str  # drift | quality | realised | estimated | volume | registry | job
    level: str
    title: str  # the sentence people read
    subject: str  # what makes it the same alert next time: column and statistic
    since: datetime  # start of the first window it is about
    details: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.model, self.environment, self.kind, self.subject)


def fingerprint(model: str, environment: str, kind: str, subject: str) -> str:
    """What makes two firings one alert."""
    return f"{model}/{environment}/{kind}/{subject}"


def fire(session: WriteSession, actor: Actor, firing: Firing) -> Alert:
    """Open the alert, or refresh the one that is firing already. A page opens (or joins) an incident.

    An alert tells of one version: where another one fires now, the earlier alert is resolved and a new one opened.
    """
    now = clock.now()
    alert = session.scalars(
        select(Alert)
        .where(Alert.fingerprint == firing.fingerprint, Alert.state == "firing")
        .with_for_update()
    ).one_or_none()
    if alert is not None and alert.version != firing.version:
        resolve(session, actor, alert, why=f"version {firing.version} serves now, and fires itself")
        alert = None
    if alert is None:
        alert = Alert(
            fingerprint=firing.fingerprint, model=firing.model, environment=firing.environment,
            version=firing.version, kind=firing.kind, level=firing.level, title=firing.title,
            details=firing.details, since=firing.since, fired_at=now, last_seen_at=now,
        )  # fmt: skip
        session.add(alert)
        session.flush()
        record(
            session, actor, Action.ALERT_FIRED, object_kind="alert", object_id=alert.id,
            payload={"title": firing.title, "level": firing.level, "fingerprint": firing.fingerprint,
                     "details": firing.details},
        )  # fmt: skip
    else:
        alert.last_seen_at, alert.title, alert.details = now, firing.title, firing.details
        if LEVELS.index(firing.level) < LEVELS.index(alert.level):
            alert.level = firing.level
    if alert.incident_id is None and alert.level in ("page", "ticket"):
        incident = _open_incident(session, actor, alert)
        alert.incident_id = incident.id if incident is not None else None
    session.flush()
    if alert.incident_id is not None:
        _name_by_worst(session, alert.incident_id)
    return alert


def _name_by_worst(session: WriteSession, incident_id: int) -> None:
    """An incident is called after the worst that fires under it now, not after what opened it."""
    firing = session.scalars(select(Alert).where(Alert.incident_id == incident_id, Alert.state == "firing"))
    worst = min(firing, key=lambda alert: (LEVELS.index(alert.level), alert.since, alert.id))
    session.get_one(Incident, incident_id).title = worst.title
    session.flush()


def _open_incident(session: WriteSession, actor: Actor, alert: Alert) -> Incident | None:
    """Join the open incident of the model, or open one for a page. A ticket alone opens none."""
    incident = session.scalars(
        select(Incident).where(
            Incident.model == alert.model, Incident.environment == alert.environment, Incident.state == "open"
        )
    ).one_or_none()
    if incident is None and alert.level == "page":
        incident = Incident(
            model=alert.model, environment=alert.environment, title=alert.title, opened_at=clock.now()
        )
        session.add(incident)
        session.flush()
        record(
            session, actor, Action.INCIDENT_OPENED, object_kind="incident", object_id=incident.id,
            payload={"title": incident.title, "alert": alert.id},
        )  # fmt: skip
    return incident


def resolve(session: WriteSession, actor: Actor, alert: Alert, *, why: str) -> None:
    """Resolve a firing alert; its incident stays open for people (or for the change that mends it)."""
    if alert.state == "resolved":
        return
    alert.state, alert.resolved_at = "resolved", clock.now()
    session.flush()
    record(session, actor, Action.ALERT_RESOLVED, object_kind="alert", object_id=alert.id, why=why)


def close_incident(
    session: WriteSession, actor: Actor, incident: Incident, *, why: str, change_id: int | None = None
) -> None:
    """Close an incident and resolve what still fires under it. Doing it again does nothing."""
    if incident.state == "closed":
        return
    for alert in session.scalars(
        select(Alert).where(Alert.incident_id == incident.id, Alert.state == "firing")
    ):
        resolve(session, actor, alert, why=why)
    incident.state, incident.closed_at = "closed", clock.now()
    incident.closed_by_change, incident.closed_because = change_id, why
    session.flush()
    record(
        session, actor, Action.INCIDENT_CLOSED, object_kind="incident", object_id=incident.id,
        payload={"change": change_id}, why=why,
    )  # fmt: skip


def acknowledge(session: WriteSession, actor: Actor, incident_id: int) -> Incident:
    """Say that someone is on it. Acknowledging again keeps the first name."""
    actor.require(Permission.ACKNOWLEDGE)
    incident = get_incident(session, actor, incident_id)
    if incident.state == "closed":
        raise Conflict(f"INC-{incident_id} is closed; there is nothing to acknowledge")
    if incident.acknowledged_by is None:
        incident.acknowledged_at, incident.acknowledged_by = clock.now(), actor.person_id
        session.flush()
        record(session, actor, Action.INCIDENT_ACKNOWLEDGED, object_kind="incident", object_id=incident_id)
    return incident


def close_by_hand(session: WriteSession, actor: Actor, incident_id: int, *, why: str) -> Incident:
    """Close an incident under which nothing fires any more. Closing again does nothing."""
    actor.require(Permission.ACKNOWLEDGE)
    incident = get_incident(session, actor, incident_id)
    if not why.strip():
        raise BadInput("write why it is over: others will read it", field="why")
    firing = session.scalars(
        select(Alert.id).where(Alert.incident_id == incident_id, Alert.state == "firing")
    ).all()
    if firing:
        raise Conflict(
            f"{len(firing)} alert(s) still fire under INC-{incident_id}; mend what they name first"
        )
    close_incident(session, actor, incident, why=why.strip())
    return incident


def get_incident(session: ReadSession, viewer: Actor, incident_id: int) -> Incident:
    viewer.require(Permission.READ_MODELS)
    incident = session.get(Incident, incident_id)
    if incident is None:
        raise NotFound(f"there is no incident INC-{incident_id} that you may see")
    get_model(session, viewer, incident.model)
    return incident


def firing_alerts(session: ReadSession, viewer: Actor, *, models: Sequence[str] | None = None) -> list[Alert]:
    """What fires now, worst and oldest first."""
    viewer.require(Permission.READ_MODELS)
    query = select(Alert).where(Alert.state == "firing")
    if models is not None:
        query = query.where(Alert.model.in_(models))
    found = list(session.scalars(query))
    return sorted(found, key=lambda alert: (LEVELS.index(alert.level), alert.since))


def alerts_of_version(session: ReadSession, model: str, environment: str, version: int) -> list[Alert]:
    """Every alert that ever named this version, newest first: what a healthy version has none of (pages)."""
    return list(
        session.scalars(
            select(Alert)
            .where(Alert.model == model, Alert.environment == environment, Alert.version == version)
            .order_by(Alert.fired_at.desc())
        )
    )


def recent_incidents(
    session: ReadSession, viewer: Actor, *, model: str | None = None, limit: int = 50
) -> list[Incident]:
    viewer.require(Permission.READ_MODELS)
    query = select(Incident).order_by(Incident.opened_at.desc()).limit(limit)
    if model is not None:
        query = query.where(Incident.model == model)
    return list(session.scalars(query))


def recent_alerts(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    incident_id: int | None = None,
    limit: int = 50,
) -> list[Alert]:
    """Alerts of a model or an incident, firing or resolved, newest first."""
    viewer.require(Permission.READ_MODELS)
    query = select(Alert).order_by(Alert.fired_at.desc(), Alert.id.desc()).limit(limit)
    if model is not None:
        get_model(session, viewer, model)
        query = query.where(Alert.model == model)
    if incident_id is not None:
        get_incident(session, viewer, incident_id)
        query = query.where(Alert.incident_id == incident_id)
    return list(session.scalars(query))

"""Alerts: one model for whatever looks. Firing once per fingerprint, pending, no data, resolving, holding.

`backend.alerting.sources` says where they come from, `muting` what mutes them, `incidents` what people handle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from backend import clock
from backend.addresses import all_without_credentials, without_credentials
from backend.alerting.entries import write_entry
from backend.alerting.flapping import must_hold
from backend.alerting.incidents import (
    LONGEST_TITLE,
    acknowledge,
    get_incident,
    how_many_open,
    join_incident,
    name_by_worst,
    open_incidents,
    recent_incidents,
)
from backend.alerting.muting import muting_now
from backend.alerting.phases import CAUSES, move
from backend.alerting.silences import end_if_worse
from backend.alerting.sources import LEVELS, source_of
from backend.alerting.tables import Alert, Incident, firing_under, graver_first
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.many import among
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.registry.service import get_model

__all__ = [
    "LEVELS", "Firing", "acknowledge", "alerts_of_version", "close_by_hand", "close_incident",
    "fingerprint", "fire", "firing_alerts", "firing_by_incident", "get_incident", "how_many_open", "note_no_data",
    "open_incidents", "recent_alerts", "recent_incidents", "release_held", "resolve", "worst_by_model",
]  # fmt: skip


@dataclass(frozen=True)
class Firing:
    """One reason to alert, as a job found it.

    source  what looked (`backend.alerting.sources`); by its kind where it is not named
    for_s   how long it must go on before it fires; it is pending until then
    """

    model: str  # empty: of the whole installation
    environment: str
    version: int | None
    kind: str  # drift | quality | realised | estimated | volume | registry | job ...
    level: str
    title: str  # the sentence people read
    subject: str  # what makes it the same alert next time: column and statistic
    since: datetime  # start of the first window it is about
    details: dict[str, Any]
    source: str = ""
    for_s: float = 0.0

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.model, self.environment, self.kind, self.subject)


def fingerprint(model: str, environment: str, kind: str, subject: str) -> str:
    """What makes two firings one alert."""
    return f"{model}/{environment}/{kind}/{subject}"


def fire(session: WriteSession, actor: Actor, firing: Firing) -> Alert:
    """Open the alert, or refresh the one that is live already. A page opens (or joins) an incident.

    An alert tells of one version: where another one fires now, the earlier alert is resolved and a new one opened.
    What is muted joins an incident that is open, and opens none while it is.
    """
    now = clock.now()
    firing = _cleaned(firing)
    alert, earlier, level = _live(session, firing.fingerprint), None, ""
    if alert is not None and alert.version != firing.version:
        if alert.state == "firing":
            earlier = alert
            resolve(
                session,
                actor,
                alert,
                why=f"version {firing.version} serves now, and fires itself",
                final=True,
            )
        else:
            _drop(session, alert)
        alert = None
    if alert is None:
        alert = _opened(session, firing, "pending" if firing.for_s else "firing")
        if earlier is not None and alert.state == "firing" and _is_watched(session, earlier):
            alert.incident_id, level = earlier.incident_id, earlier.level
        if alert.state == "firing":
            _told(session, actor, alert)
    else:
        level = alert.level if alert.state == "firing" else ""
        _refresh(session, actor, alert, firing)
    if alert.state != "firing":
        return alert
    alert.last_seen_at, alert.held_until, alert.unknown_since = now, None, None
    muting = muting_now(session, alert.fingerprint)
    end_if_worse(session, actor, alert, muting.silences)
    if not _is_handled(session, alert, before=level) and alert.level in ("page", "ticket"):
        incident = join_incident(session, actor, alert, may_open=muting.of(alert) is None)
        alert.incident_id = incident.id if incident is not None else None
    session.flush()
    if alert.incident_id is not None:
        name_by_worst(session, actor, alert.incident_id)
    return alert


def note_no_data(session: WriteSession, actor: Actor, firing: Firing) -> Alert:
    """Say that it cannot be told whether this fires: no data neither fires nor resolves. An alert that fires goes on
    firing, with `unknown_since`; else a live row in state `no_data` says so until it fires or is resolved."""
    firing = _cleaned(firing)
    alert = _live(session, firing.fingerprint)
    if alert is None:
        return _opened(session, firing, "no_data")
    if alert.state == "firing":
        alert.unknown_since = alert.unknown_since or clock.now()
    else:
        alert.state, alert.title, alert.details = "no_data", firing.title, firing.details
        alert.last_seen_at = clock.now()
    session.flush()
    return alert


def _is_handled(session: WriteSession, alert: Alert, *, before: str) -> bool:
    """Whether it belongs to an incident that is open: one that was closed as this joined it tells nobody.

    A mitigated one is taken back by an alert that became graver. What fires on by another version after the change
    that mitigated it is watched there (`backend.alerting.mitigation`), else it fires anew.
    """
    incident = session.get(Incident, alert.incident_id) if alert.incident_id is not None else None
    if incident is None or incident.state != "open":
        return False
    return incident.phase != "mitigated" or (before != "" and _no_graver(alert.level, before))


def _is_watched(session: WriteSession, alert: Alert) -> bool:
    incident = session.get(Incident, alert.incident_id) if alert.incident_id is not None else None
    return incident is not None and incident.phase == "mitigated" and incident.reopens_at is not None


def _no_graver(level: str, before: str) -> bool:
    return LEVELS.index(level) >= LEVELS.index(before)


def _cleaned(firing: Firing) -> Firing:
    title = without_credentials(firing.title)
    if len(title) > LONGEST_TITLE:
        title = f"{title[: LONGEST_TITLE - 1]}…"
    return replace(
        firing, title=title, details=all_without_credentials(firing.details),
        source=firing.source or source_of(firing.kind),
    )  # fmt: skip


def _live(session: WriteSession, mine: str) -> Alert | None:
    return session.scalars(
        select(Alert).where(Alert.fingerprint == mine, Alert.state != "resolved").with_for_update()
    ).one_or_none()


def _opened(session: WriteSession, firing: Firing, state: str) -> Alert:
    now = clock.now()
    alert = Alert(
        fingerprint=firing.fingerprint, model=firing.model, environment=firing.environment, version=firing.version,
        source=firing.source, kind=firing.kind, level=firing.level, state=state, title=firing.title,
        details=firing.details, since=firing.since, fired_at=now, last_seen_at=now,
    )  # fmt: skip
    session.add(alert)
    session.flush()
    return alert


def _refresh(session: WriteSession, actor: Actor, alert: Alert, firing: Firing) -> None:
    now = clock.now()
    alert.last_seen_at, alert.title, alert.details = now, firing.title, firing.details
    if LEVELS.index(firing.level) < LEVELS.index(alert.level):
        alert.level = firing.level
    if alert.state == "firing":
        return
    if alert.state == "no_data" and firing.for_s:
        alert.state, alert.fired_at = "pending", now
    elif alert.state == "no_data" or (now - alert.fired_at).total_seconds() >= firing.for_s:
        alert.state, alert.fired_at, alert.level = "firing", now, firing.level
        _told(session, actor, alert)
    session.flush()


def _told(session: WriteSession, actor: Actor, alert: Alert) -> None:
    record(
        session, actor, Action.ALERT_FIRED, object_kind="alert", object_id=alert.id,
        payload={"title": alert.title, "level": alert.level, "fingerprint": alert.fingerprint,
                 "details": alert.details},
    )  # fmt: skip


def _drop(session: WriteSession, alert: Alert) -> None:
    """What never fired leaves no trace."""
    session.delete(alert)
    session.flush()


def resolve(session: WriteSession, actor: Actor, alert: Alert, *, why: str, final: bool = False) -> None:
    """Resolve a firing alert; its incident stays open for people (or for the change that mends it).

    One that flaps is held instead and goes on firing (`backend.alerting.flapping`), unless this is `final`: its cause
    is gone for good, or nobody looks any more. What never fired (pending, no data) is forgotten.
    """
    if alert.state == "resolved":
        return
    if alert.state != "firing":
        _drop(session, alert)
        return
    if not final and must_hold(session, alert):
        session.flush()
        return
    alert.state, alert.resolved_at, alert.held_until = "resolved", clock.now(), None
    session.flush()
    record(session, actor, Action.ALERT_RESOLVED, object_kind="alert", object_id=alert.id, why=why)


def release_held(session: WriteSession, actor: Actor) -> int:
    """Resolve what was held for flapping and has stayed quiet; how many. Called by the clock."""
    over = session.scalars(
        select(Alert).where(Alert.state == "firing", Alert.held_until <= clock.now()).with_for_update()
    ).all()
    for alert in over:
        resolve(session, actor, alert, why="quiet again, after it had come and gone", final=True)
    return len(over)


def lock_with_alerts(session: WriteSession, incident: Incident) -> list[Alert]:
    """Lock an incident and what fires under it, which is given.

    Alerts are locked before their incident, as firing does; what joined it meanwhile is read after.
    """
    session.flush()
    fires = firing_under(incident.id).with_for_update()
    session.scalars(fires).all()
    session.refresh(incident, with_for_update=True)
    return list(session.scalars(fires))


def close_incident(
    session: WriteSession, actor: Actor, incident: Incident, *, why: str, change_id: int | None = None,
    phase: str = "resolved", cause: str = "",
) -> None:  # fmt: skip
    """Close an incident and resolve what still fires under it. Doing it again does nothing."""
    firing = lock_with_alerts(session, incident)
    if incident.state == "closed":
        return
    why = without_credentials(why)
    for alert in firing:
        resolve(session, actor, alert, why=why, final=True)
    move(incident, phase)
    incident.closed_at, incident.closed_by_change, incident.closed_because = clock.now(), change_id, why
    incident.cause = cause or ("version" if change_id is not None else "")
    session.flush()
    write_entry(session, actor, incident, phase, why, change=change_id, cause=incident.cause)
    record(
        session, actor, Action.INCIDENT_CLOSED, object_kind="incident", object_id=incident.id,
        payload={"change": change_id, "phase": phase, "cause": incident.cause}, why=why,
    )  # fmt: skip


def close_by_hand(
    session: WriteSession, actor: Actor, incident_id: int, *, why: str, cause: str = "unknown"
) -> Incident:
    """Resolve an incident under which nothing fires any more, with its cause. Again does nothing."""
    allow(session, actor, Permission.ACKNOWLEDGE)
    incident = get_incident(session, actor, incident_id)
    if not why.strip():
        raise BadInput("write why it is over: others will read it", field="why")
    if cause not in CAUSES:
        raise BadInput(f"cause: one of {', '.join(CAUSES)}, not {cause!r}", field="cause")
    firing = session.scalars(
        select(Alert.id).where(Alert.incident_id == incident_id, Alert.state == "firing")
    ).all()
    if firing:
        raise Conflict(
            f"{len(firing)} alert(s) still fire under INC-{incident_id}; mend what they name first"
        )
    close_incident(session, actor, incident, why=why.strip(), cause=cause)
    return incident


def firing_alerts(
    session: ReadSession, viewer: Actor, *, models: Sequence[str] | None = None, loose: bool = False,
    limit: int | None = None, offset: int = 0,
) -> list[Alert]:  # fmt: skip
    """What fires now, worst and oldest first; all of it, or a page. `loose`: only pages and tickets of no incident."""
    see(session, viewer)
    query = select(Alert).where(Alert.state == "firing")
    if models is not None:
        query = query.where(among(Alert.model, models))
    if loose:
        query = query.where(Alert.incident_id.is_(None), Alert.level.in_(("page", "ticket")))
    order = (graver_first(), Alert.since, Alert.id)
    return list(session.scalars(query.order_by(*order).limit(limit).offset(offset)))


def firing_by_incident(session: ReadSession, viewer: Actor, incidents: Sequence[int]) -> dict[int, int]:
    """How many alerts fire under each of these incidents under which any does."""
    see(session, viewer)
    fires = (Alert.state == "firing", among(Alert.incident_id, incidents))
    rows = session.execute(select(Alert.incident_id, func.count()).where(*fires).group_by(Alert.incident_id))
    return {number: count for number, count in rows if number is not None}


def worst_by_model(
    session: ReadSession, viewer: Actor, models: Sequence[str], environment: str
) -> dict[str, tuple[Alert, int]]:
    """{model: the worst and oldest alert that fires there, how many fire}; of models under which any does."""
    see(session, viewer)
    fires = (Alert.state == "firing", Alert.environment == environment, among(Alert.model, models))
    place = func.row_number().over(partition_by=Alert.model, order_by=(graver_first(), Alert.since, Alert.id))
    ranked = select(Alert.id, place.label("place")).where(*fires).subquery()
    worst = session.scalars(select(Alert).where(Alert.id.in_(select(ranked.c.id).where(ranked.c.place == 1))))
    counts = session.execute(select(Alert.model, func.count()).where(*fires).group_by(Alert.model)).all()
    many = {model: count for model, count in counts}  # noqa: C416 - rows are no pairs to mypy
    return {one.model: (one, many.get(one.model, 1)) for one in worst}


def alerts_of_version(session: ReadSession, model: str, environment: str, version: int) -> list[Alert]:
    """Every alert that ever named this version, newest first: what a healthy version has none of (pages)."""
    return list(
        session.scalars(
            select(Alert)
            .where(
                Alert.model == model, Alert.environment == environment, Alert.version == version,
                Alert.state.in_(("firing", "resolved")), Alert.false_alarm_at.is_(None),
            )
            .order_by(Alert.fired_at.desc())
        )
    )  # fmt: skip


def recent_alerts(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    incident_id: int | None = None,
    limit: int = 50,
) -> list[Alert]:
    """Alerts of a model or an incident, firing or resolved, newest first."""
    see(session, viewer)
    query = select(Alert).order_by(Alert.fired_at.desc(), Alert.id.desc()).limit(limit)
    if model is not None:
        get_model(session, viewer, model)
        query = query.where(Alert.model == model)
    if incident_id is not None:
        get_incident(session, viewer, incident_id)
        query = query.where(Alert.incident_id == incident_id)
    return list(session.scalars(query))

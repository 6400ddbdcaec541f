"""What has to be told now: every open incident held against what each channel was last told of it.

Nothing has to be remembered when an incident changes: what differs from what was told is told. So nothing is lost with
a process, and nothing is told twice because two things happened at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, or_, select

from backend.alerting.mitigation import is_watched, watch_words
from backend.alerting.muting import Muting, muting_now
from backend.alerting.sources import LEVELS
from backend.alerting.tables import Alert, Incident
from backend.audit.signers import origin
from backend.database.session import ReadSession, WriteSession
from backend.identity.tables import Person
from backend.notifications.channels import KINDS
from backend.notifications.contacts import About, Contacts, Reached, reached
from backend.notifications.messages import Message, clipped, iso
from backend.notifications.tables import Notice, ToldIncident
from backend.registry.tables import Model
from backend.settings import settings

TEXT_EVERY: Final = timedelta(
    minutes=5
)  # figures in a title change all the time; state and severity do not wait
SHOWN_ALERTS: Final = 3
LONGEST_LINE: Final = 300


def incidents_to_plan(session: ReadSession) -> list[Incident]:
    """Those that are open, and those that are over while some channel has not been told so."""
    untold = select(ToldIncident.incident_id).where(ToldIncident.state != "resolved")
    return list(
        session.scalars(
            select(Incident)
            .where(or_(Incident.state == "open", Incident.id.in_(untold)))
            .order_by(Incident.id)
        )
    )


def plan_notices(session: WriteSession, contacts: Contacts, now: datetime) -> list[Notice]:
    """Queue what is to be told now. Returns the notices that are new; asking again at once queues nothing."""
    made: list[Notice] = []
    muting = muting_now(session)
    for incident in incidents_to_plan(session):
        made += _plan(session, contacts, incident, muting, now)
    session.flush()
    return made


def _plan(
    session: WriteSession, contacts: Contacts, incident: Incident, muting: Muting, now: datetime
) -> list[Notice]:
    alerts = _firing(session, incident.id)
    about = about_of(session, incident)
    is_muted = bool(alerts) and all(muting.of(one) is not None for one in alerts)
    is_quiet = not alerts and _had_alerts(session, incident.id)
    hits = (
        {}
        if is_muted or is_quiet or is_watched(incident)
        else {hit.channel: hit for hit in reached(contacts, about, now)}
    )
    told = {
        row.channel: row
        for row in session.scalars(select(ToldIncident).where(ToldIncident.incident_id == incident.id))
    }
    message = compose(session, incident, alerts)
    made = []
    for channel in sorted((hits.keys() | told.keys()) & contacts.channels.keys()):
        row = told.get(channel)
        if row is not None and row.closed_there and message.state == "resolved":
            row.state = "resolved"
            continue
        kind = KINDS[contacts.channels[channel]["kind"]].make
        why = reason_to_tell(
            row, message, hits.get(channel), now, changes=kind.changes, refresh=kind.refresh,
            relapsed_at=incident.relapsed_at,
        )  # fmt: skip
        notice = _queue(session, incident.id, channel, message, why, now) if why else None
        if notice is not None:
            made.append(notice)
    return made


def about_of(session: ReadSession, incident: Incident) -> About:
    """What routes ask of an incident."""
    model = session.get(Model, incident.model) if incident.model else None
    return About(
        severity=incident.severity, tier=model.tier if model else "", model=incident.model,
        environment=incident.environment, team=_name(session, model.owner_id if model else None),
        told_since=session.scalar(select(func.min(Notice.created_at)).where(Notice.incident_id == incident.id)),
        acknowledged=incident.acknowledged_at is not None,
    )  # fmt: skip


def reason_to_tell(
    row: ToldIncident | None,
    message: Message,
    hit: Reached | None,
    now: datetime,
    *,
    changes: bool,
    refresh: timedelta | None,
    relapsed_at: datetime | None = None,
) -> str:
    """Why a channel is told of an incident now, for people; empty: there is nothing new for it.

    row  what it was last told; None: nothing yet, and then only a route that reaches it begins
    """
    if row is None:
        if hit is None or message.state == "resolved":
            return ""
        return f"route {hit.route}" + (f", step {hit.step}: nobody has acknowledged" if hit.step else "")
    if message.severity < row.severity:
        return f"it became {message.word}"
    if relapsed_at is not None and row.told_at < relapsed_at and message.state != "resolved":
        return "it fires on after it was mitigated"
    if row.closed_there:
        return ""
    if row.state != message.state:
        return f"it is {message.state}"
    if row.state == "resolved":
        return ""
    if changes and row.digest != message.digest and now - row.told_at >= TEXT_EVERY:
        return "what is known of it changed"
    if refresh is not None and now - row.told_at >= refresh:
        return "told again before it is forgotten"
    return ""


def _queue(
    session: WriteSession, incident_id: int, channel: str, message: Message, why: str, now: datetime
) -> Notice | None:
    """Put it into the outbox in place of what waits there about the same incident.

    None where the same waits, or was refused: that would be refused again until a person does something about it.
    """
    last = session.scalars(
        select(Notice)
        .where(Notice.incident_id == incident_id, Notice.channel == channel)
        .order_by(Notice.id.desc())
        .limit(1)
    ).one_or_none()
    if last is not None and last.state == "refused":
        refused = Message.from_dict(last.document)
        if (refused.state, refused.severity) == (message.state, message.severity):
            return None
    waiting = session.scalars(
        select(Notice)
        .where(Notice.incident_id == incident_id, Notice.channel == channel, Notice.state == "queued")
        .with_for_update()
    ).one_or_none()
    notice = Notice(
        incident_id=incident_id, channel=channel, why=why, document=message.as_dict(), created_at=now,
        next_try_at=now,
    )  # fmt: skip
    if waiting is not None:
        before = Message.from_dict(waiting.document)
        if (before.state, before.digest) == (message.state, message.digest):
            return None
        waiting.state = "replaced"
        notice.attempts, notice.tried_at = waiting.attempts, waiting.tried_at
        notice.next_try_at, notice.problem = waiting.next_try_at, waiting.problem
        session.flush()
    session.add(notice)
    return notice


def compose(session: ReadSession, incident: Incident, alerts: Iterable[Alert]) -> Message:
    """The message of an incident as it is. Its lines hold nothing that changes by itself, such as an age."""
    firing = sorted(alerts, key=lambda one: (LEVELS.index(one.level), one.since, one.id))
    where = f"{incident.model or 'The installation'} in {incident.environment}"
    lines = [where, f"Since: {incident.opened_at:%Y-%m-%d %H:%M} UTC"]
    lines += [f"{one.level}: {clipped(one.title, LONGEST_LINE)}" for one in firing[:SHOWN_ALERTS]]
    if len(firing) > SHOWN_ALERTS:
        lines.append(f"and {len(firing) - SHOWN_ALERTS} more alerts")
    if is_watched(incident):
        lines.append(f"Mitigated by CHG-{incident.mitigated_by_change}. {watch_words(incident)}.")
    elif incident.relapsed_at is not None and incident.state == "open":
        lines.append(f"It was mitigated, and fires again since {incident.relapsed_at:%Y-%m-%d %H:%M} UTC")
    over = incident.state != "open"
    if over and incident.closed_because:
        lines.append(f"Over: {clipped(incident.closed_because, LONGEST_LINE)}")
    return Message(
        key=key_of(incident.id), incident=incident.id,
        state="resolved" if over else "acknowledged" if incident.acknowledged_at is not None else "open",
        severity=incident.severity, title=clipped(incident.title, LONGEST_LINE), lines=tuple(lines),
        link=f"{settings().console.rstrip('/')}/i/{incident.id}", model=incident.model,
        environment=incident.environment, opened_at=iso(incident.opened_at),
        by="" if over else _name(session, incident.acknowledged_by) or incident.acknowledged_there,
    )  # fmt: skip


def key_of(incident_id: int) -> str:
    """The dedup key of an incident: two installations that tell the same service do not get into each other's way."""
    return f"{origin().removesuffix('/audit')}/incidents/{incident_id}"


def _firing(session: ReadSession, incident_id: int) -> list[Alert]:
    return list(
        session.scalars(select(Alert).where(Alert.incident_id == incident_id, Alert.state == "firing"))
    )


def _had_alerts(session: ReadSession, incident_id: int) -> bool:
    """Whether alerts belong to it at all: one that was opened by hand has none, and is told all the same."""
    return session.scalar(select(Alert.id).where(Alert.incident_id == incident_id).limit(1)) is not None


def _name(session: ReadSession, person_id: str | None) -> str:
    person = session.get(Person, person_id) if person_id else None
    return person.display_name if person is not None else ""

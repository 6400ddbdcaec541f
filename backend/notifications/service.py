"""What people see of notices, and the little that they do: read the state, have something tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from backend import clock
from backend.alerting.incidents import get_incident
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotFound
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.identity.roles import Permission
from backend.notifications.contacts import Contacts, Reached, contacts_path, current_contacts, reached
from backend.notifications.planning import about_of
from backend.notifications.sending import retry
from backend.notifications.tables import Notice, ToldIncident


@dataclass(frozen=True)
class ChannelState:
    """How a channel does. `waiting` and `refused` count notices; `problem` is of its oldest one that waits."""

    name: str
    kind: str
    sent_at: datetime | None
    waiting: int
    refused: int
    problem: str
    deaf: str  # why nothing can be heard there; empty: it hears, or has nothing to hear


@dataclass(frozen=True)
class NotificationState:
    """`problem`: why nobody is told at all."""

    contacts: Contacts
    channels: tuple[ChannelState, ...]
    problem: str


def notification_state(session: ReadSession, viewer: Actor) -> NotificationState:
    """Every channel of the contacts as it does now, in the order of the file."""
    viewer.require(Permission.READ_JOBS)
    if contacts_path() is None:
        return NotificationState(Contacts(), (), "WARRANT_CONTACTS is not set")
    try:
        contacts = current_contacts()
    except BadInput as error:
        return NotificationState(Contacts(), (), error.message)
    counted = {
        (channel, state): (number, newest)
        for channel, state, number, newest in session.execute(
            select(Notice.channel, Notice.state, func.count(), func.max(Notice.sent_at)).group_by(
                Notice.channel, Notice.state
            )
        )
    }
    problems: dict[str, str] = {}
    for channel, problem in session.execute(
        select(Notice.channel, Notice.problem)
        .where(Notice.state.in_(("queued", "refused")), Notice.problem != "")
        .order_by(Notice.id)
    ):
        problems.setdefault(channel, problem)
    told = session.execute(
        select(ToldIncident.channel, ToldIncident.problem).where(
            ToldIncident.problem != "", ToldIncident.state != "resolved"
        )
    )
    deaf: dict[str, str] = {channel: problem for channel, problem in told}  # noqa: C416 - rows, not tuples, to mypy
    channels = tuple(
        ChannelState(
            name, values["kind"], counted.get((name, "sent"), (0, None))[1],
            counted.get((name, "queued"), (0, None))[0], counted.get((name, "refused"), (0, None))[0],
            problems.get(name, ""), deaf.get(name, ""),
        )
        for name, values in contacts.channels.items()
    )  # fmt: skip
    return NotificationState(contacts, channels, "")


def recent_notices(
    session: ReadSession, viewer: Actor, *, incident_id: int | None = None, limit: int = 100
) -> list[Notice]:
    """Notices, newest first; those that were replaced before they were sent are left out."""
    viewer.require(Permission.READ_JOBS)
    see(session, viewer)
    query = select(Notice).where(Notice.state != "replaced").order_by(Notice.id.desc()).limit(limit)
    if incident_id is not None:
        get_incident(session, viewer, incident_id)
        query = query.where(Notice.incident_id == incident_id)
    return list(session.scalars(query))


def to_be_told(session: ReadSession, viewer: Actor, incident_id: int) -> list[Reached]:
    """The channels that routes lead this incident to now, whether or not they were told yet."""
    incident = get_incident(session, viewer, incident_id)
    return reached(current_contacts(), about_of(session, incident), clock.now())


def retry_notice(session: WriteSession, actor: Actor, notice_id: int) -> Notice:
    """Try a notice again now: one that was refused, or one that waits for its next time."""
    actor.require(Permission.ACKNOWLEDGE)
    notice = session.get(Notice, notice_id)
    if notice is None:
        raise NotFound(f"there is no notice {notice_id} that you may see")
    get_incident(session, actor, notice.incident_id)
    if notice.state not in ("refused", "queued"):
        raise Conflict(f"notice {notice_id} was {notice.state}; there is nothing to try again")
    notice = retry(session, notice_id, now=clock.now())
    session.flush()
    record(
        session, actor, Action.NOTICE_RETRIED, object_kind="incident", object_id=notice.incident_id,
        payload={"notice": notice_id, "channel": notice.channel},
    )  # fmt: skip
    return notice

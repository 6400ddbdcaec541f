"""What people see of notices, and the little that they do: read the state, have something tried again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import and_, case, func, or_, select

from backend import clock
from backend.alerting.incidents import get_incident
from backend.alerting.muting import muting_now
from backend.alerting.tables import Incident
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotFound
from backend.governance.reading import get_change
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.leases import NOTIFIER, lease_of
from backend.notifications.contacts import Contacts, Reached, contacts_path, reached
from backend.notifications.facts import read_facts
from backend.notifications.planning import due_now, incidents_to_plan, is_heard, is_unrouted
from backend.notifications.probe import PROBE
from backend.notifications.sending import retry
from backend.notifications.shifts import contacts_for, contacts_now
from backend.notifications.tables import ChannelTest, Notice, ToldIncident

QUIET_AFTER: Final = timedelta(seconds=20)  # a notifier ticks every three seconds
ON_ITS_WAY: Final = timedelta(seconds=20)  # what has waited longer should have been told
_GOES_ON: Final = or_(Incident.state == "open", Change.state == "waiting")  # of what a notice is
START_IT: Final = (
    "Start a worker with the queue `metrics` (`python -m jobs.worker`), and give it the same WARRANT_CONTACTS. "
    "Nothing is lost: it tells what is due as soon as it runs."
)


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
    slow_since: datetime | None  # its last request has not ended
    test: str  # queued | passed | failed; empty: none was asked for
    test_said: str
    test_at: datetime | None  # when it was made; asked for, while it waits


@dataclass(frozen=True)
class Sending:
    """Whether anybody sends, by what the notifier last said of itself.

    since    when it was last heard of; None: never
    problem  why nothing is sent, empty: it is
    to_do    what helps
    """

    since: datetime | None
    problem: str = ""
    to_do: str = ""


@dataclass(frozen=True)
class Untold:
    """What a channel should have been told and was not.

    problem  what held up the last attempt; empty: there was none
    late     it has waited longer than a notice takes, was refused, or nobody sends it
    """

    incident_id: int
    severity: int
    channel: str
    why: str
    problem: str
    since: datetime
    late: bool


@dataclass(frozen=True)
class NotificationState:
    """`problem`: why nobody is told at all. `unrouted`: open incidents that no route leads anywhere with."""

    contacts: Contacts
    channels: tuple[ChannelState, ...]
    problem: str
    sending: Sending = Sending(None)
    untold: tuple[Untold, ...] = ()
    unrouted: tuple[int, ...] = ()


def notification_state(session: ReadSession, viewer: Actor) -> NotificationState:
    """Every channel of the contacts as it does now, in the order of the file, and who should have been told what."""
    allow(session, viewer, Permission.READ_JOBS)
    see(session, viewer)
    if contacts_path() is None:
        return NotificationState(Contacts(), (), "WARRANT_CONTACTS is not set")
    try:
        contacts = contacts_for(session, viewer)
    except BadInput as error:
        return NotificationState(Contacts(), (), error.message)
    sending, slow = _sending(session)
    untold, unrouted = _untold(session, contacts, is_sent=not sending.problem)
    return NotificationState(contacts, _channels(session, contacts, slow), "", sending, untold, unrouted)


def sending_state(session: ReadSession, viewer: Actor) -> Sending:
    """Whether anybody sends notices now."""
    allow(session, viewer, Permission.READ_JOBS)
    return _sending(session)[0]


def _sending(session: ReadSession) -> tuple[Sending, Mapping[str, str]]:
    """Whether the notifier runs, and since when each channel that hangs has not answered it."""
    lease = lease_of(session, NOTIFIER)
    if lease is None or lease.status is None:
        return Sending(None, "No worker has ever sent a notice here.", START_IT), {}
    at = clock.from_iso(lease.status["at"])
    if not lease.holder or clock.now() - at > QUIET_AFTER:
        return Sending(at, "No worker sends notices.", START_IT), {}
    problem = str(lease.status["problem"])
    if problem:
        to_do = "Mend the file where the worker reads it, or its WARRANT_CONTACTS; it is read again at once."
        return Sending(at, f"The worker cannot read the contacts: {problem}", to_do), {}
    return Sending(at), lease.status["slow"]


def _untold(
    session: ReadSession, contacts: Contacts, *, is_sent: bool
) -> tuple[tuple[Untold, ...], tuple[int, ...]]:
    """Open incidents, as routes want them told now, held against what was told."""
    now, incidents = clock.now(), incidents_to_plan(session)
    facts, muting = read_facts(session, incidents), muting_now(session)
    waiting = {
        (one.incident_id, one.channel): one
        for one in session.scalars(
            select(Notice).where(Notice.state.in_(("queued", "refused"))).order_by(Notice.id)
        )
    }
    found = []
    for due in due_now(contacts, incidents, facts, muting, now):
        if not due.is_news:
            continue
        notice = waiting.get((due.incident.id, due.channel))
        begun = due.row.told_at if due.row is not None else due.incident.opened_at
        since = notice.created_at if notice is not None else begun
        found.append(
            Untold(
                due.incident.id, due.message.severity, due.channel, due.why, notice.problem if notice else "", since,
                late=not is_sent or now - since > ON_ITS_WAY or (notice is not None and notice.state == "refused"),
            )
        )  # fmt: skip
    unrouted = tuple(one.id for one in incidents if is_unrouted(contacts, facts, one, muting, now))
    return tuple(found), unrouted


def told_to_nobody(session: ReadSession, before: datetime) -> list[int]:
    """Open incidents that nobody is on and that reach somebody, with a notice from before this moment, of which no
    channel has taken any."""
    taken = select(ToldIncident.incident_id).where(ToldIncident.incident_id == Incident.id)
    owed = (
        select(Notice.incident_id)
        .group_by(Notice.incident_id)
        .having(
            func.min(Notice.created_at) < before,
            func.sum(case((Notice.state.in_(("queued", "refused")), 1), else_=0)) > 0,
        )
    )
    found = session.scalars(
        select(Incident)
        .where(
            Incident.state == "open", Incident.acknowledged_at.is_(None), ~taken.exists(), Incident.id.in_(owed)
        )
        .order_by(Incident.id)
    ).all()  # fmt: skip
    if not found:
        return []
    facts, muting = read_facts(session, found), muting_now(session)
    return [one.id for one in found if is_heard(facts, one, muting)]


def _channels(session: ReadSession, contacts: Contacts, slow: Mapping[str, str]) -> tuple[ChannelState, ...]:
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
        .outerjoin(Incident, Incident.id == Notice.incident_id)
        .outerjoin(Change, Change.id == Notice.change_id)
        .where(
            Notice.problem != "",
            or_(Notice.state == "queued", and_(Notice.state == "refused", _GOES_ON)),
        )
        .order_by(Notice.id)
    ):
        problems.setdefault(channel, problem)
    told = session.execute(
        select(ToldIncident.channel, ToldIncident.problem).where(
            ToldIncident.problem != "", ToldIncident.state != "resolved"
        )
    )
    deaf: dict[str, str] = {channel: problem for channel, problem in told}  # noqa: C416 - rows, not tuples, to mypy
    refusals = session.execute(  # what is over needs nobody any more
        select(Notice.channel, func.count())
        .outerjoin(Incident, Incident.id == Notice.incident_id)
        .outerjoin(Change, Change.id == Notice.change_id)
        .where(Notice.state == "refused", _GOES_ON)
        .group_by(Notice.channel)
    )
    refused: dict[str, int] = {channel: number for channel, number in refusals}  # noqa: C416 - rows, not tuples, to mypy
    tests = {one.channel: one for one in session.scalars(select(ChannelTest))}
    return tuple(
        ChannelState(
            name, values["kind"], counted.get((name, "sent"), (0, None))[1],
            counted.get((name, "queued"), (0, None))[0], refused.get(name, 0),
            problems.get(name, ""), deaf.get(name, ""), clock.from_iso(slow[name]) if name in slow else None,
            *_tested(tests.get(name)),
        )
        for name, values in contacts.channels.items()
    )  # fmt: skip


def _tested(test: ChannelTest | None) -> tuple[str, str, datetime | None]:
    return (test.state, test.said, test.done_at or test.asked_at) if test is not None else ("", "", None)


def recent_notices(
    session: ReadSession,
    viewer: Actor,
    *,
    incident_id: int | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Notice]:
    """Notices, newest first; those that were replaced before they were sent are left out."""
    allow(session, viewer, Permission.READ_JOBS)
    see(session, viewer)
    query = (
        select(Notice)
        .where(Notice.state != "replaced", Notice.channel != PROBE)
        .order_by(Notice.id.desc())
        .limit(limit)
        .offset(offset)
    )
    if incident_id is not None:
        get_incident(session, viewer, incident_id)
        query = query.where(Notice.incident_id == incident_id)
    return list(session.scalars(query))


def to_be_told(session: ReadSession, viewer: Actor, incident_id: int) -> list[Reached]:
    """The channels that routes lead this incident to now, whether or not they were told yet."""
    incident = get_incident(session, viewer, incident_id)
    about = read_facts(session, [incident]).about(incident)
    return reached(contacts_now(session), about, clock.now())


def retry_notice(session: WriteSession, actor: Actor, notice_id: int) -> Notice:
    """Try a notice again now: one that was refused, or one that waits for its next time."""
    allow(session, actor, Permission.ACKNOWLEDGE)
    notice = session.get(Notice, notice_id)
    if notice is None or notice.channel == PROBE:
        raise NotFound(f"there is no notice {notice_id} that you may see")
    about: tuple[str, int]
    if notice.incident_id is not None:
        about = "incident", get_incident(session, actor, notice.incident_id).id
    else:
        about = "change", get_change(session, actor, notice.change_id or 0).id
    if notice.state not in ("refused", "queued"):
        raise Conflict(f"notice {notice_id} was {notice.state}; there is nothing to try again")
    notice = retry(session, notice_id, now=clock.now())
    session.flush()
    record(
        session, actor, Action.NOTICE_RETRIED, object_kind=about[0], object_id=about[1],
        payload={"notice": notice_id, "channel": notice.channel},
    )  # fmt: skip
    return notice

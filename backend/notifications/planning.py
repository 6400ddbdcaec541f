"""What has to be told now: every open incident held against what each channel was last told of it.

Nothing has to be remembered when an incident changes: what differs from what was told is told. So nothing is lost with
a process, and nothing is told twice because two things happened at once. Remembered is only when a route began.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import or_, select, update

from backend import clock
from backend.alerting.mitigation import is_watched
from backend.alerting.muting import Muting, muting_now
from backend.alerting.tables import Incident
from backend.database.session import ReadSession, WriteSession
from backend.notifications.channels import KINDS
from backend.notifications.contacts import Contacts, Reached, beginning, reached
from backend.notifications.facts import Facts, read_facts
from backend.notifications.messages import Message
from backend.notifications.tables import BegunRoute, Notice, ToldIncident

TEXT_EVERY: Final = timedelta(
    minutes=5
)  # figures in a title change all the time; state and severity do not wait
TEXT_CHANGED: Final = "what is known of it changed"
REFRESHED: Final = "told again before it is forgotten"


@dataclass(frozen=True)
class Due:
    """What one channel is to be told now. `why` is for people; `is_news`: somebody waits for it."""

    incident: Incident
    channel: str
    message: Message
    why: str
    row: ToldIncident | None  # what it was last told

    @property
    def is_news(self) -> bool:
        return self.why not in (TEXT_CHANGED, REFRESHED)


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


def plan_notices(
    session: WriteSession, contacts: Contacts, now: datetime, *, only: int | None = None
) -> list[Notice]:
    """Queue what is to be told now. Returns the notices that are new; asking again at once queues nothing.

    only  the number of one incident; None: of all
    """
    incidents = [one for one in incidents_to_plan(session) if only in (None, one.id)]
    facts, muting = read_facts(session, incidents), muting_now(session)
    for incident in incidents:
        if incident.state != "open":
            for row in facts.told.get(incident.id, {}).values():
                row.state = "resolved" if row.closed_there else row.state
        elif is_heard(facts, incident, muting):
            for name in beginning(contacts, facts.about(incident), now):
                session.add(BegunRoute(incident_id=incident.id, route=name, began_at=now))
    made = [_queue(session, due, now) for due in due_now(contacts, incidents, facts, muting, now)]
    session.flush()
    return [one for one in made if one is not None]


def due_now(
    contacts: Contacts, incidents: Iterable[Incident], facts: Facts, muting: Muting, now: datetime
) -> Iterator[Due]:
    """What differs from what was told, whether or not it waits in the outbox already."""
    for incident in incidents:
        heard = is_heard(facts, incident, muting)
        about, told = facts.about(incident), facts.told.get(incident.id, {})
        hits = {hit.channel: hit for hit in reached(contacts, about, now)} if heard else {}
        message = facts.message(incident)
        for channel in sorted((hits.keys() | told.keys()) & contacts.channels.keys()):
            row, kind = told.get(channel), KINDS[contacts.channels[channel]["kind"]].make
            if row is not None and row.closed_there and message.state == "resolved":
                continue
            if message.state == "open" and kind.refresh is None and _is_muted(facts, incident, muting):
                continue
            mine = message
            if row is not None and message.state != "open":
                # nobody is asked anything: it changes what is there
                mine = replace(message, round=row.round)
            why = reason_to_tell(
                row, mine, hits.get(channel), now, changes=kind.changes, refresh=kind.refresh,
                relapsed_at=incident.relapsed_at,
            )  # fmt: skip
            if why:
                yield Due(incident, channel, mine, why, row)


def is_heard(facts: Facts, incident: Incident, muting: Muting) -> bool:
    """Whether it reaches anybody: not one all of whose alerts are muted or over, nor one that a change mitigated."""
    is_over = not facts.firing.get(incident.id) and incident.id in facts.with_alerts
    return not (is_over or is_watched(incident) or _is_muted(facts, incident, muting))


def _is_muted(facts: Facts, incident: Incident, muting: Muting) -> bool:
    alerts = facts.firing.get(incident.id, ())
    return bool(alerts) and all(muting.of(one) is not None for one in alerts)


def is_unrouted(contacts: Contacts, facts: Facts, incident: Incident, muting: Muting, now: datetime) -> bool:
    """Whether it is open, heard, and no route leads anywhere with it: nobody was told, and nobody will be."""
    return (
        incident.state == "open"
        and is_heard(facts, incident, muting)
        and not facts.told.get(incident.id)
        and not reached(contacts, facts.about(incident), now)
    )


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
    if message.round > row.round:
        return f"it became {message.word} after somebody had acknowledged it: it asks again"
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
        return TEXT_CHANGED
    if refresh is not None and now - row.told_at >= refresh:
        return REFRESHED
    return ""


def _queue(session: WriteSession, due: Due, now: datetime) -> Notice | None:
    """Put it into the outbox in place of what waits there about the same incident.

    None where the same waits, or was refused: that would be refused again until a person does something about it.
    """
    message = due.message
    last = session.scalars(
        select(Notice)
        .where(Notice.incident_id == due.incident.id, Notice.channel == due.channel)
        .order_by(Notice.id.desc())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    before = Message.from_dict(last.document) if last is not None else message
    if last is not None and last.state == "refused" and _asks_the_same(before, message):
        return None
    waiting = last if last is not None and last.state == "queued" else None
    if (
        waiting is not None and waiting.tried_at is not None
    ):  # it may have got there, and is ended with this one
        message = replace(message, round=max(message.round, before.round))
    if waiting is not None and (before.state, before.digest) == (message.state, message.digest):
        return None
    notice = Notice(
        incident_id=due.incident.id, channel=due.channel, why=due.why, document=message.as_dict(), created_at=now,
        next_try_at=now,
    )  # fmt: skip
    if waiting is not None:
        waiting.state = "replaced"
        notice.attempts, notice.tried_at = waiting.attempts, waiting.tried_at
        notice.next_try_at, notice.problem = waiting.next_try_at, waiting.problem
        session.flush()
    session.add(notice)
    return notice


def _asks_the_same(one: Message, other: Message) -> bool:
    return (one.state, one.severity, one.round) == (other.state, other.severity, other.round)


def forget_refusals(session: WriteSession, contacts: Contacts) -> int:
    """What was refused is planned anew, as it is now: what refused it may have been mended. Returns how many.

    A reminder is tried again as it is.
    """
    reminders = update(Notice).where(
        Notice.state == "refused", Notice.change_id.is_not(None), Notice.channel.in_(list(contacts.channels))
    )  # fmt: skip
    again = session.execute(reminders.values(state="queued", next_try_at=clock.now()))
    forgotten = session.execute(
        update(Notice)
        .where(Notice.state == "refused", Notice.channel.in_(list(contacts.channels)))
        .values(state="replaced")
    )
    return int(forgotten.rowcount + again.rowcount)  # type: ignore[attr-defined]

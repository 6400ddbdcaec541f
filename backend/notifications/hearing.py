"""What people do where they were told: an acknowledgement or a resolution there is one here, once, and not told back.

Each channel that hears is asked every ten seconds about the incidents it was told of. What came from there is known
there already: it is noted as told, so no echo goes back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import or_, select, update

from backend import clock
from backend.alerting.entries import write_entry
from backend.alerting.incidents import note_acknowledged
from backend.alerting.service import close_incident
from backend.alerting.tables import Alert, Incident
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import WarrantError
from backend.identity.actor import Actor
from backend.notifications.channels import KINDS
from backend.notifications.channels.base import Heard
from backend.notifications.contacts import Contacts, open_channel
from backend.notifications.facts import key_of
from backend.notifications.tables import ToldIncident

log = logging.getLogger("warrant.notifications")

HEAR_EVERY: Final = timedelta(seconds=10)
LONGEST_REST: Final = timedelta(minutes=2)
REMEMBERED: Final = 50  # acts there, of one incident


def to_hear(session: ReadSession, contacts: Contacts, now: datetime) -> list[ToldIncident]:
    """What is open in channels where people can answer, longest unheard first."""
    hearing = [name for name, values in contacts.channels.items() if KINDS[values["kind"]].make.hears]
    return list(
        session.scalars(
            select(ToldIncident)
            .where(
                ToldIncident.state != "resolved", ToldIncident.closed_there == "", ToldIncident.channel.in_(hearing),
                or_(ToldIncident.heard_at.is_(None), ToldIncident.heard_at <= now - HEAR_EVERY),
            )
            .order_by(ToldIncident.heard_at.is_not(None), ToldIncident.heard_at)
        )
    )  # fmt: skip


def hear_channel(
    actor: Actor, contacts: Contacts, name: str, *, still: Callable[[], bool] = lambda: True
) -> int:
    """Ask one channel. Returns of how many incidents something was heard that was new here. One that does not answer
    is asked about the others the next time."""
    with reading() as session:
        waiting = [one for one in to_hear(session, contacts, clock.now()) if one.channel == name]
    where, news = KINDS[contacts.channels[name]["kind"]].title, 0
    for row in waiting:
        if not still():
            break
        try:
            channel = open_channel(contacts, name)
            if not channel.hears:
                break
            heard = channel.hear(key_of(row.incident_id, row.round), row.ref)
        except Exception as error:  # noqa: BLE001 - an odd answer of one channel deafens no other
            problem = error.message if isinstance(error, WarrantError) else type(error).__name__
            log.warning("nothing can be heard from %s: %s", name, problem)
            _note(row, problem)
            _rest(name, error)
            break
        news += _take(actor, row, heard, where)
    return news


def _take(actor: Actor, heard_of: ToldIncident, heard: Heard | None, where: str) -> bool:
    """In one transaction. What cannot be done here is said, and holds up no other incident."""
    _note(heard_of, "")
    if heard is None:
        return False
    try:
        with writing() as session:
            row = session.get_one(
                ToldIncident, (heard_of.incident_id, heard_of.channel), with_for_update=True
            )
            return take_over(session, actor, row, heard, where=where)
    except WarrantError as error:
        _note(heard_of, f"what was done there cannot be done here: {error.message}")
        return False


def _note(heard_of: ToldIncident, problem: str) -> None:
    with writing() as session:
        row = session.get_one(ToldIncident, (heard_of.incident_id, heard_of.channel), with_for_update=True)
        row.heard_at, row.problem = clock.now(), problem


def _rest(name: str, error: Exception) -> None:
    """A channel that says when to ask again is asked nothing before: who goes on asking is kept out for longer."""
    asked_s = error.details.get("retry_after_s") if isinstance(error, WarrantError) else None
    if not asked_s:
        return
    until = clock.now() + min(timedelta(seconds=asked_s), LONGEST_REST)
    with writing() as session:
        session.execute(
            update(ToldIncident)
            .where(ToldIncident.channel == name, ToldIncident.state != "resolved")
            .values(heard_at=until - HEAR_EVERY)
        )


def take_over(session: WriteSession, actor: Actor, row: ToldIncident, heard: Heard, *, where: str) -> bool:
    """Do here what was done there, if it was not done yet. Returns whether that was new.

    Each act there counts once, also where what it did has been undone since. Resolved there while alerts fire here:
    nobody is woken again for it there unless it grows graver, and here it stays open, acknowledged, with a line that
    says so, until these alerts are over (`settle_closed_there`). What the other side ended by the clock, while alerts
    fire and nobody is on it, is told there again.
    """
    incident = session.get_one(Incident, row.incident_id, with_for_update=True)
    if heard.state == "open" or row.state == "resolved" or incident.state != "open":
        return False
    if heard.act in row.heard:
        return False
    if heard.act:
        row.heard = [*row.heard, heard.act][-REMEMBERED:]
    said, is_present = f"in {where} by {heard.by or 'somebody'}", row.round == incident.asks
    if heard.state == "acknowledged":
        row.state = "acknowledged" if is_present else row.state
        return is_present and _acknowledge(session, actor, incident, said)
    firing = _firing(session, incident.id)
    if not firing:
        close_incident(session, actor, incident, why=f"resolved {said}", cause="unknown")
        row.state = "resolved"
        return True
    if heard.is_timed and incident.acknowledged_at is None:
        row.state = "resolved"  # there; what is so is told anew
        told = "and nobody has acknowledged it, so it is told there again"
        write_entry(
            session, actor, incident, "note",
            f"{where} ended it by the clock; {len(firing)} alert(s) still fire, {told}",
        )  # fmt: skip
        return True
    row.closed_there = said
    if is_present:
        _acknowledge(session, actor, incident, said)
    write_entry(
        session, actor, incident, "note",
        f"resolved {said}; {len(firing)} alert(s) still fire, so it stays open here",
    )  # fmt: skip
    return True


def settle_closed_there(session: WriteSession, actor: Actor) -> int:
    """Close what people resolved elsewhere while alerts fired, now that these are over. Returns how many."""
    rows = session.scalars(
        select(ToldIncident)
        .join(Incident, Incident.id == ToldIncident.incident_id)
        .where(ToldIncident.closed_there != "", Incident.state == "open", ToldIncident.round == Incident.asks)
    ).all()
    over = [row for row in rows if not _firing(session, row.incident_id)]
    for row in over:
        incident = session.get_one(Incident, row.incident_id, with_for_update=True)
        why = f"resolved {row.closed_there}, and what fired then is over"
        close_incident(session, actor, incident, why=why, cause="unknown")
        row.state = "resolved"
    return len(over)


def _firing(session: ReadSession, incident_id: int) -> list[int]:
    return list(
        session.scalars(select(Alert.id).where(Alert.incident_id == incident_id, Alert.state == "firing"))
    )


def _acknowledge(session: WriteSession, actor: Actor, incident: Incident, said: str) -> bool:
    if incident.acknowledged_at is not None:
        return False
    note_acknowledged(session, actor, incident, there=said)
    return True

"""What people do where they were told: an acknowledgement or a resolution there is one here, once, and not told back.

Each channel that hears is asked every ten seconds about the incidents it was told of. What came from there is known
there already: it is noted as told, so no echo goes back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import or_, select

from backend import clock
from backend.alerting.entries import write_entry
from backend.alerting.phases import move
from backend.alerting.service import close_incident
from backend.alerting.tables import Alert, Incident
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import WarrantError
from backend.identity.actor import Actor
from backend.notifications.channels import KINDS
from backend.notifications.channels.base import Channel, Heard
from backend.notifications.contacts import Contacts, open_channel
from backend.notifications.planning import key_of
from backend.notifications.tables import ToldIncident

log = logging.getLogger("warrant.notifications")

HEAR_EVERY: Final = timedelta(seconds=10)


def to_hear(session: ReadSession, contacts: Contacts, now: datetime) -> list[tuple[int, str, str]]:
    """(incident, channel, ref) of all that is open there, longest unheard first."""
    rows = session.execute(
        select(ToldIncident.incident_id, ToldIncident.channel, ToldIncident.ref)
        .where(
            ToldIncident.state != "resolved", ToldIncident.closed_there.is_(False),
            ToldIncident.channel.in_(list(contacts.channels)),
            or_(ToldIncident.heard_at.is_(None), ToldIncident.heard_at <= now - HEAR_EVERY),
        )
        .order_by(ToldIncident.heard_at.is_not(None), ToldIncident.heard_at)
    )  # fmt: skip
    return [(number, channel, ref) for number, channel, ref in rows]


def hear_all(actor: Actor, contacts: Contacts, *, still: Callable[[], bool] = lambda: True) -> int:
    """Ask every channel that hears. Returns how many incidents something was heard of that was new here."""
    with reading() as session:
        waiting = to_hear(session, contacts, clock.now())
    opened: dict[str, Channel | None] = {}
    news = 0
    for incident_id, name, ref in waiting:
        if not still():
            break
        problem, heard = "", None
        try:
            if name not in opened:
                opened[name] = open_channel(contacts, name)
            channel = opened[name]
            if channel is None:
                continue
            if not channel.hears:
                opened[name] = None
                continue
            heard = channel.hear(key_of(incident_id), ref)
        except Exception as error:  # noqa: BLE001 - an odd answer of one channel deafens no other
            problem = error.message if isinstance(error, WarrantError) else type(error).__name__
            opened[name] = None  # the others of this channel wait for the next time
            log.warning("nothing can be heard from %s: %s", name, problem)
        with writing() as session:
            row = session.get_one(ToldIncident, (incident_id, name), with_for_update=True)
            row.heard_at, row.problem = clock.now(), problem
            if heard is not None and take_over(
                session, actor, row, heard, where=KINDS[contacts.channels[name]["kind"]].title
            ):
                news += 1
    return news


def take_over(session: WriteSession, actor: Actor, row: ToldIncident, heard: Heard, *, where: str) -> bool:
    """Do here what was done there, if it was not done yet. Returns whether that was new.

    Resolved there while alerts fire here: nobody is woken again for it there unless it grows graver, and here it stays
    open, acknowledged, with a line that says so.
    """
    incident = session.get_one(Incident, row.incident_id, with_for_update=True)
    if heard.state == "open" or row.state == "resolved" or incident.state != "open":
        return False
    said = f"in {where} by {heard.by or 'somebody'}"
    if heard.state == "acknowledged":
        row.state = "acknowledged"
        return _acknowledge(session, actor, incident, said)
    firing = session.scalars(
        select(Alert.id).where(Alert.incident_id == incident.id, Alert.state == "firing")
    ).all()
    if not firing:
        close_incident(session, actor, incident, why=f"resolved {said}")
        row.state = "resolved"
        return True
    row.closed_there = True
    _acknowledge(session, actor, incident, said)
    write_entry(
        session, actor, incident, "note",
        f"resolved {said}; {len(firing)} alert(s) still fire, so it stays open here",
    )  # fmt: skip
    return True


def _acknowledge(session: WriteSession, actor: Actor, incident: Incident, said: str) -> bool:
    if incident.acknowledged_at is not None:
        return False
    incident.acknowledged_at, incident.acknowledged_there = clock.now(), said
    if incident.phase == "new":
        move(incident, "acknowledged")
    session.flush()
    write_entry(session, actor, incident, "acknowledged", said)
    record(
        session, actor, Action.INCIDENT_ACKNOWLEDGED, object_kind="incident", object_id=incident.id, why=said
    )
    return True

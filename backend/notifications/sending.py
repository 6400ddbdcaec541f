"""Emptying the outbox: each notice at least once, each channel in order and by itself (`lanes`).

An attempt is noted before it is made. One that was cut off may have been taken: the next one says so to the channel,
whose dedup key makes it the same page (`channels`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from backend import clock
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import WarrantError
from backend.governance.tables import Change
from backend.notifications.channels.base import Channel, Receipt
from backend.notifications.contacts import Contacts, open_channel
from backend.notifications.messages import Message, Told
from backend.notifications.probe import PROBE, Sink
from backend.notifications.tables import Notice, ToldIncident
from backend.signed_http import NotAnswered, NotTaken, OutcomeUnknown

log = logging.getLogger("warrant.notifications")

BATCH: Final = 200
FIRST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(minutes=10)


def pause_after(attempts: int, asked_s: float | None = None) -> timedelta:
    """How long a notice waits after so many attempts: 5 s, then twice as long each time up to 10 minutes, or as long as
    the other side asks for where that is longer."""
    doubled: int = 2 ** min(attempts - 1, 10)
    pause = min(FIRST_PAUSE * doubled, LONGEST_PAUSE)
    return max(pause, timedelta(seconds=min(asked_s or 0, LONGEST_PAUSE.total_seconds())))


def due_channels(session: ReadSession) -> list[str]:
    """The channels for which a notice's time has come, the longest waiting first."""
    return list(
        session.scalars(
            select(Notice.channel)
            .where(Notice.state == "queued", Notice.next_try_at <= clock.now())
            .group_by(Notice.channel)
            .order_by(func.min(Notice.id))
        )
    )


def send_channel(contacts: Contacts, name: str, *, still: Callable[[], bool] = lambda: True) -> int:
    """Send every notice of one channel whose time has come, in order. Returns how many were sent.

    still  whether this sender may go on; asked before each notice
    """
    with reading() as session:
        due = session.scalars(
            select(Notice.id)
            .where(Notice.channel == name, Notice.state == "queued", Notice.next_try_at <= clock.now())
            .order_by(Notice.id)
            .limit(BATCH)
        ).all()
    if not due:
        return 0
    try:
        channel = _opened(contacts, name)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one channel holds up no other
        with writing() as session:
            for number in due:
                _note_failure(session.get_one(Notice, number), error)
        return 0
    sent = 0
    for number in due:
        if not still():
            break
        taken = _send(channel, number)
        if taken is None:  # it does not answer: the rest of its notices wait for the next tick
            break
        sent += taken
    return sent


def _opened(contacts: Contacts, name: str) -> Channel | None:
    if name == PROBE:
        return Sink()
    return open_channel(contacts, name) if name in contacts.channels else None


def _send(channel: Channel | None, notice_id: int) -> int | None:
    """How many were sent; None where the other side does not answer."""
    with writing() as session:
        notice = session.get_one(Notice, notice_id, with_for_update=True)
        if notice.state != "queued":  # replaced meanwhile
            return 0
        if channel is None:
            notice.state, notice.problem = "refused", "there is no such channel in the contacts any more"
            return 0
        if notice.change_id is not None and session.get_one(Change, notice.change_id).state != "waiting":
            notice.state, notice.problem = "replaced", "the change waits for no decision any more"
            return 0
        told = told_of(session, notice, perhaps=notice.tried_at is not None)
        notice.tried_at = clock.now()
        message = Message.from_dict(notice.document)
    try:
        receipt = channel.tell(message, told)
    except Exception as error:  # noqa: BLE001 - whatever a channel does wrong is said, and holds up no other
        with writing() as session:
            _note_failure(session.get_one(Notice, notice_id, with_for_update=True), error)
        return None if isinstance(error, NotAnswered) else 0
    with writing() as session:
        _note_sent(session, session.get_one(Notice, notice_id, with_for_update=True), message, receipt)
    return 1


def told_of(session: WriteSession, notice: Notice, *, perhaps: bool) -> Told | None:
    """What the channel knows of the incident of a notice, or of a change; None: nothing, for certain."""
    row = session.get(ToldIncident, (notice.incident_id, notice.channel)) if notice.incident_id else None
    if row is None:
        return Told("", "open", "", 4, perhaps=True) if perhaps else None
    state = "resolved" if row.closed_there else row.state
    return Told(row.ref, state, row.digest, row.severity, perhaps, row.round)


def _note_sent(session: WriteSession, notice: Notice, message: Message, receipt: Receipt) -> None:
    now = clock.now()
    notice.sent_at, notice.receipt, notice.problem, notice.attempts = (
        now,
        receipt.said,
        "",
        notice.attempts + 1,
    )
    if notice.state == "queued":
        notice.state = "sent"
    if notice.incident_id is None:
        return
    row = session.get(ToldIncident, (notice.incident_id, notice.channel))
    if row is None:
        row = ToldIncident(incident_id=notice.incident_id, channel=notice.channel, heard=[])
        session.add(row)
    row.ref = receipt.ref or row.ref or ""
    row.state, row.severity, row.digest = message.state, message.severity, message.digest
    row.told_at, row.round, row.closed_there = now, message.round, ""


def _note_failure(notice: Notice, error: Exception) -> None:
    said = error.message if isinstance(error, WarrantError) else type(error).__name__
    notice.attempts, notice.problem = notice.attempts + 1, said
    if notice.state != "queued":
        return
    if isinstance(error, NotTaken):
        notice.state = "refused"
    if not isinstance(error, OutcomeUnknown):
        notice.tried_at = None
    asked = error.details.get("retry_after_s") if isinstance(error, WarrantError) else None
    notice.next_try_at = clock.now() + pause_after(notice.attempts, asked)
    log.warning("notice %s to %s was not taken: %s", notice.id, notice.channel, said)


def retry(session: WriteSession, notice_id: int, *, now: datetime | None = None) -> Notice:
    """Queue again what was refused, or try at once what waits. What was sent or replaced stays as it is."""
    notice = session.get_one(Notice, notice_id, with_for_update=True)
    if notice.state in ("refused", "queued"):
        notice.state, notice.next_try_at = "queued", now or clock.now()
    return notice

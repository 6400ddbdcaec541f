"""Does a channel get through? It is told of an incident that is none, and that it is over."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.signers import origin
from backend.database.base import new_id
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import NotFound, WarrantError
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.notifications.channels.base import Channel
from backend.notifications.contacts import Contacts, current_contacts, open_channel
from backend.notifications.messages import Message, Told, iso
from backend.notifications.tables import ChannelTest
from backend.settings import settings

log = logging.getLogger("warrant.notifications")

TITLE: Final = "a test of Warrant's notifications, nothing is wrong"


@dataclass(frozen=True)
class Tried:
    """What the other side answered: when told, and when told that it is over."""

    told: str
    resolved: str


def try_channel(channel: Channel, *, key: str | None = None, perhaps: bool = False) -> Tried:
    """Tell it and take it back. Raises what `Channel.tell` raises.

    key      the same key is the same test, however often it is sent
    perhaps  an earlier attempt was cut off
    """
    test = Message(
        key=f"{origin().removesuffix('/audit')}/test/{key or new_id('try')}", incident=0, state="open", severity=4,
        title=TITLE, lines=("Nobody has to do anything.",), link=settings().console, model="",
        environment=settings().environment, opened_at=iso(clock.now()),
    )  # fmt: skip
    first = channel.tell(test, Told("", "open", "", 4, perhaps=True) if perhaps else None)
    last = channel.tell(
        replace(test, state="resolved"), Told(first.ref, test.state, test.digest, test.severity)
    )
    return Tried(first.said, last.said)


def ask_test(session: WriteSession, actor: Actor, channel: str) -> ChannelTest:
    """Have the notifier send a test. One that waits already stays the one."""
    allow(session, actor, Permission.ACKNOWLEDGE)
    if channel not in current_contacts().channels:
        raise NotFound(f"the contacts have no channel {channel!r}")
    row = session.get(ChannelTest, channel, with_for_update=True)
    if row is not None and row.state == "queued":
        return row
    if row is None:
        row = ChannelTest(channel=channel)
        session.add(row)
    row.key, row.asked_at, row.asked_by = new_id("try"), clock.now(), actor.person_row
    row.state, row.said, row.tried_at, row.done_at = "queued", "", None, None
    session.flush()
    record(session, actor, Action.CHANNEL_TESTED, object_kind="channel", object_id=channel)
    return row


def waiting_tests(session: ReadSession) -> list[str]:
    """The channels of which a test was asked for and not made."""
    return list(session.scalars(select(ChannelTest.channel).where(ChannelTest.state == "queued")))


def make_test(contacts: Contacts, name: str) -> None:
    """Make the test that was asked for of a channel, if one was, and keep what came of it."""
    with reading() as session:
        asked = session.get(ChannelTest, name)
    if asked is None or asked.state != "queued":
        return
    with writing() as session:
        session.get_one(ChannelTest, name, with_for_update=True).tried_at = clock.now()
    state = "failed"
    try:
        tried = try_channel(open_channel(contacts, name), key=asked.key, perhaps=asked.tried_at is not None)
        state, said = "passed", f"{tried.told}; when it was over: {tried.resolved}"
    except Exception as error:  # noqa: BLE001 - whatever a channel does wrong is the answer to the test
        said = error.message if isinstance(error, WarrantError) else type(error).__name__
    with writing() as session:
        row = session.get_one(ChannelTest, name, with_for_update=True)
        if row.key == asked.key:
            row.state, row.said, row.done_at = state, said, clock.now()
    log.info("the test of %s %s: %s", name, state, said)

"""The notifier: tells channels of incidents and hears what people do there. One worker at a time has its lease.

It ticks beside the runs, like the scheduler: a page must not wait behind a long run, and a run a tick would fill the
record with nothing. What is to be told and what was told are rows; a notifier that dies leaves nothing undone. Each
channel has a thread of its own: a tick begins its work and does not wait for one that is slow.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from backend import clock
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.heartbeat import receivers, send_beats
from backend.identity.actor import system_actor
from backend.leases import NOTIFIER, give_back, lease_of, note_status, take_lease
from backend.notifications.contacts import Contacts, contacts_path, contacts_stamp
from backend.notifications.hearing import hear_channel, settle_closed_there, to_hear
from backend.notifications.lanes import Lanes, Work
from backend.notifications.planning import forget_refusals, incidents_to_plan, plan_notices
from backend.notifications.reminding import plan_reminders, reminders_due
from backend.notifications.rotas import fetch_calendars
from backend.notifications.sending import due_channels, send_channel
from backend.notifications.shifts import contacts_now
from backend.notifications.trying import make_test, waiting_tests
from backend.settings import settings

log = logging.getLogger("warrant.notifier")

TICK_EVERY_S: Final = 3.0
LEASE_LASTS: Final = timedelta(seconds=60)
PATIENCE_S: Final = 2.0  # how long a tick waits for the lanes that it began
TURN_S: Final = 30.0  # a lane begins no further request after so long; the next tick goes on
ONE_REQUEST: Final = timedelta(seconds=25)  # none begins under a lease that may end before it does
SLOW_AFTER_S: Final = 15.0  # then it is said
ENDING_S: Final = 4.0
CALENDARS: Final = "/calendars"  # a lane that no channel can be called
HEARTBEAT: Final = "/heartbeat"


class Notifier:
    """Ticks while this worker has the lease."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._problem = ""
        self._lanes = Lanes()
        self._stamp: tuple[object, ...] | None = None
        self._slow: set[str] = set()
        self._beats: dict[str, dict[str, Any]] = {}

    def tick(self) -> int:
        """Plan, send, hear. Returns how many notices were sent. Does nothing where nobody is to be told."""
        beats = bool(settings().heartbeat.strip())
        if contacts_path() is None and not beats:
            return 0
        contacts = None if contacts_path() is None else self._contacts()
        if not self._holds():
            return 0
        sent = self._tell(contacts) if contacts is not None else 0
        if beats and not self._problem:  # who stumbles over telling does not say that all is well
            self._lanes.begin(HEARTBEAT, self._beat)
        return sent

    def _tell(self, contacts: Contacts) -> int:
        now = clock.now()
        self._look_at_contacts(contacts)
        if contacts.rotas:
            self._lanes.begin(CALENDARS, lambda: _fetch(contacts, now))
        try:
            self._plan(contacts, now)
        finally:
            done = self._begin(contacts)
        if done.heard:
            self._plan(contacts, clock.now())
            done += self._begin(contacts)
        return done.sent

    def give_back(self) -> None:
        """End the lease, unless a request is under way: then it ends by itself, and nobody asks the same meanwhile."""
        if not self._lanes.wait(ENDING_S):
            log.warning("a channel has not answered yet; the lease of the notifier ends by itself")
            return
        with writing() as session:
            give_back(session, NOTIFIER, holder=self._worker_id)

    def _contacts(self) -> Contacts | None:
        """The contacts as they are now; None while they cannot be read, which is said once."""
        try:
            with reading() as session:
                contacts = contacts_now(session)
        except BadInput as error:
            if error.message != self._problem:
                log.error("nobody is told of incidents: %s", error.message)  # noqa: TRY400 - a fact for the reader
            self._problem = error.message
            return None
        self._problem = ""
        return contacts

    def _holds(self) -> bool:
        """Take or renew the lease, and say on it how this goes: a page reads there whether anybody sends."""
        slow = self._lanes.slow(SLOW_AFTER_S)
        now = clock.now()
        for name in slow.keys() - self._slow:
            log.warning("%s has not answered for %.0f s; the others go on", name, slow[name])
        self._slow = set(slow)
        status: dict[str, Any] = {
            "at": clock.to_iso(now), "problem": self._problem,
            "beats": self._beats,
            "slow": {name: clock.to_iso(now - timedelta(seconds=for_s)) for name, for_s in slow.items()},
        }  # fmt: skip
        with writing() as session:
            if take_lease(session, NOTIFIER, holder=self._worker_id, lasts=LEASE_LASTS) is None:
                return False
            note_status(session, NOTIFIER, holder=self._worker_id, status=status)
        return True

    def _look_at_contacts(self, contacts: Contacts) -> None:
        """A worker that begins, and one whose contacts have changed, asks again for what was refused."""
        stamp = contacts_stamp(contacts)
        if stamp == self._stamp:
            return
        with writing() as session:
            count = forget_refusals(session, contacts)
        self._stamp = stamp
        if count:
            log.info("%d notices that were refused are tried with the contacts as they are now", count)

    def _begin(self, contacts: Contacts) -> Work:
        """Begin what each channel has to do. Returns what has been done by now, by these and earlier ones."""
        with reading() as session:
            wanted = dict.fromkeys(
                [*due_channels(session), *waiting_tests(session),
                 *(one.channel for one in to_hear(session, contacts, clock.now()))]
            )  # fmt: skip
        begun = {name for name in wanted if self._lanes.begin(name, partial(self._work, contacts, name))}
        self._lanes.wait(PATIENCE_S, for_=begun)
        return self._lanes.take()

    def _work(self, contacts: Contacts, name: str) -> Work:
        """All that one channel has to do, in its own thread."""
        ends = time.monotonic() + TURN_S

        def still() -> bool:
            return time.monotonic() < ends and self._may_ask()

        sent = send_channel(contacts, name, still=still)
        if name not in contacts.channels or not still():
            return Work(sent)
        make_test(contacts, name)
        return Work(sent, hear_channel(system_actor("worker"), contacts, name, still=still))

    def _may_ask(self) -> bool:
        """Whether the lease is ours for as long as one more request can take."""
        with reading() as session:
            lease = lease_of(session, NOTIFIER)
        return (
            lease is not None
            and lease.holder == self._worker_id
            and lease.expires_at - clock.now() >= ONE_REQUEST
        )

    def _beat(self) -> Work:
        try:
            receivers()
        except BadInput as error:
            log.warning("%s", error.message)
            return Work()
        if self._may_ask():
            self._beats = send_beats(self._beats)
        return Work()

    @staticmethod
    def _plan(contacts: Contacts, now: datetime) -> None:
        with reading() as session:
            remind = reminders_due(session, contacts)
            if not remind and not incidents_to_plan(session):
                return
        with writing() as session:
            if remind:
                plan_reminders(session, contacts, now)
            settle_closed_there(session, system_actor("worker"))
        try:
            with writing() as session:
                plan_notices(session, contacts, now)
        except SQLAlchemyError:
            raise
        except Exception:  # of one incident perhaps: the others are told all the same
            _plan_each(contacts, now)
            raise


def _plan_each(contacts: Contacts, now: datetime) -> None:
    with reading() as session:
        numbers = [one.id for one in incidents_to_plan(session)]
    for number in numbers:
        try:
            with writing() as session:
                plan_notices(session, contacts, now, only=number)
        except SQLAlchemyError:
            raise
        except Exception:
            log.exception("INC-%d cannot be told; the others are", number)


def _fetch(contacts: Contacts, now: datetime) -> Work:
    for problem in fetch_calendars(contacts, now):
        log.warning("%s", problem)
    return Work()

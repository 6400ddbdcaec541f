"""The notifier: tells channels of incidents and hears what people do there. One worker at a time has its lease.

It ticks beside the runs, like the scheduler: a page must not wait behind a long run, and a run a tick would fill the
record with nothing. What is to be told and what was told are rows; a notifier that dies leaves nothing undone.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from backend import clock
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.identity.actor import system_actor
from backend.leases import give_back, take_lease
from backend.notifications.contacts import Contacts, contacts_path, current_contacts
from backend.notifications.hearing import hear_all
from backend.notifications.planning import incidents_to_plan, plan_notices
from backend.notifications.rotas import fetch_calendars
from backend.notifications.sending import send_due

log = logging.getLogger("warrant.notifier")

NOTIFIER: Final = "notifier"
TICK_EVERY_S: Final = 3.0
LEASE_LASTS: Final = timedelta(seconds=60)  # longer than one request can take


class Notifier:
    """Ticks while this worker has the lease."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._problem = ""

    def tick(self) -> int:
        """Plan, send, hear. Returns how many notices were sent. Does nothing where nobody is to be told."""
        if contacts_path() is None:
            return 0
        contacts = self._contacts()
        if contacts is None or not self._holds():
            return 0
        now = clock.now()
        for problem in fetch_calendars(contacts, now):
            log.warning("%s", problem)
        self._plan(contacts, now)
        sent = send_due(contacts, still=self._holds)
        if hear_all(system_actor("worker"), contacts, still=self._holds):
            self._plan(contacts, clock.now())
            sent += send_due(contacts, still=self._holds)
        return sent

    def give_back(self) -> None:
        with writing() as session:
            give_back(session, NOTIFIER, holder=self._worker_id)

    def _contacts(self) -> Contacts | None:
        """The contacts as they are now; None while they cannot be read, which is said once."""
        try:
            contacts = current_contacts()
        except BadInput as error:
            if error.message != self._problem:
                log.error("nobody is told of incidents: %s", error.message)  # noqa: TRY400 - a fact for the reader
            self._problem = error.message
            return None
        self._problem = ""
        return contacts

    def _holds(self) -> bool:
        with writing() as session:
            return take_lease(session, NOTIFIER, holder=self._worker_id, lasts=LEASE_LASTS) is not None

    @staticmethod
    def _plan(contacts: Contacts, now: datetime) -> None:
        with reading() as session:
            if not incidents_to_plan(session):
                return
        with writing() as session:
            plan_notices(session, contacts, now)

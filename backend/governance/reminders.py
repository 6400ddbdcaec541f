"""Reminding those who can still decide, once, when a change has waited for a part of its lifetime.

A reminder is an entry in the log and a badge where the change is listed. The notifier tells channels of it
(`backend.notifications.reminding`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.governance.authority import who_can_decide
from backend.governance.tables import Change
from backend.identity.actor import Actor

REMIND_AFTER: Final = 0.5  # of a change that was asked for before its rule said so
LIFETIME_H: Final = 72


def remind_at(change: Change) -> datetime:
    """When those who can still decide are reminded: after `remind_after` of the lifetime that its rule gave it."""
    lifetime = timedelta(hours=float(change.policy.get("lifetime_h", LIFETIME_H)))
    return change.expires_at - lifetime * (1 - float(change.policy.get("remind_after", REMIND_AFTER)))


def changes_to_remind(session: ReadSession, now: datetime) -> list[int]:
    """Changes that wait, have waited for long enough, and of which nobody was reminded."""
    waiting = session.execute(
        select(Change.id, Change.policy, Change.expires_at)
        .where(Change.state == "waiting", Change.reminded_at.is_(None), Change.expires_at > now)
        .order_by(Change.expires_at)
    )
    return [
        number
        for number, policy, expires_at in waiting
        if remind_at(Change(policy=policy, expires_at=expires_at)) <= now
    ]


def remind_deciders(session: WriteSession, actor: Actor, change_id: int) -> list[str]:
    """Remind of one change, once; gives the ids of those who can still decide on it, none where nothing was due."""
    change = session.scalars(select(Change).where(Change.id == change_id).with_for_update()).one()
    now = clock.now()
    due = (
        change.state == "waiting"
        and change.reminded_at is None
        and remind_at(change) <= now < change.expires_at
    )
    if not due:
        return []
    people = who_can_decide(session, change)
    change.reminded_at = now
    session.flush()
    record(
        session, actor, Action.DECIDERS_REMINDED, object_kind="change", object_id=change.id,
        payload={"people": [one["person_id"] for one in people], "expires_at": clock.to_iso(change.expires_at)},
        why="" if people else "nobody can decide on it any more",
    )  # fmt: skip
    return [one["person_id"] for one in people]

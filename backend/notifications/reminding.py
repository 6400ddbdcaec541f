"""Telling channels of a change that has waited for a part of its lifetime, when those who can decide are reminded.

As with incidents nothing has to be remembered when it becomes due: a change that waits and was marked as reminded of
(`backend.governance.reminders`) is held against the notices there are of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import exists, select
from sqlalchemy.orm import defer, lazyload

from backend import clock
from backend.audit.signers import origin
from backend.database.session import ReadSession, WriteSession
from backend.governance.authority import who_can_decide
from backend.governance.tables import Change
from backend.identity.people import names_of
from backend.identity.tables import Person
from backend.notifications.contacts import About, Contacts, reminded
from backend.notifications.facts import LONGEST_LINE
from backend.notifications.messages import SEVERITIES, Message, clipped, iso
from backend.notifications.tables import Notice
from backend.registry.tables import Model
from backend.settings import settings

WHY: Final = "it waits for a decision, and its time runs out"
MOST_NAMES: Final = 10


def reminders_due(session: ReadSession, contacts: Contacts) -> dict[int, list[str]]:
    """Changes that wait, that people were reminded of, and of which no notice has been made since: with the channels
    that the contacts have told of each, at least one."""
    if not contacts.reminders:
        return {}
    told = exists().where(Notice.change_id == Change.id, Notice.created_at >= Change.reminded_at)
    waiting = session.scalars(
        select(Change)
        .options(defer(Change.evidence), defer(Change.gates), lazyload(Change.decisions))
        .where(Change.state == "waiting", Change.reminded_at.is_not(None), Change.expires_at > clock.now(), ~told)
        .order_by(Change.id)
    ).all()  # fmt: skip
    found = {change.id: reminded(contacts, _about(session, change)) for change in waiting}
    return {number: channels for number, channels in found.items() if channels}


def plan_reminders(session: WriteSession, contacts: Contacts, now: datetime) -> list[Notice]:
    """Queue a notice for each channel that is to be told. Returns them; asking again at once queues nothing."""
    made = []
    for number, channels in reminders_due(session, contacts).items():
        document = message_of(session, session.get_one(Change, number)).as_dict()
        made += [
            Notice(change_id=number, channel=one, why=WHY, document=document, created_at=now, next_try_at=now)
            for one in channels
        ]
    session.add_all(made)
    session.flush()
    return made


def _about(session: ReadSession, change: Change) -> About:
    """What the contacts ask of it; a change of no model has no tier and no team."""
    model = session.get(Model, change.model) if change.model is not None else None
    owner = session.get(Person, model.owner_id) if model is not None and model.owner_id else None
    return About(
        severity=len(SEVERITIES), tier=model.tier if model else "", model=change.model or "",
        environment=change.environment, team=owner.display_name if owner else "", acknowledged=False, begun={},
    )  # fmt: skip


def message_of(session: ReadSession, change: Change) -> Message:
    """The reminder of a change as it waits: what it is, who asked, until when, and who can decide."""
    able = list(dict.fromkeys(one["name"] for one in who_can_decide(session, change)))
    more = f" and {len(able) - MOST_NAMES} more" if len(able) > MOST_NAMES else ""
    asked = names_of(session, {change.requested_by}).get(change.requested_by, "")
    reminded_at = change.reminded_at or clock.now()
    return Message(
        key=f"{origin().removesuffix('/audit')}/changes/{change.id}/{reminded_at:%Y%m%dT%H%M%S}",
        incident=None, change=change.id, state="open", severity=len(SEVERITIES),
        title=clipped(change.summary, LONGEST_LINE),
        lines=(
            f"Asked for by {asked}: {clipped(change.reason, LONGEST_LINE)}",
            f"It expires {change.expires_at:%Y-%m-%d %H:%M:%S} UTC",
            f"Can decide: {', '.join(able[:MOST_NAMES])}{more}" if able else "Nobody can decide on it any more",
        ),
        link=f"{settings().console.rstrip('/')}/c/{change.id}", model=change.model or "",
        environment=change.environment, opened_at=iso(change.requested_at),
    )  # fmt: skip

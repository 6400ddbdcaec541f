"""Which channels a page would go by, and which channels are known not to work.

    pagers     those that a route or a shift for SEV-1 leads to and that wake people up (PagerDuty, Opsgenie,
               Alertmanager); in a house that has none of these, every channel that one leads to
    broken     the last that was sent there, a notice or a test, was not taken; or its secret is not there

That a key was revoked shows when something is sent: so each has the moment at which it last took something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, or_, select

from backend.database.session import ReadSession
from backend.errors import BadInput
from backend.notifications.channels import KINDS
from backend.notifications.contacts import Contacts, open_channel
from backend.notifications.messages import SEVERITIES
from backend.notifications.sending import pause_after
from backend.notifications.tables import ChannelTest, Notice

HELD_UP_FOR: Final = timedelta(minutes=5)  # five attempts and more
PROVED_WITHIN: Final = timedelta(days=35)


@dataclass(frozen=True)
class Standing:
    """How a channel stands: when it last took something, and what is wrong with it; empty: nothing is known to be."""

    name: str
    taken_at: datetime | None
    problem: str


def wakes(contacts: Contacts, name: str) -> bool:
    return not KINDS[contacts.channels[name]["kind"]].reminds


def pagers(contacts: Contacts) -> tuple[str, ...]:
    """The channels by which somebody would be told of a SEV-1, at whatever hour and step."""
    routes = [one for one in contacts.routes if not one.when.severity or SEVERITIES[0] in one.when.severity]
    names = [name for one in routes for name in (*one.to, *(other for step in one.then for other in step.to))]
    going = {one.name for one in routes}
    names += [
        shift.channel
        for rota in contacts.rotas.values()
        if rota.route is None or rota.route in going
        for shift in rota.shifts
    ]
    known = [name for name in dict.fromkeys(names) if name in contacts.channels]
    return tuple(name for name in known if wakes(contacts, name)) or tuple(known)


def stand(session: ReadSession, contacts: Contacts, now: datetime) -> dict[str, Standing]:
    """Every channel of the contacts, by name."""
    sent = session.execute(
        select(Notice.channel, func.max(Notice.sent_at))
        .where(Notice.state == "sent")
        .group_by(Notice.channel)
    )
    newest: dict[str, datetime | None] = {channel: at for channel, at in sent}  # noqa: C416 - rows, not tuples, to mypy
    tests = {one.channel: one for one in session.scalars(select(ChannelTest))}
    failures = _failures(session, now)
    found = {}
    for name in contacts.channels:
        test = tests.get(name)
        passed = test.done_at if test is not None and test.state == "passed" else None
        taken = max((at for at in (newest.get(name), passed) if at is not None), default=None)
        said = [*failures.get(name, ())]
        if test is not None and test.state == "failed" and test.done_at is not None:
            said.append((test.done_at, test.said))
        at, problem = max(said, default=(now, ""))
        is_over = taken is not None and taken >= at
        found[name] = Standing(name, taken, _unopened(contacts, name) or ("" if is_over else problem))
    return found


def _failures(session: ReadSession, now: datetime) -> Mapping[str, list[tuple[datetime, str]]]:
    """What was refused, or has been held up for minutes: when it was last tried, and what was said."""
    found: dict[str, list[tuple[datetime, str]]] = {}
    held_up = (Notice.state == "queued") & (Notice.created_at < now - HELD_UP_FOR)
    for one in session.scalars(
        select(Notice).where(
            Notice.problem != "", Notice.attempts > 0, or_(Notice.state == "refused", held_up)
        )
    ):
        at = one.next_try_at - pause_after(one.attempts)
        found.setdefault(one.channel, []).append((at, one.problem))
    return found


def _unopened(contacts: Contacts, name: str) -> str:
    try:
        open_channel(contacts, name)
    except BadInput as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - whatever a channel does wrong with its values is what is wrong
        return type(error).__name__
    return ""


def why_nobody_is_paged(contacts: Contacts, standing: Mapping[str, Standing]) -> str:
    """Why a page would not get to everybody whom it should; empty: nothing is known to stand in its way.

    A channel that wakes people up is to work. Of others, where there is none of these, one is enough: the mailbox of
    one team is no reason to wake up another.
    """
    names = pagers(contacts)
    if not names:
        return "no route leads a SEV-1 to anybody; see WARRANT_CONTACTS"
    broken = [standing[name] for name in names if standing[name].problem]
    if not broken or (not wakes(contacts, names[0]) and len(broken) < len(names)):
        return ""
    first = broken[0]
    return f"the channel {first.name}, which pages, is broken: {first.problem}; mend it and test it on Notifications"

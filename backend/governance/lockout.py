"""A policy that nobody could change any more is refused: there is no way around it but a hand in the database."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.database.session import ReadSession
from backend.errors import BadInput
from backend.governance.freezes import closed_spans
from backend.governance.policy_document import EVERYWHERE, PolicyDocument
from backend.governance.policy_rules import LONGEST_FREEZE, Freeze
from backend.governance.seats import seats
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.identity.sessions import actor_of, may_sign_in
from backend.identity.tables import Person

OPEN_HOURS_A_WEEK: Final = 24
STRETCH: Final = LONGEST_FREEZE + timedelta(days=14)  # the longest freeze, and on one side of it a whole week
AHEAD: Final = timedelta(days=3 * 366)  # freezes by dates are judged so far ahead
Span = tuple[datetime, datetime]
_LAST: Final = datetime(9999, 1, 1, tzinfo=UTC) - STRETCH
_A_WEEK: Final = datetime(2026, 1, 5, tzinfo=UTC)  # any week: a Monday


def require_changeable(session: ReadSession, document: PolicyDocument) -> None:
    """`BadInput` that says why the policy could not be changed under this document.

    It can be where its rule allows it, where somebody who is here may ask for a change and enough others have the roles
    that decide, each counted once, and where freezes leave time for it.
    """
    entry = document.entry_for("policy", "high", EVERYWHERE)
    why = None
    if not entry.rule.allowed:
        why = f"the rule {entry.name!r} allows no change of the policy, so this one would stay for ever"
    elif not somebody_can(people_here(session), entry.rule.roles):
        needed = ", ".join(
            f"{count} {role.replace('_', ' ')}" for role, count in sorted(entry.rule.roles.items())
        )
        why = (
            f"nobody could change the policy again: the rule {entry.name!r} needs {needed} beside who asks, and there "
            "are not so many people who may sign in with these roles"
        )
    else:
        why = _frozen_for_ever(document)
    if why is not None:
        raise BadInput(f"this policy is refused: {why}", field="document")


def people_here(session: ReadSession) -> list[Actor]:
    """Everybody who may sign in, with their roles; no service accounts, and demo accounts in demo mode only."""
    rows = session.scalars(select(Person).where(Person.disabled_at.is_(None), Person.kind == "person"))
    return [actor_of(one, session_id=None) for one in rows if may_sign_in(one)]


def somebody_can(people: Sequence[Actor], roles: Mapping[str, int], *, in_teams: bool = False) -> bool:
    """Whether for some person who asks, distinct others fill every place of every role; `in_teams` counts a role that
    is limited to a team, too."""
    places = sum(roles.values())
    if places >= len(people):
        return False
    may = Actor.may if in_teams else Actor.may_in_house
    deciders = [one for one in people if may(one, Permission.DECIDE_CHANGE)]

    def filled(asker: Actor) -> int:
        others = [
            [role.value for role in (one.every_role if in_teams else one.roles)]
            for one in deciders
            if one.person_id != asker.person_id
        ]
        return sum(role is not None for role in seats(roles, others))

    return any(filled(one) == places for one in people if may(one, Permission.REQUEST_CHANGE))


def _frozen_for_ever(document: PolicyDocument) -> str | None:
    """Why freezes leave too little time for a change of the policy, in words."""
    weekly = document.model_copy(
        update={"freezes": tuple(one for one in document.freezes if one.weekly is not None)}
    )
    hours = (_A_WEEK + timedelta(hours=hour) for hour in range(7 * 24))
    free = sum(weekly.frozen_until("policy", EVERYWHERE, hour) is None for hour in hours)
    if free < OPEN_HOURS_A_WEEK:
        return (
            f"its freezes leave {free} hours of a week for a change of the policy, and {OPEN_HOURS_A_WEEK} are needed; "
            "except the kind policy from one of them"
        )
    late = next((one for one in document.freezes if _is_late(one)), None)
    if late is not None:
        years = AHEAD.days // 366
        return f"the freeze {late.name!r} ends more than {years} years from now; name it when it comes nearer"
    for begin, end in _stretches(document):
        left, since = _least_open(document, begin, end)
        if left < OPEN_HOURS_A_WEEK:
            return (
                f"its freezes, one after the other, leave {left:.0f} hours for a change of the policy in the "
                f"{STRETCH.days} days from {since:%Y-%m-%d}, and {OPEN_HOURS_A_WEEK} are needed"
            )
    return None


def _is_late(freeze: Freeze) -> bool:
    """Whether it lies, by dates, where changes of the policy are not looked at any more."""
    if freeze.dates is None or "policy" in freeze.except_kinds:
        return False
    return bool(closed_spans(None, freeze.dates, freeze.zone, clock.now() + AHEAD, _LAST))


def _stretches(document: PolicyDocument) -> list[Span]:
    """The times around what is frozen by dates, which no week looks like; apart from each other."""
    now = clock.now()
    found: list[Span] = []
    for freeze in document.freezes:
        if freeze.dates is not None and "policy" not in freeze.except_kinds:
            found += closed_spans(None, freeze.dates, freeze.zone, now, _LAST)
    return _joined((max(begin - STRETCH, now), end + STRETCH) for begin, end in found)


def _least_open(document: PolicyDocument, begin: datetime, end: datetime) -> tuple[float, datetime]:
    """The fewest open hours of any `STRETCH` between two instants, and when that one begins.

    How much is open in a stretch, by when it begins, bends only where a freeze begins or ends at either end of it.
    """
    closed = _joined(
        span
        for freeze in document.freezes
        if "policy" not in freeze.except_kinds
        for span in closed_spans(freeze.weekly, freeze.dates, freeze.zone, begin, end)
    )
    starts = [span[0] for span in closed]
    before = [timedelta(), *accumulate(last - first for first, last in closed)]  # closed before each span

    def closed_until(moment: datetime) -> timedelta:
        number = bisect_right(starts, moment)
        return before[number] - max(closed[number - 1][1] - moment, timedelta()) if number else timedelta()

    bends = {
        begin,
        *(moment - shift for span in closed for moment in span for shift in (timedelta(), STRETCH)),
    }
    hours = (
        ((STRETCH - closed_until(at + STRETCH) + closed_until(at)).total_seconds() / 3600, at)
        for at in bends
        if begin <= at <= end - STRETCH
    )
    return min(hours)


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Without overlaps, in their order."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found

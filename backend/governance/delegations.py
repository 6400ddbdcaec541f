"""Lending the right to decide: from one person to another, for a time. Borrowed rights are not lent on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Select, or_, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.entries_about import Said, entries_about
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotAllowed, NotFound
from backend.governance.tables import Delegation
from backend.identity.actor import Actor
from backend.identity.freshness import require_fresh
from backend.identity.people import is_auditor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.identity.sessions import actor_of
from backend.identity.tables import Person

LONGEST: Final = timedelta(days=90)


def delegate(
    session: WriteSession,
    actor: Actor,
    *,
    to_person: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
) -> Delegation:
    """Lend one's own right to decide. Only a person can, only their own, for at most 90 days, and to somebody who sees
    some of what they decide on."""
    allow(session, actor, Permission.DECIDE_CHANGE)
    if actor.kind != "person":
        raise NotAllowed("only a person lends the right to decide; a service account cannot")
    require_fresh(actor, "lend the right to decide", permission=Permission.DECIDE_CHANGE)
    reason = reason.strip()
    if not reason or len(reason) > 500:
        raise BadInput("write a reason of at most 500 characters", field="reason")
    if to_person in actor.people:
        raise BadInput("name somebody else", field="to_person")
    person = session.get(Person, to_person)
    if person is None or person.disabled_at is not None or person.kind != "person" or is_auditor(person):
        raise NotFound("there is no such person to lend it to")
    if not _sees_some(actor_of(person, session_id=None), actor):
        raise BadInput(
            "they see none of the models on whose changes you decide, so that they could not use it; name somebody who "
            "does, or have them given a role in the team first",
            field="to_person",
        )
    now = clock.now()
    if not now - timedelta(minutes=5) <= starts_at < ends_at <= starts_at + LONGEST:
        raise BadInput(
            f"it begins now or later and ends after that, at most {LONGEST.days} days later", field="ends_at"
        )
    lent = Delegation(
        from_person=actor.person_id, to_person=to_person, starts_at=starts_at, ends_at=ends_at, reason=reason,
        created_at=now,
    )  # fmt: skip
    session.add(lent)
    session.flush()
    record(
        session, actor, Action.DELEGATION_CREATED, object_kind="delegation", object_id=lent.id,
        payload={"to": to_person, "from": clock.to_iso(starts_at), "until": clock.to_iso(ends_at)}, why=reason,
    )  # fmt: skip
    return lent


def _sees_some(taker: Actor, lender: Actor) -> bool:
    seen, decided = (
        taker.models_with(Permission.READ_MODELS), lender.models_with(Permission.DECIDE_CHANGE),
    )  # fmt: skip
    return taker.may(Permission.READ_MODELS) and (seen is None or decided is None or bool(seen & decided))


def end_delegation(session: WriteSession, actor: Actor, delegation_id: int) -> Delegation:
    """Take back, or give back, what was lent."""
    actor.require_scope(Permission.DECIDE_CHANGE)
    lent = session.get(Delegation, delegation_id)
    if lent is None or not {lent.from_person, lent.to_person} & actor.people:
        raise NotFound(f"there is no delegation {delegation_id} of yours")
    if lent.revoked_at is None:
        lent.revoked_at = clock.now()
        session.flush()
        record(
            session, actor, Action.DELEGATION_ENDED, object_kind="delegation", object_id=lent.id,
            payload={"from": lent.from_person, "to": lent.to_person},
        )  # fmt: skip
    return lent


def revoke_delegation(session: WriteSession, actor: Actor, delegation_id: int, *, why: str) -> Delegation:
    """End what somebody else lent, as a review of access does. Ending again does nothing."""
    actor.require(Permission.REVIEW_ACCESS)
    lent = session.get(Delegation, delegation_id)
    if lent is None:
        raise NotFound(f"there is no delegation {delegation_id}")
    if lent.revoked_at is None:
        lent.revoked_at = clock.now()
        session.flush()
        record(
            session, actor, Action.DELEGATION_ENDED, object_kind="delegation", object_id=lent.id, why=why,
            payload={"from": lent.from_person, "to": lent.to_person},
        )  # fmt: skip
    return lent


def delegations_of(
    session: ReadSession, viewer: Actor, *, limit: int | None = None, offset: int = 0
) -> list[Delegation]:
    """What this person lends and has been lent, and is not over yet."""
    return list(
        session.scalars(
            select(Delegation)
            .where(
                or_(Delegation.from_person == viewer.person_id, Delegation.to_person == viewer.person_id),
                Delegation.revoked_at.is_(None),
                Delegation.ends_at > clock.now(),
            )
            .order_by(Delegation.starts_at, Delegation.id)
            .limit(limit)
            .offset(offset)
        )
    )


def lent_at(session: ReadSession, at: datetime) -> list[str]:
    """Everybody to whom a right is lent at a moment."""
    return sorted({lent.to_person for lent, _ in _standing(session, at)})


def lent_to(session: ReadSession, person_id: str, *, at: datetime) -> list[Actor]:
    """Those who lend this person their right at a moment, as they are now: a role that was taken lends nothing.

    A session that only reads asks once for each person: an inbox asks about every change in it.
    """
    held: dict[str, list[Actor]] = (
        {} if isinstance(session, WriteSession) else session.info.setdefault("lenders", {})
    )
    if person_id not in held:
        held[person_id] = _lenders(session, person_id, at)
    return held[person_id]


def read_lenders(session: ReadSession, people: Iterable[str], *, at: datetime) -> None:
    """Read in one question who lends to each of these people, for `lent_to` of a session that only reads."""
    if isinstance(session, WriteSession):
        return
    held: dict[str, list[Actor]] = session.info.setdefault("lenders", {})
    found: dict[str, list[Actor]] = {person: [] for person in people if person not in held}
    for lent, row in _standing(session, at) if found else ():
        lender = actor_of(row, session_id=None)
        if lent.to_person in found and lender.may(Permission.DECIDE_CHANGE):
            found[lent.to_person].append(lender)
    held.update(found)


def _lenders(session: ReadSession, person_id: str, at: datetime) -> list[Actor]:
    lenders = (actor_of(row, session_id=None) for _, row in _standing(session, at, person_id))
    return [lender for lender in lenders if lender.may(Permission.DECIDE_CHANGE)]


def why_lent_otherwise(session: ReadSession, person_id: str, *, at: datetime) -> str | None:
    """Why what is lent to this person by the table does not count, in words; None where all of it does."""
    rows = session.scalars(_lending(at, person_id).with_only_columns(Delegation)).all()
    return next(iter(lent_otherwise(session, rows).values()), None)


def lent_otherwise(session: ReadSession, rows: Sequence[Delegation]) -> dict[int, str]:
    """Those of these delegations that are not what the log says was lent, with what differs, in words. One whose
    entry was erased is not either: nobody can tell any more what it said."""
    actions = (Action.DELEGATION_CREATED, Action.DELEGATION_ENDED)
    entries = entries_about(session, "delegation", [one.id for one in rows], actions) if rows else {}
    return {
        row.id: f"delegation {row.id} does not count: {wrong}. Have it ended and lent again, and find out who wrote to "
        "the database"
        for row in rows
        if (wrong := _differs(row, entries.get(str(row.id), [])))
    }


def _differs(row: Delegation, entries: Sequence[Said]) -> str:
    made = next((one for one in entries if one.action is Action.DELEGATION_CREATED), None)
    if made is None:
        return "no entry of the log lends it"
    if made.payload is None:
        return f"the text of entry {made.seq}, which lends it, was erased"
    told = {"to": row.to_person, "from": clock.to_iso(row.starts_at), "until": clock.to_iso(row.ends_at)}
    if made.actor != row.from_person or not made.says(**told):
        return f"entry {made.seq}, which lends it, says another giver, taker or time"
    ended = next((one.seq for one in entries if one.action is Action.DELEGATION_ENDED), None)
    if ended is not None and row.revoked_at is None:
        return f"entry {ended} ends it"
    return ""


def _standing(session: ReadSession, at: datetime, to: str | None = None) -> list[tuple[Delegation, Person]]:
    """What is lent at a moment (to one person) and the log says so, with who lends it, in the order of lending."""
    rows = [(one[0], one[1]) for one in session.execute(_lending(at, to))]
    otherwise = lent_otherwise(session, [lent for lent, _ in rows])
    return [one for one in rows if one[0].id not in otherwise]


def _lending(at: datetime, to: str | None = None) -> Select[Delegation, Person]:
    """What the table says is lent at a moment, in the order in which it was lent, with who lends it."""
    query = (
        select(Delegation, Person)
        .join(Person, Delegation.from_person == Person.id)
        .where(
            Delegation.revoked_at.is_(None), Delegation.starts_at <= at, Delegation.ends_at > at,
            Person.disabled_at.is_(None),
        )
        .order_by(Delegation.id)
    )  # fmt: skip
    return query if to is None else query.where(Delegation.to_person == to)

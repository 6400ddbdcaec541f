"""Rows that give somebody a right, or take away what would hold something up, and of which the log says otherwise.

Each is asked where it is about to count, too; here all of them are, so that one that nobody has used yet is told as
well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.assurance.exceptions import granted_otherwise
from backend.assurance.tables import PolicyException
from backend.audit.actions import Action
from backend.audit.entries_about import entries_about
from backend.audit.standing_checks import Unset
from backend.audit.tables import AuditEntry
from backend.database.session import ReadSession
from backend.governance.account_record import accounts_otherwise
from backend.governance.delegations import lent_otherwise
from backend.governance.tables import Change, Delegation, Review
from backend.identity.tables import Person
from backend.registry.recorded import enforcement_otherwise, people_otherwise
from backend.registry.tables import Model, Version

_REVIEWS: Final = (Action.GLASS_BROKEN, Action.CHANGE_REVIEWED)
_BROKEN: Final = select(AuditEntry.object_id).where(
    AuditEntry.action == Action.GLASS_BROKEN.value, AuditEntry.object_kind == "change"
)


def rights_otherwise(session: ReadSession) -> Iterator[Unset]:
    """Delegations and exceptions that stand, reviews of broken glasses, open accounts and who owns them, people of
    versions, and models whose rules only report."""
    yield from _lent(session)
    yield from _excepted(session)
    yield from _reviewed(session)
    yield from _accounts(session)
    for (model, version), said in people_otherwise(session, session.scalars(select(Version)).all()).items():
        yield Unset(f"version {model}/{version} people: {said}", said, model)
    for model, said in enforcement_otherwise(session, session.scalars(select(Model)).all()).items():
        yield Unset(f"model {model} enforcement: {said}", said, model)


def _lent(session: ReadSession) -> Iterator[Unset]:
    rows = session.scalars(
        select(Delegation).where(Delegation.revoked_at.is_(None), Delegation.ends_at > clock.now())
    ).all()
    for number, said in lent_otherwise(session, rows).items():
        yield Unset(f"delegation {number}: {said}", said)


def _excepted(session: ReadSession) -> Iterator[Unset]:
    rows = session.scalars(
        select(PolicyException).where(
            PolicyException.state == "granted", PolicyException.expires_at > clock.now()
        )
    ).all()
    models = {one.id: one.model for one in rows}
    for number, said in granted_otherwise(session, rows).items():
        yield Unset(f"exception {number}: {said}", said, models[number])


def _reviewed(session: ReadSession) -> Iterator[Unset]:
    """Verdicts that no entry gives, or another one; broken glasses whose review, or whose mark, is gone."""
    reviews = {one.change_id: one for one in session.scalars(select(Review))}
    changes = {one.id: one for one in session.execute(select(Change.id, Change.model, Change.break_glass))}
    urgent = {one for one, row in changes.items() if row.break_glass} | reviews.keys()
    broken = session.scalars(_BROKEN).all()
    urgent |= {int(one) for one in broken if one.isdecimal()}
    entries = entries_about(session, "change", urgent, _REVIEWS)
    for number in sorted(urgent & changes.keys()):
        row, review, model = changes[number], reviews.get(number), changes[number].model
        said = {one.action: one for one in entries.get(str(number), [])}
        if Action.GLASS_BROKEN not in said:
            continue  # what let it through is told as a change
        if review is None or not row.break_glass:
            told = f"CHG-{number} broke the glass by the log, and the table says that it owes no review"
            yield Unset(f"review {number} gone", told, model)
            continue
        given = said.get(Action.CHANGE_REVIEWED)
        if given is None and review.verdict is not None:
            told = f"the review of CHG-{number} ({review.verdict}) is in no entry: it is owed still"
            yield Unset(f"review {number} ungiven {review.verdict}", told, model)
        elif (
            given is not None
            and given.payload is not None
            and not (given.says(verdict=review.verdict) and given.actor == review.reviewed_by)
        ):
            told = f"the review of CHG-{number} says another verdict or reviewer than entry {given.seq}"
            yield Unset(f"review {number} altered {review.verdict} {review.reviewed_by}", told, model)


def _accounts(session: ReadSession) -> Iterator[Unset]:
    """Closed accounts that the table has open, and accounts that act for somebody else than they were made for."""
    rows = session.scalars(select(Person).order_by(Person.id)).all()
    for said in accounts_otherwise(session, [(one.id, None) for one in rows if one.disabled_at is None]):
        yield Unset(said, said)
    made = entries_about(session, "person", [one.id for one in rows], (Action.PERSON_CREATED,))
    for one in rows:
        for entry in made.get(one.id, [])[:1]:
            if (
                entry.payload
                and {"kind", "owner"} <= entry.payload.keys()
                and not entry.says(kind=one.kind, owner=one.owner_id)
            ):
                told = f"the account {one.id} is of another kind or owner than entry {entry.seq}, which made it, says"
                yield Unset(f"account {one.id} owner {one.kind} {one.owner_id}", told)

"""Who can do what today: roles with their permissions, tokens, lent rights, each with when it was last used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from backend import clock
from backend.database.session import ReadSession
from backend.governance.tables import Decision, Delegation
from backend.identity.actor import Actor
from backend.identity.roles import GRANTS, Permission, Role
from backend.identity.sessions import may_sign_in
from backend.identity.tables import ApiToken, Person, SignInSession


@dataclass(frozen=True)
class Right:
    """One right of one account. `last_used_at` None: never, as far as is known."""

    person_id: str
    name: str
    username: str
    account: str  # person | service
    kind: str  # role | token | loan
    subject: str
    facts: dict[str, Any]
    last_used_at: datetime | None


def rights_now(session: ReadSession, viewer: Actor) -> list[Right]:
    """Every right of every open account, by name. A role was last used when its holder was last here."""
    viewer.require(Permission.REVIEW_ACCESS)
    now = clock.now()
    people = [one for one in session.scalars(select(Person).order_by(Person.username)) if may_sign_in(one)]
    names = {one.id: one.display_name for one in session.scalars(select(Person))}
    seen = _latest(session, SignInSession.person_id, SignInSession.last_seen_at)
    used = _latest(session, ApiToken.person_id, ApiToken.last_used_at)
    decided: dict[tuple[str, str], datetime] = {
        (row.person_id, row.on_behalf_of): row.at
        for row in session.execute(
            select(Decision.person_id, Decision.on_behalf_of, func.max(Decision.decided_at).label("at"))
            .where(Decision.on_behalf_of.is_not(None))
            .group_by(Decision.person_id, Decision.on_behalf_of)
        )
    }
    found: list[Right] = []
    for person in people:
        owner = names.get(person.owner_id or "")
        last = max((one for one in (seen.get(person.id), used.get(person.id)) if one), default=None)
        for entry in sorted(person.roles, key=lambda one: one.role):
            permissions = sorted(one.value for one in GRANTS[Role(entry.role)])
            facts: dict[str, Any] = {"permissions": permissions, "owner": owner}
            if person.expires_at is not None:
                facts |= {"until": clock.to_iso(person.expires_at), "models": person.models}
            found.append(_right(person, "role", entry.role, facts, last))
    by_id = {one.id: one for one in people}
    open_tokens = select(ApiToken).where(ApiToken.revoked_at.is_(None), ApiToken.expires_at > now)
    for token in session.scalars(open_tokens.order_by(ApiToken.created_at, ApiToken.id)):
        if token.person_id in by_id:
            facts = {"name": token.name, "until": clock.to_iso(token.expires_at)}
            found.append(_right(by_id[token.person_id], "token", token.id, facts, token.last_used_at))
    open_loans = select(Delegation).where(Delegation.revoked_at.is_(None), Delegation.ends_at > now)
    for loan in session.scalars(open_loans.order_by(Delegation.id)):
        if loan.to_person in by_id:
            facts = {
                "from": names.get(loan.from_person, loan.from_person), "until": clock.to_iso(loan.ends_at),
                "reason": loan.reason,
            }  # fmt: skip
            last = decided.get((loan.to_person, loan.from_person))
            found.append(_right(by_id[loan.to_person], "loan", str(loan.id), facts, last))
    order = {"role": 0, "token": 1, "loan": 2}
    return sorted(found, key=lambda one: (one.username, order[one.kind], one.subject))


def _right(person: Person, kind: str, subject: str, facts: dict[str, Any], last: datetime | None) -> Right:
    return Right(person.id, person.display_name, person.username, person.kind, kind, subject, facts, last)


def _latest(session: ReadSession, person: Any, moment: Any) -> dict[str, datetime]:
    rows = session.execute(select(person, func.max(moment)).where(moment.is_not(None)).group_by(person))
    return {row[0]: row[1] for row in rows}

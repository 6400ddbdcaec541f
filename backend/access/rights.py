"""Who can do what today: roles with their permissions, for the house or in a team, tokens, rules that let pipelines in,
lent rights. Each with when it was last used: when its holder was last here, and when they last did by it what leaves an
entry in the log."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from backend import clock
from backend.access.usage import last_done
from backend.database.many import among
from backend.database.session import ReadSession
from backend.governance.tables import Decision, Delegation
from backend.identity.actor import Actor
from backend.identity.held_roles import asleep
from backend.identity.roles import GRANTS, Permission, Role, permissions_in_team
from backend.identity.sessions import open_accounts
from backend.identity.tables import ApiToken, Person, SignInSession
from backend.identity.trust_rules import rules_in_force


@dataclass(frozen=True)
class Right:
    """One right of one account. `last_used_at` None: never, as far as is known."""

    person_id: str
    name: str
    username: str
    account: str  # person | service
    kind: str  # role | team_role | token | trust_rule | loan
    subject: str
    facts: dict[str, Any]
    last_used_at: datetime | None


def count_accounts(session: ReadSession, viewer: Actor) -> int:
    """How many accounts are open."""
    viewer.require(Permission.REVIEW_ACCESS)
    return session.scalar(select(func.count()).select_from(Person).where(*open_accounts())) or 0


def rights_now(
    session: ReadSession, viewer: Actor, *, limit: int | None = None, offset: int = 0
) -> list[Right]:
    """Every right of every open account, by user name. A role was last used when its holder was last here.

    `limit` and `offset` cut the accounts: the rights of one stay together.
    """
    viewer.require(Permission.REVIEW_ACCESS)
    now = clock.now()
    query = select(Person).where(*open_accounts()).order_by(Person.username).limit(limit).offset(offset)
    people = list(session.scalars(query))
    names = {row.id: row.display_name for row in session.execute(select(Person.id, Person.display_name))}
    seen = _latest(session, SignInSession.person_id, SignInSession.last_seen_at)
    used = _latest(session, ApiToken.person_id, ApiToken.last_used_at)
    done = last_done(session, [one.id for one in people])
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
            facts = _powers(GRANTS[Role(entry.role)], done.get(person.id, {})) | {"owner": owner}
            if Role(entry.role) in asleep(person):
                heard = person.provider_said_at
                facts |= {"asleep": True, "signed_on_at": clock.to_iso(heard) if heard else None}
            if person.expires_at is not None:
                facts |= {"until": clock.to_iso(person.expires_at), "models": person.models}
            found.append(_right(person, "role", entry.role, facts, last))
        for given in person.team_roles:
            facts = _powers(permissions_in_team(Role(given.role)), done.get(person.id, {})) | {
                "owner": owner, "team": given.team.name, "models": sorted(one.model for one in given.team.models),
            }  # fmt: skip
            found.append(_right(person, "team_role", f"{given.team_id}/{given.role}", facts, last))
    by_id = {one.id: one for one in people}
    open_tokens = select(ApiToken).where(
        among(ApiToken.person_id, list(by_id)),
        ApiToken.revoked_at.is_(None),
        ApiToken.expires_at > now,
        ApiToken.trust_rule.is_(None),
    )  # those of jobs are over within the hour: their rule is the right
    for token in session.scalars(open_tokens.order_by(ApiToken.created_at, ApiToken.id)):
        if token.person_id in by_id:
            facts = {"name": token.name, "until": clock.to_iso(token.expires_at)}
            found.append(_right(by_id[token.person_id], "token", token.id, facts, token.last_used_at))
    for rule in rules_in_force(session):
        if rule.person_id in by_id:
            facts = {
                "name": rule.name, "issuer": rule.issuer, "claims": rule.claims, "permissions": rule.scopes,
                "models": rule.models, "minutes": rule.minutes,
            }  # fmt: skip
            found.append(_right(by_id[rule.person_id], "trust_rule", rule.id, facts, rule.last_used_at))
    open_loans = select(Delegation).where(
        among(Delegation.to_person, list(by_id)), Delegation.revoked_at.is_(None), Delegation.ends_at > now
    )
    for loan in session.scalars(open_loans.order_by(Delegation.id)):
        if loan.to_person in by_id:
            facts = {
                "from": names.get(loan.from_person, loan.from_person), "until": clock.to_iso(loan.ends_at),
                "reason": loan.reason,
            }  # fmt: skip
            last = decided.get((loan.to_person, loan.from_person))
            found.append(_right(by_id[loan.to_person], "loan", str(loan.id), facts, last))
    order = {"role": 0, "team_role": 1, "token": 2, "trust_rule": 3, "loan": 4}
    return sorted(found, key=lambda one: (one.username, order[one.kind], one.subject))


def _powers(permissions: Collection[Permission], done: Mapping[Permission, datetime]) -> dict[str, Any]:
    """The permissions of a role, and when its holder last did by them what leaves an entry."""
    used = {one.value: clock.to_iso(done[one]) for one in sorted(permissions) if one in done}
    newest = max(used, key=lambda one: used[one], default=None)
    return {
        "permissions": sorted(one.value for one in permissions), "done": used,
        "last_done": None if newest is None else {"permission": newest, "at": used[newest]},
    }  # fmt: skip


def _right(person: Person, kind: str, subject: str, facts: dict[str, Any], last: datetime | None) -> Right:
    return Right(person.id, person.display_name, person.username, person.kind, kind, subject, facts, last)


def _latest(session: ReadSession, person: Any, moment: Any) -> dict[str, datetime]:
    rows = session.execute(select(person, func.max(moment)).where(moment.is_not(None)).group_by(person))
    return {row[0]: row[1] for row in rows}

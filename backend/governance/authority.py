"""Who may decide on a change, under whose authority, and who still can.

The rules of who is excluded are here and nowhere else; pages, API and CLI call the same functions. What a rule asks of
a change is in its `policy` and in who asked, trained and owns the data, so a list of many is judged by the few cases
in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import select

from backend import clock
from backend.database.session import ReadSession
from backend.errors import NotAllowed
from backend.governance import errors, machine
from backend.governance.delegations import lent_at, lent_to, read_lenders, why_lent_otherwise
from backend.governance.seats import seats
from backend.governance.tables import Change, Decision
from backend.identity.actor import Actor
from backend.identity.held_roles import counts
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.identity.sessions import actor_of
from backend.identity.tables import Person, PersonRole, TeamMember, TeamModel


@dataclass(frozen=True)
class Authority:
    """By which role a person decides, and whose, when it was lent to them."""

    role: str
    on_behalf_of: str | None = None


class Case(NamedTuple):
    """What of a change says who may decide on it; `id` and `to_version` are for the words of a refusal."""

    id: int
    to_version: int | None
    policy: Mapping[str, Any]
    requested_by: str
    trained_by: str | None
    data_owner: str | None
    model: str | None


class Given(NamedTuple):
    """Whose hand gave a decision, and for whom."""

    person_id: str
    on_behalf_of: str | None


AGiven = TypeVar("AGiven", Decision, Given)


def authority_over(session: ReadSession, actor: Actor, change: Change | Case) -> Authority:
    """By which right this actor decides on the change; an error that says why they may not.

    Excluded are, by the change's rule, who asked for it, who trained the version, who owns its data; their service
    accounts; accounts whose owner is one of them; and whoever acts for one of them by delegation. Of several roles the
    first counts that still lacks an approval, an own one before a lent one; where none does, one that whoever took it
    can leave for another role of theirs (`recount`).
    """
    every = _rights(session, actor, change)
    if not isinstance(change, Change):
        return next(every)
    return needed_one(every, change, lambda: _able(session, [change]))[0]


def needed_one(
    every: Iterable[Authority], change: Change, able: Callable[[], Mapping[str, Collection[str]]]
) -> tuple[Authority, bool]:
    """The first of these rights (at least one) by which another approval would count, and True; where no place is left
    for any, the first and False.

    `able` gives decision -> the roles of its giver; it is asked only where no role of these rights lacks an approval.
    """
    roles, given = change.policy["roles"], _approvals(change)
    have, rights = Counter(one.role for one in given), []
    for one in every:
        if have[one.role] < roles[one.role]:
            return one, True
        rights.append(one)
    if any(have[role] < roles[role] for role in roles):
        known = able()
        before = [_able_of(one, known) for one in given]
        for hand in dict.fromkeys(one.on_behalf_of for one in rights):
            mine = [one.role for one in rights if one.on_behalf_of == hand]
            role = seats(roles, [*before, mine])[-1]
            if role is not None:
                return Authority(role, hand), True
    return rights[0], False


def recount(session: ReadSession, change: Change) -> dict[str, str]:
    """Let each approval count by the role in which most places of the rule are filled; gives decision -> role of those
    that moved. One stays under the right it was given by: a person's own, or that of who lent it.

    By the roles that their givers have today: what somebody could no longer decide by is no way to count.
    """
    roles, given = change.policy["roles"], _approvals(change)
    have = Counter(one.role for one in given)
    if all(have[role] <= roles[role] for role in roles) or all(have[role] >= roles[role] for role in roles):
        return {}
    able = _able(session, [change])
    moved = {}
    for one, role in zip(given, seats(roles, [_able_of(one, able) for one in given]), strict=True):
        if role is not None and role != one.role:
            one.role = moved[one.id] = role
    return moved


def _approvals(change: Change) -> list[Decision]:
    return [one for one in change.counted if one.verdict == "approve"]


def _able_of(given: Decision, able: Mapping[str, Collection[str]]) -> list[str]:
    """The role that it counts by first, then the others."""
    return [given.role, *sorted(set(able.get(given.id, ())) - {given.role})]


def _able(session: ReadSession, changes: Sequence[Change]) -> dict[str, list[str]]:
    """Approval -> the roles of who gave it, or of whom they acted for, as they are now. Two questions, and none
    where a rule names but one role."""
    given = {
        one.id: one.on_behalf_of or one.person_id
        for change in changes
        if len(change.policy["roles"]) > 1
        for one in _approvals(change)
    }
    about = {one.id: change.model for change in changes for one in _approvals(change)}
    people = set(given.values())
    rows = session.execute(
        select(PersonRole.person_id, PersonRole.role)
        .join(Person, Person.id == PersonRole.person_id)
        .where(PersonRole.person_id.in_(people), Person.disabled_at.is_(None), counts())
    ) if given else ()  # fmt: skip
    held: dict[tuple[str, str | None], list[str]] = {}
    for person, role in rows:
        held.setdefault((person, None), []).append(role)
    for person, role, model in session.execute(
        select(TeamMember.person_id, TeamMember.role, TeamModel.model)
        .join(TeamModel, TeamModel.team_id == TeamMember.team_id)
        .join(Person, Person.id == TeamMember.person_id)
        .where(TeamMember.person_id.in_(people), Person.disabled_at.is_(None))
    ) if given else ():  # fmt: skip
        held.setdefault((person, model), []).append(role)
    return {
        decision: [
            *held.get((person, None), ()),
            *(held.get((person, about[decision]), ()) if about[decision] else ()),
        ]
        for decision, person in given.items()
    }


def _rights(session: ReadSession, actor: Actor, change: Change | Case) -> Iterator[Authority]:
    """Every right by which this actor could decide, at least one (else an error): own roles first, then lent ones,
    which are read only when they are asked for."""
    barred = excluded_people(session, change)
    _refuse_hands(session, actor.people, barred, change)
    if actor.kind == "service" and not change.policy.get("accounts"):
        raise NotAllowed(
            f"people decide on CHG-{change.id}, no service account does: its rule {change.policy['name']!r} does not "
            "say `accounts: true`"
        )
    wanted = list(change.policy["roles"])
    mine = actor.roles_about(change.model) if actor.may_about(Permission.DECIDE_CHANGE, change.model) else ()
    own = [role for role in wanted if role in mine]
    yield from map(Authority, own)
    refusal, lent = None, False
    # A token that only reads decides by no right at all, and nobody on what they may not see.
    may_by_loan = actor.is_in_scope(Permission.DECIDE_CHANGE) and actor.may_about(
        Permission.READ_MODELS, change.model
    )
    for lender in lent_to(session, actor.person_id, at=clock.now()) if may_by_loan else ():
        roles = [role for role in wanted if role in lender.roles_about(change.model)]
        if not roles:
            continue
        try:
            _refuse_hands(session, lender.people, barred, change)
        except NotAllowed as error:
            refusal = error
            continue
        lent = True
        for role in roles:
            yield Authority(role, lender.person_id)
    if own or lent:
        return
    if refusal is not None:
        raise NotAllowed(f"{refusal.message}: who lent you the right to decide is excluded")
    otherwise = why_lent_otherwise(session, actor.person_id, at=clock.now())
    if otherwise is not None:
        raise NotAllowed(otherwise)
    allow(session, actor, Permission.DECIDE_CHANGE)
    raise NotAllowed(f"CHG-{change.id} is decided by: {', '.join(wanted)}")


def roles_over(session: ReadSession, actor: Actor, change: Change | Case) -> set[str]:
    """Every role of its rule by which this actor could decide on the change, own or lent; an error where by none."""
    return {one.role for one in _rights(session, actor, change)}


def hands_over(session: ReadSession, actor: Actor, change: Change) -> set[str]:
    """Who decides where this actor does, by the right that `authority_over` finds: people who count as one."""
    return _hands(session, actor.person_id, authority_over(session, actor, change).on_behalf_of)


def refuse_excluded(session: ReadSession, actor: Actor, change: Change | Case) -> None:
    """An error that says why, where this actor, their account or whoever owns it is excluded from deciding."""
    _refuse_hands(session, actor.people, excluded_people(session, change), change)


def excluded_people(session: ReadSession, change: Change | Case) -> dict[str, str]:
    """Person id -> why they do not decide: requester, trainer, data_owner. With the owners of service accounts."""
    roles = {
        "requester": change.requested_by,
        "trainer": change.trained_by,
        "data_owner": change.data_owner,
    }
    found: dict[str, str] = {}
    for why in change.policy["excluded"]:
        person = roles.get(why)
        if person is None:
            continue
        found.setdefault(person, why)
        owner = _owner_of(session, person)
        if owner is not None:
            found.setdefault(owner, why)
    return found


_EXCLUSIONS: dict[str, tuple[type[NotAllowed], str]] = {
    "requester": (errors.OwnRequest, "asked for CHG-{id}; somebody else has to decide on it"),
    "trainer": (errors.OwnVersion, "trained version {version}; somebody else has to decide on CHG-{id}"),
    "data_owner": (
        errors.OwnData,
        "own the data of version {version}; somebody else has to decide on CHG-{id}",
    ),
}


def _refuse_hands(
    session: ReadSession, people: Collection[str], barred: dict[str, str], change: Change | Case
) -> None:
    for person in sorted(people):
        why = barred.get(person) or barred.get(_owner_of(session, person) or "")
        if why is not None:
            kind, text = _EXCLUSIONS[why]
            raise kind(f"you {text.format(id=change.id, version=change.to_version)}")


def read_owners(session: ReadSession, changes: Collection[Change], *viewers: Actor) -> None:
    """Read in one question who owns the accounts that the rules of these changes ask about."""
    people = {person for viewer in viewers for person in viewer.people}
    for change in changes:
        people |= {change.requested_by, change.trained_by or "", change.data_owner or ""}
        for decision in change.counted:
            people |= {decision.person_id, decision.on_behalf_of or ""}
    held = held_owners(session)
    unknown = people - held.keys() - {""}
    if unknown:
        held.update(dict.fromkeys(unknown))
        rows = session.execute(select(Person.id, Person.owner_id).where(Person.id.in_(unknown)))
        held.update({row.id: row.owner_id for row in rows})


def read_owners_of_many(session: ReadSession, people: Iterable[str | None]) -> None:
    """The same for so many people that naming each would be the larger question: of the accounts that have an owner."""
    held = held_owners(session)
    held.update(dict.fromkeys(one for one in people if one and one not in held))
    rows = session.execute(select(Person.id, Person.owner_id).where(Person.owner_id.is_not(None)))
    held.update({row.id: row.owner_id for row in rows})


def held_owners(session: ReadSession) -> dict[str, str | None]:
    """Account -> owner, as far as this session has asked; an account belongs to the same person for good."""
    held: dict[str, str | None] = session.info.setdefault("owners of accounts", {})
    return held


def _owner_of(session: ReadSession, person_id: str) -> str | None:
    held = held_owners(session)
    if person_id not in held:
        held[person_id] = session.scalar(select(Person.owner_id).where(Person.id == person_id))
    return held[person_id]


def decision_of(
    session: ReadSession, actor: Actor, authority: Authority, given: Iterable[AGiven]
) -> AGiven | None:
    """The one of these decisions that this person has given already: with this account, another one of theirs, or
    through whoever acts for them."""
    hands = _hands(session, actor.person_id, authority.on_behalf_of)
    return next((d for d in given if hands & _hands(session, d.person_id, d.on_behalf_of)), None)


def _hands(session: ReadSession, person_id: str, on_behalf_of: str | None) -> set[str]:
    """Who decides where this account decides, for whom: people, never their service accounts."""
    accounts = [person_id] + ([on_behalf_of] if on_behalf_of else [])
    return {_owner_of(session, account) or account for account in accounts}


def is_waiting(change: Change) -> bool:
    """Whether it takes decisions now."""
    return change.state == "waiting" and clock.now() < change.expires_at


def why_not_decide(session: ReadSession, viewer: Actor, change: Change) -> str | None:
    """Why this viewer cannot decide on the change, in words, or None when they can."""
    if not is_waiting(change):
        state = "expired" if change.state == "waiting" else machine.WORDS[change.state]  # type: ignore[index]
        return f"it is {state}"
    try:
        authority = authority_over(session, viewer, change)
    except NotAllowed as error:
        return error.message
    given = decision_of(session, viewer, authority, change.counted)
    if given is not None:
        return (
            "you have decided already"
            if given.person_id == viewer.person_id
            else "it was decided for you already"
        )
    return None


def possible_deciders(session: ReadSession) -> list[Person]:
    """Everybody who has a role that decides, or to whom a right is lent now: who has neither decides on nothing."""
    people = session.scalars(
        select(Person)
        .where(Person.disabled_at.is_(None), Person.kind == "person")
        .order_by(Person.display_name)
    ).all()
    held_owners(session).update({one.id: one.owner_id for one in people})
    lent = set(lent_at(session, clock.now()))
    return [
        one
        for one in people
        if one.id in lent or actor_of(one, session_id=None).may(Permission.DECIDE_CHANGE)
    ]


def who_can_decide(session: ReadSession, change: Change) -> list[dict[str, Any]]:
    """Everybody who could still decide, by role: whom to ask."""
    return who_can_decide_on_each(session, [change])[change.id]


def who_can_decide_on_each(
    session: ReadSession, changes: Sequence[Change]
) -> dict[int, list[dict[str, Any]]]:
    """`who_can_decide` by the id of each of these changes, with as many questions as for one."""
    if not changes:
        return {}
    people = possible_deciders(session)
    read_owners(session, changes)
    read_lenders(session, [person.id for person in people], at=clock.now())
    actors = [(person, actor_of(person, session_id=None)) for person in people]
    entitled: dict[Any, list[tuple[Person, Actor, list[Authority]]]] = {}
    found, able = {}, _able(session, changes)
    for change in changes:
        case = case_of(change)
        if case not in entitled:
            entitled[case] = _entitled(session, change, actors)
        found[change.id] = _still_deciding(session, change, entitled[case], able)
    return found


def case_of(change: Change) -> tuple[Any, ...]:
    """Equal for changes on which the same people may decide."""
    policy = change.policy
    return (
        tuple(policy["roles"]), tuple(policy["excluded"]), change.requested_by, change.trained_by, change.data_owner,
        change.model,
    )  # fmt: skip


def _entitled(
    session: ReadSession, change: Change, actors: Sequence[tuple[Person, Actor]]
) -> list[tuple[Person, Actor, list[Authority]]]:
    found = []
    for person, actor in actors:
        try:
            found.append((person, actor, list(_rights(session, actor, change))))
        except NotAllowed:
            continue
    return found


def _still_deciding(
    session: ReadSession,
    change: Change,
    entitled: Sequence[tuple[Person, Actor, list[Authority]]],
    able: Mapping[str, Collection[str]],
) -> list[dict[str, Any]]:
    return [
        {"person_id": person.id, "name": person.display_name, "role": authority.role,
         "on_behalf_of": authority.on_behalf_of}
        for person, actor, every in entitled
        for authority, counts in [needed_one(every, change, lambda: able)]
        if counts and decision_of(session, actor, authority, change.counted) is None
    ]  # fmt: skip

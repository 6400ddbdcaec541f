"""People and service accounts: who they are, what they may do, and ending that."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Required, TypedDict, Unpack

from sqlalchemy import func, select, update

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.sealing import Personal, make_keys
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotFound
from backend.identity.actor import Actor
from backend.identity.freshness import require_fresh_access
from backend.identity.passwords import hash_password
from backend.identity.roles import GIVEN, Permission, Role
from backend.identity.tables import ApiToken, Person, PersonRole, SignInSession
from backend.identity.ways_in import administrators_with_a_way_in, has_local_password, require_local_accounts

_NAMED: Final = "people_named"
USERNAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


class UsernameTaken(Conflict):
    title = "User name taken"


class LastAdministrator(Conflict):
    """Without an administrator nobody could ever give a role again."""

    title = "Last administrator"


class GivenByRule(Conflict):
    """Taken by hand, it would be back after the next sign-on."""

    title = "Given by a rule"


@dataclass(frozen=True)
class PersonView:
    """A person as administrators see one."""

    id: str
    username: str
    display_name: str
    kind: str
    roles: frozenset[Role]
    is_demo: bool
    created_at: datetime
    disabled_at: datetime | None
    expires_at: datetime | None = None
    models: tuple[str, ...] | None = None
    by_hand: frozenset[Role] = frozenset()
    by_rule: frozenset[Role] = frozenset()  # a role may be both
    has_password: bool = False  # one of their own, here


class Account(TypedDict, total=False):
    """What `add_account` takes beside roles."""

    username: Required[str]
    display_name: Required[str]
    password: str | None
    password_hash: str | None
    kind: str
    owner_id: str | None
    oidc: tuple[str, str] | None
    is_demo: bool


def normalise_username(username: str) -> str:
    """User names are compared in one form: NFKC, lower case, no surrounding space."""
    return unicodedata.normalize("NFKC", username).strip().lower()


def create_person(
    session: WriteSession, actor: Actor, *, roles: Collection[Role], **account: Unpack[Account]
) -> Person:
    """Create someone who can act, as `add_account` does. An auditor is invited: `backend.identity.auditors`."""
    return add_account(session, actor, roles=_checked_roles(roles), **account)


def add_account(
    session: WriteSession,
    actor: Actor,
    *,
    username: str,
    display_name: str,
    password: str | None = None,
    password_hash: str | None = None,
    roles: Collection[Role],
    kind: str = "person",
    owner_id: str | None = None,
    oidc: tuple[str, str] | None = None,
    is_demo: bool = False,
) -> Person:
    """Create someone who can act. Give `password`, or `password_hash` made before the transaction began.

    A service account (`kind="service"`) needs the person it acts for as `owner_id` and has no password.
    Raises `BadInput`, `UsernameTaken`, `NotFound` (owner), `NotAllowed`.
    """
    actor.require(Permission.MANAGE_PEOPLE)
    require_fresh_access(actor)
    username = normalise_username(username)
    if not USERNAME.fullmatch(username):
        raise BadInput(
            f"the user name {username!r} is not usable: 1 to 64 of a-z, 0-9 and . _ @ + -, beginning with a "
            "letter or digit"
        )
    display_name = " ".join(unicodedata.normalize("NFC", display_name).split())
    if not 1 <= len(display_name) <= 100 or not display_name.isprintable():
        raise BadInput("the full name needs 1 to 100 printable characters")
    if kind not in ("person", "service"):
        raise BadInput(f"there is no kind of account {kind!r}; it is 'person' or 'service'")
    if (kind == "service") != (owner_id is not None):
        raise BadInput("a service account acts for an owner, a person for nobody else")
    owner = person_by_id(session, owner_id) if owner_id is not None else None
    if owner is not None and (owner.kind != "person" or is_auditor(owner)):
        raise BadInput(
            "a service account acts for a person of the house, not for another service or an auditor"
        )
    if actor.kind != "system" and (password is not None or password_hash is not None):
        require_local_accounts()
    granted = set(roles) if set(roles) == {Role.AUDITOR} else _checked_roles(roles)
    if session.scalar(select(Person.id).where(Person.username == username)) is not None:
        raise UsernameTaken(f"the user name {username!r} is taken; choose another")
    if password is not None:
        password_hash = hash_password(password, username=username)
    person = Person(
        username=username,
        display_name=display_name,
        kind=kind,
        password_hash=password_hash,
        password_known_to=actor.person_id if password_hash and actor.kind != "system" else None,
        owner_id=owner_id,
        oidc_issuer=oidc[0] if oidc else None,
        oidc_subject=oidc[1] if oidc else None,
        is_demo=is_demo,
        created_at=clock.now(),
        roles=[PersonRole(role=role.value) for role in sorted(granted)],
    )
    session.add(person)
    session.flush()
    make_keys(session, [person.id])
    record(
        session, actor, Action.PERSON_CREATED, object_kind="person", object_id=person.id,
        payload={"username": Personal(person.id, username), "display_name": Personal(person.id, display_name),
                 "kind": kind, "owner": owner_id, "roles": sorted(granted), "demo": is_demo},
    )  # fmt: skip
    return person


def set_roles(
    session: WriteSession, actor: Actor, person_id: str, roles: Collection[Role], *, why: str = ""
) -> Person:
    """Replace the roles that someone has by hand; it holds from their next request on. Those that a rule gives stay
    (`backend.identity.role_rules`). Raises `LastAdministrator`."""
    actor.require(Permission.MANAGE_PEOPLE)
    require_fresh_access(actor)
    granted = _checked_roles(roles)
    administrators = lock_administrators(session)
    person = person_by_id(session, person_id)
    if is_auditor(person):
        raise BadInput(
            f"{person.display_name} is an external auditor and has no other role; make another account"
        )
    before = {Role(entry.role) for entry in person.roles}
    by_rule = {Role(entry.role) for entry in person.roles if entry.by_rule}
    if granted == {Role(entry.role) for entry in person.roles if entry.by_hand}:
        return person
    if Role.ADMIN not in granted | by_rule:
        keep_one(session, administrators, person)
    for entry in person.roles:
        entry.by_hand = Role(entry.role) in granted
    kept = [entry for entry in person.roles if entry.by_hand or entry.by_rule]
    person.roles = kept + [PersonRole(role=role.value) for role in sorted(granted - before)]
    session.flush()
    record(
        session, actor, Action.ROLES_CHANGED, object_kind="person", object_id=person.id, why=why,
        payload={"before": sorted(before), "after": sorted(granted | by_rule)}
        | ({"by_rule": sorted(by_rule)} if by_rule else {}),
    )  # fmt: skip
    return person


def take_role(session: WriteSession, actor: Actor, person_id: str, role: Role, *, why: str) -> Person:
    """Take one role from somebody, as a review of access or an administrator does.

    Raises `LastAdministrator`, and `GivenByRule` for one that their next sign-on would give again: a disabled account
    has none. Taking one that they do not have does nothing.
    """
    if not actor.may(Permission.REVIEW_ACCESS):
        actor.require(Permission.MANAGE_PEOPLE)
    administrators = lock_administrators(session)
    person = person_by_id(session, person_id)
    before = sorted(entry.role for entry in person.roles)
    if role.value not in before:
        return person
    given = any(entry.by_rule for entry in person.roles if entry.role == role.value)
    if given and person.disabled_at is None:
        raise GivenByRule(
            f"a rule gives {person.display_name} the role {role.value} at each sign-on: have the rule changed on the "
            "page People, have them leave the group at their sign-on provider, or disable the account"
        )
    if role is Role.ADMIN:
        keep_one(session, administrators, person)
    person.roles = [entry for entry in person.roles if entry.role != role.value]
    session.flush()
    record(
        session, actor, Action.ROLES_CHANGED, object_kind="person", object_id=person.id, why=why,
        payload={"before": before, "after": [one for one in before if one != role.value]},
    )  # fmt: skip
    return person


def disable_person(session: WriteSession, actor: Actor, person_id: str, *, why: str = "") -> Person:
    """End someone's access at once: no sign-in, and every session and token of theirs is revoked.

    Service accounts that act for them stop as well. Raises `LastAdministrator`.
    """
    actor.require(Permission.MANAGE_PEOPLE)
    administrators = lock_administrators(session)
    person = person_by_id(session, person_id)
    if person.disabled_at is not None:
        return person
    keep_one(session, administrators, person)
    moment = clock.now()
    person.disabled_at = moment
    for table in (SignInSession, ApiToken):
        session.execute(
            update(table)
            .where(table.person_id == person.id, table.revoked_at.is_(None))
            .values(revoked_at=moment)
        )
    session.flush()
    record(session, actor, Action.PERSON_DISABLED, object_kind="person", object_id=person.id, why=why)
    return person


def person_by_id(session: ReadSession, person_id: str) -> Person:
    """The account, disabled or not. Raises `NotFound`."""
    person = session.get(Person, person_id)
    if person is None:
        raise NotFound(f"there is no person {person_id}")
    return person


def is_auditor(person: Person) -> bool:
    """Whether it is the account of somebody from outside who only reads."""
    return any(entry.role == Role.AUDITOR for entry in person.roles)


def person_named(session: ReadSession, username: str) -> Person:
    """The open account of a person, by user name. Raises `NotFound`."""
    name = normalise_username(username[:256])
    found = session.scalars(
        select(Person).where(Person.username == name, Person.kind == "person", Person.disabled_at.is_(None))
    ).one_or_none()
    if found is None:
        raise NotFound("there is no person with that user name")
    return found


def list_people(
    session: ReadSession,
    viewer: Actor,
    *,
    limit: int | None = None,
    offset: int = 0,
    username: str | None = None,
) -> list[PersonView]:
    """Everyone, by user name, for administrators; with `username` that account alone."""
    viewer.require(Permission.MANAGE_PEOPLE)
    named = select(Person).order_by(Person.username)
    if username is not None:
        named = named.where(Person.username == username)
    return [
        PersonView(
            id=person.id,
            username=person.username,
            display_name=person.display_name,
            kind=person.kind,
            roles=frozenset(Role(entry.role) for entry in person.roles),
            is_demo=person.is_demo,
            created_at=person.created_at,
            disabled_at=person.disabled_at,
            expires_at=person.expires_at,
            models=tuple(person.models) if person.models is not None else None,
            by_hand=frozenset(Role(entry.role) for entry in person.roles if entry.by_hand),
            by_rule=frozenset(Role(entry.role) for entry in person.roles if entry.by_rule),
            has_password=has_local_password(person) and person.kind == "person" and not person.is_demo,
        )
        for person in session.scalars(named.limit(limit).offset(offset))
    ]


def count_people(session: ReadSession, viewer: Actor) -> tuple[int, int]:
    """How many accounts there are, and how many of them are not disabled."""
    viewer.require(Permission.MANAGE_PEOPLE)
    counts = select(func.count(), func.count().filter(Person.disabled_at.is_(None))).select_from(Person)
    known, active = session.execute(counts).one()
    return known, active


def names_to_choose(session: ReadSession, viewer: Actor) -> dict[str, str]:
    """`Name (user name)` -> id of every person of the house, for whoever gives somebody something to do."""
    if not viewer.may(Permission.HANDLE_FINDINGS):
        viewer.require(Permission.MANAGE_PEOPLE)
    people = session.scalars(
        select(Person)
        .where(Person.kind == "person", Person.disabled_at.is_(None))
        .order_by(Person.display_name)
    )
    return {f"{one.display_name} ({one.username})": one.id for one in people if not is_auditor(one)}


def names_of(session: ReadSession, ids: Iterable[str | None]) -> dict[str, str]:
    """Display names by id, for showing who did something. Warrant's processes are named without a row."""
    wanted = {one for one in ids if one}
    names = {one: f"Warrant {one.removeprefix('system:')}" for one in wanted if one.startswith("system:")}
    rest = sorted(wanted - names.keys())
    for start in range(0, len(rest), 500):
        found = select(Person.id, Person.display_name).where(Person.id.in_(rest[start : start + 500]))
        names.update({row.id: row.display_name for row in session.execute(found)})
    session.info.setdefault(_NAMED, set()).update(rest)
    return names


def people_named(session: ReadSession) -> frozenset[str]:
    """Ids of everybody whose name was looked up in this session: who may be named in what was made of it."""
    return frozenset(session.info.get(_NAMED, ()))


def matching_people(session: ReadSession, who: str) -> list[str]:
    """Ids of people whose user name is `who` or whose name contains it, in any case."""
    return list(
        session.scalars(
            select(Person.id)
            .where(
                (Person.username == normalise_username(who))
                | Person.display_name.icontains(who, autoescape=True)
            )
            .limit(500)
        )
    )


def _checked_roles(roles: Collection[Role]) -> set[Role]:
    try:
        granted = {Role(role) for role in roles}
    except ValueError as error:
        known = ", ".join(role.value for role in GIVEN)
        raise BadInput(f"{error}; the roles are {known}") from error
    if Role.AUDITOR in granted:
        raise BadInput("an external auditor is invited, with the models they may see and the day it ends")
    if Role.SYSTEM in granted:
        raise BadInput("the role system belongs to Warrant's own processes and is given to nobody")
    return granted


def lock_administrators(session: WriteSession) -> set[str]:
    """Ids of everyone able to administer. Locked: two administrators removing each other must queue."""
    # FOR UPDATE re-reads each row after waiting; the ids are read again so that a removed one is not counted.
    session.execute(select(PersonRole).where(PersonRole.role == Role.ADMIN.value).with_for_update())
    return set(
        session.scalars(
            select(Person.id)
            .join(PersonRole, PersonRole.person_id == Person.id)
            .where(
                PersonRole.role == Role.ADMIN.value,
                Person.disabled_at.is_(None),
                Person.kind == "person",
            )
        )
    )


def keep_one(session: WriteSession, administrators: set[str], person: Person) -> None:
    """Somebody else who administers, and who can come in, has to be left."""
    if person.id in administrators and not administrators_with_a_way_in(session) - {person.id}:
        raise LastAdministrator(
            f"{person.display_name} is the last administrator; make someone else administrator first, who can sign in"
        )

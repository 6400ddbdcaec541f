"""Rules that give roles to people by what their sign-on provider says of them: (provider, claim, value) -> role.

    rules:
      - {provider: corp, claim: groups, value: ml-leads, role: ml_lead}
      - {provider: corp, claim: realm_access.roles, value: warrant-admin, role: admin}

They hold at each sign-on: what a rule gives is given then, what none gives any more is taken then, for every session at
once, because roles are read at every request. Roles that people give by hand are kept apart and are left alone. The
last administrator who can sign in keeps that role whatever the rules say.

The rules are replaced by a change that somebody else approves (`backend.governance.kinds.roles`), never in place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.entries_about import newest_entry, said_by
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict
from backend.governance.digests import digest_of
from backend.governance.yaml_text import read_yaml, write_yaml
from backend.identity.actor import Actor, system_actor
from backend.identity.people import LastAdministrator, is_auditor, keep_one, lock_administrators
from backend.identity.roles import GIVEN, Permission, Role
from backend.identity.tables import OidcClaims, Person, PersonRole, RoleRules
from backend.identity.ways_in import administrators_with_a_way_in

MOST_RULES: Final = 500
LONGEST_CLAIMS: Final = 64 << 10
# Of the token itself, and of who somebody is: the first change at each sign-on, the second are theirs to choose or not
# checked by the provider, and are kept nowhere but in the account.
NOT_TO_GO_BY: Final = frozenset(
    {"iss", "sub", "aud", "exp", "nbf", "iat", "auth_time", "nonce", "azp", "at_hash", "c_hash", "jti", "sid", "name",
     "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
     "email", "email_verified", "gender", "birthdate", "zoneinfo", "locale", "phone_number",
     "phone_number_verified", "address", "updated_at"}
)  # fmt: skip


class RulesAltered(Conflict):
    """What is stored is not what was put in force by the log."""

    title = "Role rules altered"


class Rule(BaseModel):
    """Who has `value` in `claim`, as this provider says it, has `role`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    provider: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    claim: str = Field(
        min_length=1, max_length=200, description="a claim, or the way to it: realm_access.roles"
    )
    value: str = Field(min_length=1, max_length=500)
    role: str

    @field_validator("claim")
    @classmethod
    def _says_something(cls, claim: str) -> str:
        if claim in NOT_TO_GO_BY:
            raise ValueError(f"{claim} is no claim to give roles by: take groups or roles of the provider")
        return claim

    @field_validator("role")
    @classmethod
    def _can_be_given(cls, role: str) -> str:
        if role not in {one.value for one in GIVEN}:
            raise ValueError(f"{role!r} is no role that is given; those are {', '.join(GIVEN)}")
        return role


class Document(BaseModel):
    """All rules of this installation."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    schema_version: Literal[1] = Field(1, alias="schema")
    rules: tuple[Rule, ...] = Field((), max_length=MOST_RULES)

    def as_dict(self) -> dict[str, Any]:
        return {"schema": 1, "rules": [one.model_dump() for one in self.rules]}

    def as_yaml(self) -> str:
        return write_yaml(self.as_dict()) if self.rules else "schema: 1\nrules: []\n"


@dataclass(frozen=True)
class Rules:
    """One revision. Revision 1 is the one without a rule, which was never stored."""

    revision: int
    digest: str
    document: Document

    def given(self, provider: str, claims: Mapping[str, Any]) -> set[Role]:
        """The roles of somebody of whom a provider says this."""
        return {
            Role(one.role)
            for one in self.document.rules
            if one.provider == provider and one.value in _values(claims, one.claim)
        }


@dataclass(frozen=True)
class Moved:
    """What other rules would change for somebody, by what their provider said of them last."""

    person_id: str
    display_name: str
    username: str
    provider: str
    said_at: datetime
    gains: tuple[Role, ...]  # at their next sign-on
    loses: tuple[Role, ...]  # when the rules come into force


def read_rules(text: Any) -> Document:
    """The rules in a text. Raises `BadInput` that says which rule is wrong, and how."""
    if not isinstance(text, str):
        raise BadInput("the rules are one text, as YAML", field="document")
    try:
        return Document.model_validate(read_yaml(text) or {})
    except yaml.YAMLError as error:
        raise BadInput(f"the rules are no YAML: {' '.join(str(error).split())}", field="document") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part + 1 if isinstance(part, int) else part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise BadInput(
            f"the rules cannot be read: {place or 'the text'}: {said}", field="document"
        ) from error


def rules_in_force(session: ReadSession) -> Rules:
    """The highest revision. Raises `RulesAltered` where it is not what the log put in force."""
    row = session.scalars(select(RoleRules).order_by(RoleRules.revision.desc()).limit(1)).one_or_none()
    found = _NONE if row is None else Rules(row.revision, row.digest, Document.model_validate(row.document))
    told = session.execute(select(*newest_entry(Action.ROLE_RULES_REPLACED).c)).one_or_none()
    entry = said_by(told) if told is not None else None
    said = (1, None) if entry is None else (int(entry[0]), entry[1])
    altered = found.revision != said[0] or digest_of(found.document.as_dict()) != found.digest
    if not altered and said[1] is not None and said[1].payload is not None:
        altered = not said[1].says(digest=found.digest)
    if altered:
        raise RulesAltered(
            f"revision {found.revision} of the role rules is not what the log put in force (revision {said[0]}); "
            "nobody signs on by it. Put the table role_rules back, and find out who wrote to the database"
        )
    return found


def history(
    session: ReadSession, viewer: Actor, *, limit: int | None = None, offset: int = 0
) -> list[RoleRules]:
    """Every revision that people agreed on, newest first."""
    _require_reader(viewer)
    return list(
        session.scalars(select(RoleRules).order_by(RoleRules.revision.desc()).limit(limit).offset(offset))
    )


def rules_for(session: ReadSession, viewer: Actor) -> Rules:
    """The rules in force, for whoever reviews access."""
    _require_reader(viewer)
    return rules_in_force(session)


def dry_run(session: ReadSession, viewer: Actor, wanted: Document) -> list[Moved]:
    """Who would gain or lose which role by other rules; changes nothing."""
    _require_reader(viewer)
    return moved_by(session, wanted)


def moved_by(session: ReadSession, wanted: Document) -> list[Moved]:
    """Everybody for whom these rules give other roles than they have by rules now."""
    rules = Rules(0, "", wanted)
    found = []
    for person, said in session.execute(
        select(Person, OidcClaims)
        .join(OidcClaims, OidcClaims.person_id == Person.id)
        .where(Person.disabled_at.is_(None))
        .order_by(Person.username)
    ):
        if is_auditor(person):
            continue
        would = rules.given(said.provider, said.claims)
        has = {Role(one.role) for one in person.roles}
        only_by_rule = {Role(one.role) for one in person.roles if one.by_rule and not one.by_hand}
        gains, loses = sorted(would - has), sorted(only_by_rule - would)
        if gains or loses:
            found.append(
                Moved(person.id, person.display_name, person.username, said.provider, said.seen_at,
                      tuple(gains), tuple(loses))
            )  # fmt: skip
    return found


def require_administrable(session: ReadSession, wanted: Document) -> None:
    """`BadInput` where no administrator who can sign in would be left by these rules."""
    able = administrators_with_a_way_in(session)
    losing = {one.person_id for one in moved_by(session, wanted) if Role.ADMIN in one.loses}
    if able and able <= losing:
        raise BadInput(
            "these rules are refused: no administrator who can sign in would be left. Give somebody the role admin by "
            "hand first, or keep a rule that gives it",
            field="document",
        )


def store_rules(
    session: WriteSession, actor: Actor, document: Document, *, change_id: int, note: str
) -> tuple[int, int]:
    """Put approved rules in force, and take at once what they give no longer. Gives the revision, and from how many
    people something was taken. Only the execution of a change calls it."""
    now = rules_in_force(session)
    row = RoleRules(
        revision=now.revision + 1, document=document.as_dict(), digest=digest_of(document.as_dict()),
        change_id=change_id, note=note, created_at=clock.now(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    record(
        session, actor, Action.ROLE_RULES_REPLACED, object_kind="role_rules", object_id=row.revision,
        payload={"digest": row.digest, "replaces": now.digest, "change": change_id}, why=note,
    )  # fmt: skip
    losing = {one.person_id for one in moved_by(session, document) if one.loses}
    rules = Rules(row.revision, row.digest, document)
    for said in session.scalars(
        select(OidcClaims).where(OidcClaims.person_id.in_(losing)).order_by(OidcClaims.person_id)
    ):
        person = session.get_one(Person, said.person_id)
        has = {Role(one.role) for one in person.roles if one.by_rule}
        _give(session, actor, person, has & rules.given(said.provider, said.claims), rules=rules)
    return row.revision, len(losing)


def hold_at_sign_on(
    session: WriteSession, person: Person, *, provider: str, claims: Mapping[str, Any]
) -> None:
    """Give and take what the rules say of somebody who signs on now, and keep what was said of them."""
    rules = rules_in_force(session)
    kept = {name: value for name, value in claims.items() if name not in NOT_TO_GO_BY}
    if len(json.dumps(kept)) > LONGEST_CLAIMS:
        named = {one.claim.partition(".")[0] for one in rules.document.rules} | {
            one.claim for one in rules.document.rules
        }
        kept = {name: value for name, value in kept.items() if name in named}
    said = session.get(OidcClaims, person.id) or OidcClaims(person_id=person.id)
    said.provider, said.claims, said.seen_at = provider, kept, clock.now()
    session.add(said)
    session.flush()
    session.refresh(person, ["provider_said_at"])
    if not is_auditor(person):
        _give(session, system_actor("single-sign-on"), person, rules.given(provider, kept), rules=rules)


def _give(session: WriteSession, actor: Actor, person: Person, given: set[Role], *, rules: Rules) -> None:
    """Have somebody have these roles by rule, beside those by hand."""
    if given == {Role(one.role) for one in person.roles if one.by_rule}:
        return
    administrators = lock_administrators(session)
    before = {Role(one.role) for one in person.roles}
    by_hand = {Role(one.role) for one in person.roles if one.by_hand}
    kept: list[str] = []
    if Role.ADMIN in before - by_hand - given:
        try:
            keep_one(session, administrators, person)
        except LastAdministrator:
            given, kept = given | {Role.ADMIN}, [Role.ADMIN.value]
    for one in person.roles:
        one.by_rule = Role(one.role) in given
    staying = [one for one in person.roles if one.by_hand or one.by_rule]
    new = [PersonRole(role=role.value, by_hand=False, by_rule=True) for role in sorted(given - before)]
    person.roles = staying + new
    session.flush()
    record(
        session, actor, Action.ROLES_CHANGED, object_kind="person", object_id=person.id,
        payload={"before": sorted(before), "after": sorted(by_hand | given), "by_rule": sorted(given),
                 "rules": rules.revision, **({"kept": kept} if kept else {})},
        why="the last administrator keeps the role" if kept else "role rules",
    )  # fmt: skip


def _values(claims: Mapping[str, Any], claim: str) -> set[str]:
    """What stands at a claim, as texts: under its whole name, else step by step."""
    found: Any = claims.get(claim)
    if found is None:
        found = claims
        for step in claim.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
    several = found if isinstance(found, list) else [found]
    return {
        one if isinstance(one, str) else json.dumps(one)
        for one in several
        if isinstance(one, str | bool | int | float)
    }


def _require_reader(viewer: Actor) -> None:
    viewer.require(Permission.REVIEW_ACCESS)


_NONE: Final = Rules(1, digest_of(Document().as_dict()), Document())

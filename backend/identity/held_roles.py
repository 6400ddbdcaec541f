"""Which of the stored roles of an account count now.

A role by hand counts until somebody takes it. One that a rule gives is what a sign-on provider said: it counts for
`WARRANT_OIDC_ROLES_DAYS` after the last sign-on there. Who left and was closed at the provider never signs on again, so no
sign-on takes the role; tokens ask the provider nothing. The row stays: the next sign-on gives the role back, or takes it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import aliased

from backend import clock
from backend.database.session import ReadSession
from backend.identity.roles import Role
from backend.identity.tables import OidcClaims, Person, PersonRole
from backend.settings import settings

SHOWN: Final = 5


def roles_held(person: Person) -> frozenset[Role]:
    """The roles that count."""
    stored = person.roles
    if all(one.by_hand for one in stored) or is_heard_of(person):
        return frozenset(Role(one.role) for one in stored)
    return frozenset(Role(one.role) for one in stored if one.by_hand)


def asleep(person: Person) -> frozenset[Role]:
    """Those that a rule gave and that do not count, since their holder has not signed on for too long."""
    return frozenset(Role(one.role) for one in person.roles) - roles_held(person)


def is_heard_of(person: Person) -> bool:
    """Whether the provider said lately who this is."""
    return person.provider_said_at is not None and person.provider_said_at > _since()


def counts() -> ColumnElement[bool]:
    """A condition on `PersonRole`: it counts now."""
    heard = select(OidcClaims.person_id).where(
        OidcClaims.person_id == PersonRole.person_id, OidcClaims.seen_at > _since()
    )
    return or_(PersonRole.by_hand, heard.exists())


def asleep_holders(session: ReadSession) -> list[tuple[Person, int]]:
    """Everybody with an open account and a role that does not count any more, with how many open service accounts they
    own: those have roles of their own."""
    owned = aliased(Person)
    services = (
        select(func.count())
        .select_from(owned)
        .where(owned.owner_id == Person.id, owned.disabled_at.is_(None))
        .correlate(Person)
        .scalar_subquery()
    )
    sleeping = select(PersonRole.person_id).where(PersonRole.person_id == Person.id, ~counts()).exists()
    found = session.execute(
        select(Person, services).where(Person.disabled_at.is_(None), sleeping).order_by(Person.username)
    )
    return [(person, count) for person, count in found]


def _since() -> datetime:
    return clock.now() - timedelta(days=settings().oidc_roles_days)

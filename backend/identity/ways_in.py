"""Whether somebody who may administer can still come in: no setting and nobody's click may lock everybody out."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select

from backend.database.session import ReadSession, WriteSession
from backend.errors import Conflict, NotAllowed, WarrantError
from backend.identity.actor import Actor
from backend.identity.providers import is_issuer_known, providers
from backend.identity.roles import Role
from backend.identity.tables import Person, PersonRole, SignInSession
from backend.settings import settings

MOST_TO_ASK: Final = 5


class LocalAccountsOff(NotAllowed):
    title = "Passwords are switched off"


class LockedOut(Conflict):
    """With these settings no administrator could sign in."""

    title = "Nobody could administer"


def has_local_password(person: Person) -> bool:
    """Whether they sign in with a password here."""
    return settings().local_accounts and person.password_hash is not None


def require_local_accounts() -> None:
    """`LocalAccountsOff` where people come in by single sign-on alone."""
    if not settings().local_accounts:
        raise LocalAccountsOff("nobody signs in with a password here; use single sign-on")


def can_come_in(person: Person) -> bool:
    """Whether somebody can open a session of their own today and later: an account that is open and does not end by
    itself, with a password where those count, or of a provider that is set up."""
    from backend.identity.sessions import may_sign_in

    if person.kind != "person" or person.expires_at is not None or not may_sign_in(person):
        return False
    if has_local_password(person):
        return True
    try:
        return is_issuer_known(person.oidc_issuer)
    except WarrantError:  # the file of the providers cannot be read: nobody signs on with them
        return False


def administrators_with_a_way_in(session: ReadSession) -> set[str]:
    """Ids of everybody who has the role of administrators and can come in. Demo accounts count in demo mode."""
    found = session.scalars(
        select(Person)
        .join(PersonRole, PersonRole.person_id == Person.id)
        .where(PersonRole.role == Role.ADMIN.value, Person.disabled_at.is_(None))
    )
    return {one.id for one in found if can_come_in(one)}


def whom_to_ask(session: ReadSession) -> list[str]:
    """Names of some administrators who can sign in: for somebody who has no role yet."""
    names = session.scalars(
        select(Person.display_name)
        .where(Person.id.in_(administrators_with_a_way_in(session)))
        .order_by(Person.display_name, Person.id)
        .limit(MOST_TO_ASK)
    )
    return list(names)


def require_a_way_in(session: ReadSession) -> None:
    """`LockedOut` where local accounts are switched off and no administrator could sign on. Asked at start-up."""
    if settings().local_accounts:
        return
    back = (
        "start with WARRANT_LOCAL_ACCOUNTS=true, let an administrator sign on once with a provider (without any, "
        "`warrant setup-link --break-glass` makes one), and switch local accounts off again"
    )
    if not providers():
        raise LockedOut(f"WARRANT_LOCAL_ACCOUNTS is false and no sign-on provider is set up; {back}")
    if not administrators_with_a_way_in(session):
        raise LockedOut(
            f"WARRANT_LOCAL_ACCOUNTS is false and no administrator can sign on with {', '.join(providers())}; {back}"
        )


def end_local_sessions(session: WriteSession, actor: Actor) -> int:
    """Where local accounts are switched off, end the sessions of those who came in with a password; how many ended."""
    from backend.identity.sessions import revoke

    if settings().local_accounts:
        return 0
    ids = session.scalars(
        select(SignInSession.id)
        .join(Person, Person.id == SignInSession.person_id)
        .where(Person.oidc_issuer.is_(None), SignInSession.revoked_at.is_(None))
        .order_by(SignInSession.id)
    ).all()
    for one in ids:
        revoke(session, actor, one, why="local accounts were switched off")
    return len(ids)

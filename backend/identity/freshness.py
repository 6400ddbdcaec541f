"""Signing in freshly (step-up): what weighs much is done only by somebody who proved a moment ago who they are.

    require_fresh(actor, "approve CHG-12")     asked by the service that does it

A session says when its person last gave the password, or when the sign-on provider last asked for theirs. An API token
proves nothing of the kind, so it does such things only where it was made for them: it names the permission among its
scopes, or the rule of the change says `tokens: true`. What stops something (to reject, to revoke, to disable) is never
asked for it. RFC 9470 describes the same for OAuth.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from backend import clock
from backend.errors import NotAllowed
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.settings import settings

PAGE: Final = "/signin/again"


class SignInAgain(NotAllowed):
    """The session is right, and its person gave their password too long ago for this."""

    title = "Sign in again"


class NotByToken(NotAllowed):
    """A token proves that somebody was given it, not who is here now."""

    title = "Not by API token"


def limit() -> timedelta:
    return timedelta(minutes=settings().step_up_min)


def is_fresh(signed_in_at: datetime | None) -> bool:
    return signed_in_at is not None and clock.now() - signed_in_at <= limit()


def require_fresh(
    actor: Actor, to: str, *, permission: Permission | None = None, tokens: bool = False
) -> datetime | None:
    """When the actor signed in, if that is fresh enough; None for who has no session (Warrant itself, a token).

    `permission`: a token that names it among its scopes may; `tokens`: any token may. Raises `SignInAgain`,
    `NotByToken`.
    """
    if actor.session_id is None or actor.kind == "system":
        return None
    if actor.is_token:
        named = permission is not None and actor.scopes is not None and permission in actor.scopes
        if tokens or named:
            return None
        way = f", or use a token that was made for {permission.value}" if permission is not None else ""
        raise NotByToken(
            f"to {to}, somebody has to have signed in within {settings().step_up_min} minutes, and a token cannot; do "
            f"it in the console{way}"
        )
    if not is_fresh(actor.signed_in_at):
        raise SignInAgain(
            f"to {to}, sign in again: it has to be within {settings().step_up_min} minutes",
            sign_in=PAGE, max_age_s=settings().step_up_min * 60,
        )  # fmt: skip
    return actor.signed_in_at


def require_fresh_access(actor: Actor) -> None:
    """For whatever gives somebody access, or changes it. What ends access waits for no sign-in."""
    require_fresh(actor, "change who has access", permission=Permission.MANAGE_PEOPLE)

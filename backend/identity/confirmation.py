"""Confirming an account again just before something is signed with it: a session alone may be somebody else's by now.

Whoever has a password here gives it; whoever signs in elsewhere writes their user name, which shows intent and no
more. Which of both it was is recorded with what is signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import reading, writing
from backend.errors import NotAllowed
from backend.identity.actor import Actor
from backend.identity.passwords import verify_password
from backend.identity.people import normalise_username, person_by_id
from backend.identity.throttle import count_attempt, forget_attempts

LASTS: Final = timedelta(minutes=2)


class NotConfirmed(NotAllowed):
    """The account was not confirmed, or too long ago."""

    title = "Not confirmed"


@dataclass(frozen=True)
class Confirmed:
    """That an account was confirmed, how and when. Made by `confirm_account` alone."""

    person_id: str
    how: Literal["password", "name"]
    at: datetime


def confirm_account(actor: Actor, *, username: str, password: str = "") -> Confirmed:
    """Confirm the actor's own account. Hashing takes tens of milliseconds: call it outside any transaction.

    Guesses count, and are recorded, with those at the sign-in. Raises `NotConfirmed`, or `SignInThrottled` after
    too many.
    """
    if actor.kind != "person":
        raise NotConfirmed("a person signs, not a service account: use a session or token of your own")
    with reading() as session:
        person = person_by_id(session, actor.person_id)
    if normalise_username(username[:256]) != person.username:
        raise NotConfirmed("write your own user name to sign")
    if person.password_hash is None:
        return Confirmed(person.id, "name", clock.now())
    with writing() as session:
        attempt = count_attempt(session, username=person.username, address=actor.address)
    if not verify_password(person.password_hash, password):
        if attempt.recordable:
            with writing() as session:
                record(
                    session, actor, Action.SIGN_IN_REFUSED, object_kind="person", object_id=person.id,
                    payload={"reason": "wrong password while signing", "throttled": attempt.begins_throttle},
                )  # fmt: skip
        raise NotConfirmed("the password is not the one of your account")
    with writing() as session:
        forget_attempts(session, attempt)
    return Confirmed(person.id, "password", clock.now())


def require_confirmed(actor: Actor, confirmed: Confirmed) -> None:
    """`NotConfirmed` unless it is the actor who confirmed just now."""
    if confirmed.person_id != actor.person_id or clock.now() - confirmed.at > LASTS:
        raise NotConfirmed("confirm your account again; it was too long ago")

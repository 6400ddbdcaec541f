"""Slowing down password guessing, per name and per address.

An attempt is counted before its password is checked and forgotten when it succeeds, so guesses sent in
parallel are counted as surely as guesses in a row. After a few failures every further one doubles the wait.
The wait for a name alone stays short: otherwise anyone could lock anyone out. An address of IPv6 counts as its
network. Jobs of pipelines are counted apart from people: those that are refused make nobody at their address wait.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select

from backend import clock
from backend.client_addresses import counted_as
from backend.database.session import WriteSession
from backend.errors import TooMany
from backend.identity.tables import OidcFlow, SignInAttempt, UsedJobToken

WINDOW = timedelta(hours=1)
KEPT = timedelta(days=1)
FREE_PER_NAME = 5
FREE_PER_ADDRESS = 20
LONGEST_PER_NAME = timedelta(minutes=1)
LONGEST_PER_ADDRESS = timedelta(minutes=15)
RECORDED_PER_HOUR = 200  # of people, and as many of jobs
JOB = "job "  # before the address of a job


class SignInThrottled(TooMany):
    """Too many failures for this name or from this address; `retry_after_s` says when the next may come."""

    title = "Too many attempts to sign in"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"too many attempts to sign in; try again in {retry_after_s} seconds", retry_after_s=retry_after_s
        )
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Attempt:
    """A counted attempt. `recordable`: its refusal belongs in the audit log (an attacker must not be able to
    fill it); `begins_throttle`: the next one has to wait."""

    id: int
    username: str
    recordable: bool
    begins_throttle: bool


def count_attempt(
    session: WriteSession, *, username: str, address: str | None, is_job: bool = False
) -> Attempt:
    """Count one attempt, or raise `SignInThrottled` (which is not counted: waiting must end)."""
    moment = clock.now()
    name, address = _digest(username), (JOB if is_job else "") + counted_as(address)
    alike = SignInAttempt.address.startswith(JOB)
    _one_at_a_time(session, name, address)
    names, last_name = _failures(session, SignInAttempt.username == name, moment)
    addresses, last_address = _failures(session, SignInAttempt.address == address, moment)
    ready = max(
        _ready_at(names, last_name, FREE_PER_NAME, LONGEST_PER_NAME, moment),
        _ready_at(addresses, last_address, FREE_PER_ADDRESS, LONGEST_PER_ADDRESS, moment),
    )
    if ready > moment:
        raise SignInThrottled(retry_after_s=int((ready - moment).total_seconds()) + 1)
    everyone = session.scalar(
        select(func.count()).where(alike if is_job else ~alike, SignInAttempt.at > moment - WINDOW)
    )
    row = SignInAttempt(at=moment, username=name, address=address)
    session.add(row)
    session.flush()
    return Attempt(
        id=row.id,
        username=name,
        recordable=names < FREE_PER_NAME
        and addresses < FREE_PER_ADDRESS
        and (everyone or 0) < RECORDED_PER_HOUR,
        begins_throttle=names + 1 >= FREE_PER_NAME or addresses + 1 >= FREE_PER_ADDRESS,
    )


def forget_attempts(session: WriteSession, attempt: Attempt) -> None:
    """After a success the name starts afresh. Failures for other names still count against the address, or
    a guesser with one account of their own could reset it."""
    session.execute(delete(SignInAttempt).where(SignInAttempt.username == attempt.username))


def prune_attempts(session: WriteSession) -> int:
    """Delete attempts older than a day, sign-ons never finished, and tokens of jobs that are over; how many went."""
    old = session.execute(delete(SignInAttempt).where(SignInAttempt.at < clock.now() - KEPT))
    flows = session.execute(delete(OidcFlow).where(OidcFlow.expires_at < clock.now()))
    used = session.execute(delete(UsedJobToken).where(UsedJobToken.expires_at < clock.now()))
    gone: list[int] = [one.rowcount for one in (old, flows, used)]  # type: ignore[attr-defined]
    return sum(gone)


def _failures(session: WriteSession, which: object, moment: datetime) -> tuple[int, datetime | None]:
    count, last = session.execute(
        select(func.count(), func.max(SignInAttempt.at)).where(which, SignInAttempt.at > moment - WINDOW)  # type: ignore[arg-type]
    ).one()
    return int(count), last


def _ready_at(count: int, last: datetime | None, free: int, longest: timedelta, moment: datetime) -> datetime:
    if last is None or count < free:
        return moment
    return last + min(longest, timedelta(seconds=2 ** min(count - free + 1, 20)))


def _one_at_a_time(session: WriteSession, *keys: str) -> None:
    """Attempts on one name or from one address queue. SQLite's write transactions do so anyway."""
    if session.get_bind().dialect.name == "postgresql":
        numbers = sorted(
            int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], signed=True) for key in keys
        )
        for number in numbers:
            session.execute(select(func.pg_advisory_xact_lock(number)))


def _digest(username: str) -> str:
    return hashlib.sha256(b"sign-in name\0" + username.encode("utf-8", "replace")).hexdigest()

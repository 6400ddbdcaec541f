"""Slowing down password guessing, per name and per address.

An attempt is counted before its password is checked and forgotten when it succeeds, so guesses sent in
parallel are counted as surely as guesses in a row. After a few failures every further one doubles the wait.
The wait for a name alone stays short: otherwise anyone could lock anyone out. An address of IPv6 counts as its
network.

Jobs of pipelines are counted apart from people: those that are refused make nobody at their address wait. They hold a
signature, which nobody guesses, and many come at once from one address: a job is counted when it was refused, so one
whose token is good, or could not be checked, makes no other wait. At most as many are checked beyond the limit as the
console answers requests at once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select

from backend import clock
from backend.client_addresses import counted_as
from backend.database.session import ReadSession, WriteSession
from backend.errors import TooMany
from backend.identity.tables import OidcFlow, SignInAttempt, UsedJobToken

WINDOW = timedelta(hours=1)
KEPT = timedelta(days=1)
FREE_PER_NAME = 5
FREE_PER_ADDRESS = 20
LONGEST_PER_NAME = timedelta(minutes=1)
LONGEST_PER_ADDRESS = timedelta(minutes=15)
RECORDED_PER_HOUR = 200  # of people, and as many of jobs
JOB = "job "  # before the token and the address of a job


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


@dataclass(frozen=True)
class _Before:
    """The failures that count against an attempt."""

    names: int
    last_name: datetime | None
    addresses: int
    last_address: datetime | None

    def require_no_wait(self, moment: datetime) -> None:
        ready = max(
            _ready_at(self.names, self.last_name, FREE_PER_NAME, LONGEST_PER_NAME, moment),
            _ready_at(self.addresses, self.last_address, FREE_PER_ADDRESS, LONGEST_PER_ADDRESS, moment),
        )
        if ready > moment:
            raise SignInThrottled(retry_after_s=int((ready - moment).total_seconds()) + 1)


def count_attempt(session: WriteSession, *, username: str, address: str | None) -> Attempt:
    """Count one attempt of a person, or raise `SignInThrottled` (which is not counted: waiting must end)."""
    name, address, moment = _digest(username), counted_as(address), clock.now()
    _one_at_a_time(session, name, address)
    before = _before(session, name, address, moment)
    before.require_no_wait(moment)
    return _counted(session, name, address, before, moment, is_job=False)


def require_no_wait_of_job(session: ReadSession, *, token: str, address: str | None) -> None:
    """Raise `SignInThrottled` where refused jobs make this one wait. Counts nothing."""
    moment = clock.now()
    _before(session, _digest(JOB + token), JOB + counted_as(address), moment).require_no_wait(moment)


def count_refused_job(session: WriteSession, *, token: str, address: str | None) -> Attempt:
    """Count a job that was refused, however many others were while it was checked."""
    name, address, moment = _digest(JOB + token), JOB + counted_as(address), clock.now()
    _one_at_a_time(session, name, address)
    return _counted(session, name, address, _before(session, name, address, moment), moment, is_job=True)


def _before(session: ReadSession, name: str, address: str, moment: datetime) -> _Before:
    return _Before(
        *_failures(session, SignInAttempt.username == name, moment),
        *_failures(session, SignInAttempt.address == address, moment),
    )


def _counted(
    session: WriteSession, name: str, address: str, before: _Before, moment: datetime, *, is_job: bool
) -> Attempt:
    alike = SignInAttempt.address.startswith(JOB)
    everyone = session.scalar(
        select(func.count()).where(alike if is_job else ~alike, SignInAttempt.at > moment - WINDOW)
    )
    row = SignInAttempt(at=moment, username=name, address=address)
    session.add(row)
    session.flush()
    return Attempt(
        id=row.id,
        username=name,
        recordable=before.names < FREE_PER_NAME
        and before.addresses < FREE_PER_ADDRESS
        and (everyone or 0) < RECORDED_PER_HOUR,
        begins_throttle=before.names + 1 >= FREE_PER_NAME or before.addresses + 1 >= FREE_PER_ADDRESS,
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


def _failures(session: ReadSession, which: object, moment: datetime) -> tuple[int, datetime | None]:
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

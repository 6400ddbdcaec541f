"""Who watches Warrant: a sign of life leaves it only after a look at itself has passed. Somebody outside misses it.

    scheduler → queue → worker: `jobs/watch_self.py` (drift of known rows, an alert, a notice into the outbox)
    → notifier: delivers the notice → worker: sees it delivered, nothing stands still, pagers work → run succeeded
    → notifier → each receiver of `WARRANT_HEARTBEAT`

So each of these, and the database between them, has to work for a heartbeat to leave. One that is not sent is not
explained to the receiver: it pages because nothing came (a dead man's switch).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import select

from backend import clock
from backend.audit.signers import origin
from backend.database.session import ReadSession, reading
from backend.errors import BadInput, WarrantError
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.leases import NOTIFIER, lease_of
from backend.notifications.channels.base import ask, web_address
from backend.notifications.pagers import Standing, stand
from backend.notifications.shifts import contacts_now
from backend.queue import WATCH_SELF, JobRun
from backend.settings import settings

KINDS: Final = ("webhook", "alertmanager")
HEARD_FOR: Final = (
    3  # heartbeats: Alertmanager takes the alert for resolved, and a page for silent, after so many
)


@dataclass(frozen=True)
class Receiver:
    """Who waits for a sign of life. `name`: for people and logs; the address often is a secret."""

    kind: str
    address: str
    number: int = 1  # of those of its kind at its host

    @property
    def name(self) -> str:
        host = urlsplit(self.address).netloc.rpartition("@")[2]
        return f"{self.kind} {host}" + (f" ({self.number})" if self.number > 1 else "")

    def tell(self, at: datetime, standing: Mapping[str, Standing] | None = None) -> None:
        """Say that a look at Warrant passed at `at`, and how channels stand. Raises `NotAnswered` or `NotTaken`."""
        broken = [one.name for one in (standing or {}).values() if one.problem]
        if self.kind == "webhook":
            ask(
                "POST",
                self.address,
                body={
                    "from": installation(),
                    "passed_at": clock.to_iso(at),
                    "broken_channels": broken,
                    "channels_took": {
                        one.name: clock.to_iso(one.taken_at) if one.taken_at else None
                        for one in (standing or {}).values()
                    },
                },
                quotes=False,
            )
            return
        ends = clock.now() + every() * HEARD_FOR
        alert = {
            "labels": {"alertname": "WarrantAlive", "severity": "none", "installation": installation()},
            "annotations": {
                "summary": "Warrant looked at itself and all of it worked; this must always fire.",
                "broken_channels": ", ".join(broken),
            },
            "endsAt": clock.to_iso(ends),
            "generatorURL": settings().console,
        }
        ask("POST", f"{self.address}/api/v2/alerts", body=[alert], quotes=False)


@dataclass(frozen=True)
class Beat:
    """What one receiver was last sent, and why it was not sent the newest."""

    receiver: str
    sent_at: datetime | None
    problem: str


@dataclass(frozen=True)
class HeartbeatState:
    """How Warrant did when it last looked at itself.

    problem    why no heartbeat leaves; empty: one does
    passed_at  when a look at all of it last passed
    """

    problem: str
    passed_at: datetime | None
    beats: tuple[Beat, ...]
    is_on: bool
    every_s: float


def installation() -> str:
    return origin().removesuffix("/audit")


def every() -> timedelta:
    return timedelta(seconds=settings().heartbeat_every_s)


def receivers() -> tuple[Receiver, ...]:
    """Of `WARRANT_HEARTBEAT`. Raises `BadInput`."""
    found: list[Receiver] = []
    for one in filter(None, (part.strip() for part in settings().heartbeat.split(","))):
        kind, _, address = one.partition(" ")
        if kind not in KINDS:
            raise BadInput(f"WARRANT_HEARTBEAT: each is `KIND ADDRESS`, and KIND one of {', '.join(KINDS)}")
        one_more = Receiver(kind, web_address(address.strip(), "WARRANT_HEARTBEAT"))
        same = sum(known.name.partition(" (")[0] == one_more.name for known in found)
        found.append(replace(one_more, number=same + 1))
    return tuple(found)


def is_look_due(session: ReadSession, now: datetime) -> bool:
    """Whether Warrant is to look at itself now: somebody waits for it, and the last look was asked for long enough
    ago. A setting that cannot be read is looked at too, so that it is said."""
    if not settings().heartbeat.strip():
        return False
    asked = session.scalar(
        select(JobRun.requested_at)
        .where(JobRun.name == WATCH_SELF.name)
        .order_by(JobRun.requested_at.desc())
        .limit(1)
    )
    return asked is None or now - asked >= every()


def last_passed(session: ReadSession) -> datetime | None:
    """When a look that passed was last over."""
    return session.scalar(
        select(JobRun.finished_at)
        .where(JobRun.name == WATCH_SELF.name, JobRun.state == "succeeded")
        .order_by(JobRun.finished_at.desc())
        .limit(1)
    )


def channels_now(session: ReadSession) -> dict[str, Standing]:
    """How the channels of the contacts stand; none where these cannot be read, which others say."""
    try:
        return stand(session, contacts_now(session), clock.now())
    except BadInput:
        return {}


def send_beats(sent: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Tell every receiver of the last look that passed, where it has not been told of it and that was not long ago.

    sent  what the last call gave: by receiver the look it was told of, when, and what went wrong
    """
    with reading() as session:
        passed = last_passed(session)
        standing = channels_now(session)
    told: dict[str, dict[str, Any]] = {}
    for one in receivers():
        before = dict(sent.get(one.name, {"look": "", "at": "", "problem": ""}))
        told[one.name] = before
        if passed is None or clock.now() - passed > 2 * every() or before["look"] == clock.to_iso(passed):
            continue
        try:
            one.tell(passed, standing)
        except WarrantError as error:
            before["problem"] = error.message
        else:
            told[one.name] = {"look": clock.to_iso(passed), "at": clock.to_iso(clock.now()), "problem": ""}
    return told


def heartbeat_state(session: ReadSession, viewer: Actor) -> HeartbeatState:
    """Whether somebody outside hears from Warrant now, and why not."""
    viewer.require_some(Permission.READ_JOBS)
    state = read_state(session)
    if (
        state.problem and viewer.models_with(Permission.READ_JOBS) is not None
    ):  # it may name what is not theirs
        return replace(state, problem="something is wrong; who sees the whole house sees what")
    return state


def read_state(session: ReadSession) -> HeartbeatState:
    """The same for the command line, which has the database anyway."""
    every_s = settings().heartbeat_every_s
    try:
        wanted = receivers()
    except BadInput as error:
        return HeartbeatState(error.message, None, (), is_on=True, every_s=every_s)
    if not wanted:
        return HeartbeatState("", None, (), is_on=False, every_s=every_s)
    lease = lease_of(session, NOTIFIER)
    status = (lease.status or {}) if lease is not None else {}
    told = status.get("beats", {})
    beats = tuple(_beat(one.name, told.get(one.name)) for one in wanted)
    passed = last_passed(session)
    unread = f"the worker cannot read the contacts: {status['problem']}" if status.get("problem") else ""
    problem = unread or _problem(session, passed, beats)
    return HeartbeatState(problem, passed, beats, is_on=True, every_s=every_s)


def _beat(name: str, told: Mapping[str, Any] | None) -> Beat:
    if told is None:
        return Beat(name, None, "")
    return Beat(name, clock.from_iso(told["at"]) if told["at"] else None, told["problem"])


def _problem(session: ReadSession, passed: datetime | None, beats: tuple[Beat, ...]) -> str:
    late = clock.now() - every() * HEARD_FOR
    newest = session.scalars(
        select(JobRun).where(JobRun.name == WATCH_SELF.name).order_by(JobRun.requested_at.desc()).limit(1)
    ).one_or_none()
    if newest is not None and newest.state == "failed":
        return newest.error
    if passed is None or passed < late:
        return "no look at Warrant itself has passed: does a worker run?"
    if away := next((one for one in beats if one.problem), None):
        return f"{away.receiver}: {away.problem}"
    silent = [one.receiver for one in beats if one.sent_at is None or one.sent_at < late]
    return (
        f"nothing was sent to {', '.join(silent)}: does a worker with the queue metrics run?"
        if silent
        else ""
    )

"""Causes that lie with the gateway: one version that is slow or fails, larger batches, a cold start, CPU, memory.

Each is told in figures of the time around the incident. What no gateway measured is `unknown`, never ruled out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.alerting.answers import p95_s
from backend.alerting.tables import Incident
from backend.database.session import ReadSession
from backend.deployment.tables import GatewayReport
from backend.identity.actor import Actor
from backend.serving.outcome_log import MINUTE, outcomes_between, versions_between
from backend.serving.outcomes import EDGES_S, Outcomes
from backend.serving.tables import GatewayMinute
from backend.serving.usage_log import usage_between

LEAD: Final = timedelta(minutes=20)  # what fires now began so long before it
LASTS: Final = timedelta(minutes=40)
BEFORE: Final = timedelta(hours=1)
FEWEST: Final = 20
SLOWER: Final = 2.0
LARGER: Final = 2.0
FAILED: Final = 0.01
BUSY, THROTTLED, FULL = 0.9, 0.05, 0.9
LATE_S: Final = 0.5
QUIET: Final = timedelta(minutes=3)  # a minute is written once it is over
Cause = tuple[str, str, str]  # name, verdict, evidence


def version_cause(
    session: ReadSession, viewer: Actor, incident: Incident, *, known: int | None = None
) -> Cause | None:
    """Whether one version answers slowly or with errors. `known`: one whose failures are told as a cause already; None
    where nothing is left to tell without it. Raises `NotFound` for a model that the viewer may not see."""
    start, end = _around(incident)
    return _versions(session, viewer, incident, start, max(end, start + MINUTE), known=known)


def batch_cause(session: ReadSession, viewer: Actor, incident: Incident) -> Cause:
    """Whether callers send more rows a request than in the hour before. Raises `NotFound` as `version_cause` does."""
    name = "callers send larger batches"
    start, end = _around(incident)
    place = (session, viewer, incident.model, incident.environment)
    before = outcomes_between(*place, start=start - BEFORE, end=start)
    now = outcomes_between(*place, start=start, end=max(end, start + MINUTE))
    if min(before.requests, now.requests) < FEWEST:
        return name, "unknown", f"not measured: fewer than {FEWEST} requests around it or in the hour before"
    usual, mean = before.rows / before.requests, now.rows / now.requests
    told = f"{mean:,.3g} rows a request, {usual:,.3g} in the hour before"
    if mean < LARGER * max(usual, 1.0):
        return name, "ruled_out", told
    slow, was = p95_s(now), p95_s(before)
    slower = was is not None and (slow or 2 * EDGES_S[-1]) >= SLOWER * was * 1.0001
    return name, "likely" if slower else "possible", f"{told}; {_answers(now)}; before, {_answers(before)}"


def gateway_causes(session: ReadSession, incident: Incident) -> list[Cause]:
    """(name, verdict, evidence) of each that lies with the gateways themselves."""
    start, end = _around(incident)
    minutes = usage_between(session, incident.environment, start=start, end=end)
    lost = _ended(minutes, end)
    return [
        _cold_start(session, incident, minutes, start, end),
        *(_unless_lost(cause, lost) for cause in (_cpu(minutes), _memory(minutes))),
    ]


def _ended(minutes: Sequence[GatewayMinute], end: datetime) -> list[str]:
    """The gateways of which a process ended by then: what it took in its last minute was never written."""
    newest = {(one.gateway_id, one.process): one for one in minutes}  # the last of each, as they are in order
    latest = {
        gateway: max(one.began_at for (other, _), one in newest.items() if other == gateway)
        for gateway, _ in newest
    }
    return sorted(
        {
            one.gateway_id
            for one in newest.values()
            if one.start + MINUTE < end - QUIET or one.began_at < latest[one.gateway_id]
        }
    )


def _unless_lost(cause: Cause, lost: Sequence[str]) -> Cause:
    """A process that is killed for want of memory takes the minute with it that would have said so."""
    name, verdict, told = cause
    if verdict != "ruled_out" or not lost:
        return cause
    return name, "unknown", f"{told}; the last minute of {', '.join(lost)}, which ended, is not on record"


def _around(incident: Incident) -> tuple[datetime, datetime]:
    start = (incident.opened_at - LEAD).replace(second=0, microsecond=0)
    return start, min(clock.now(), incident.closed_at or clock.now(), incident.opened_at + LASTS)


def _versions(
    session: ReadSession,
    viewer: Actor,
    incident: Incident,
    start: datetime,
    end: datetime,
    *,
    known: int | None,
) -> Cause | None:
    name = "one version answers slowly or with errors"
    place = (session, viewer, incident.model, incident.environment)
    before = outcomes_between(*place, start=start - BEFORE, end=start)
    found = [
        (version, outcomes_between(*place, start=start, end=end, version=version))
        for version in versions_between(*place, start=start, end=end)
    ]
    seen = [(version, one) for version, one in found if one.requests >= FEWEST]
    if not seen:
        few = sum(one.requests for _, one in found)
        return (
            name,
            "unknown",
            f"not measured: {few} requests around it, and {FEWEST} of a version are needed",
        )
    told = "; ".join(_told(version, one) for version, one in seen)
    usual = p95_s(before) if before.requests >= FEWEST else None
    told += f"; in the hour before, {_answers(before)}" if usual is not None else "; before, too few requests"
    bad = [version for version, one in seen if _is_bad(one, before, usual)]
    if str(known) in bad:
        bad.remove(str(known))
        if not bad:
            return None
    if bad:
        named = f"version {', '.join(bad)} answers slowly or with errors"
        return named, "likely" if len(bad) < len(seen) or len(seen) == 1 else "possible", told
    return name, "ruled_out" if usual is not None else "unknown", told


def _is_bad(one: Outcomes, before: Outcomes, usual: float | None) -> bool:
    """More errors than before, by a hundredth of the requests; or slower, by a factor, than before."""
    earlier = before.failed / before.requests if before.requests else 0.0
    if one.failed / one.requests > earlier + FAILED:
        return True
    return usual is not None and (p95_s(one) or 2 * EDGES_S[-1]) >= SLOWER * usual * 1.0001


def _told(version: str, one: Outcomes) -> str:
    return f"version {version}: {_answers(one)}"


def _answers(one: Outcomes) -> str:
    within = p95_s(one)
    slow = f"95 % within {within * 1000:g} ms" if within is not None else f"over 5 % above {EDGES_S[-1]:g} s"
    return f"{one.failed / one.requests:.1%} of {one.requests:,} requests failed, {slow}"


def _cold_start(
    session: ReadSession, incident: Incident, minutes: Sequence[GatewayMinute], start: datetime, end: datetime
) -> Cause:
    name = "a gateway or a version started cold"
    began = {
        one.gateway_id: one.began_at for one in minutes if start <= one.began_at < end
    }  # the newest process of each
    told = [f"{gateway} began {clock.to_words(at)}" for gateway, at in sorted(began.items())]
    told += _loads(session, incident, start, end)
    if told:
        return name, "possible", "; ".join(told)
    if not minutes:
        return name, "unknown", "not measured: no gateway told how it ran around it"
    return name, "ruled_out", "no gateway began and no version was loaded around it"


def _loads(session: ReadSession, incident: Incident, start: datetime, end: datetime) -> Iterator[str]:
    rows = session.scalars(
        select(GatewayReport)
        .where(
            GatewayReport.model == incident.model, GatewayReport.environment == incident.environment,
            GatewayReport.loaded_at >= start, GatewayReport.loaded_at < end,
        )
        .order_by(GatewayReport.gateway_id)
    )  # fmt: skip
    for row in rows:
        at = clock.to_words(row.loaded_at or start)
        took = f", which took {row.load_s:.1f} s" if row.load_s is not None else ""
        yield f"{row.gateway_id} loaded version {row.version} {at}{took}"


def _cpu(minutes: Sequence[GatewayMinute]) -> Cause:
    """The busiest minute; a minute that was measured for less than half of it says little."""
    name = "the gateway lacks CPU"
    whole = [one for one in minutes if one.seconds >= 30]
    if not whole:
        return name, "unknown", "not measured: no gateway told what it took around it"
    busy = max(whole, key=lambda one: one.cpu_s / one.seconds / one.cores)
    used = busy.cpu_s / busy.seconds
    told = f"at most {used:.2g} of {busy.cores:g} cores ({busy.gateway_id}, {clock.to_words(busy.start)})"
    held = [one for one in whole if one.throttled_s is not None]
    if held:
        worst = max(held, key=lambda one: (one.throttled_s or 0) / one.seconds)
        share = (worst.throttled_s or 0) / worst.seconds
        told += f"; held back by its quota for at most {share:.0%} of a minute"
    else:
        share, told = 0.0, f"{told}; whether a quota held it back is not measured here"
    late = max(one.lag_s for one in whole)
    told += f"; its loop was at most {late * 1000:,.0f} ms late"
    if used / busy.cores >= BUSY or share >= THROTTLED:
        return name, "likely", told
    if late >= LATE_S:
        return name, "possible", f"{told}, so others may have taken the machine"
    return name, "ruled_out" if held or used / busy.cores < BUSY / 2 else "unknown", told


def _memory(minutes: Sequence[GatewayMinute]) -> Cause:
    name = "the gateway runs out of memory"
    known = [one for one in minutes if one.memory_bytes is not None]
    if not known:
        return name, "unknown", "not measured: no gateway told what it took around it"
    most = max(known, key=lambda one: (one.memory_bytes or 0) / (one.memory_limit_bytes or 1 << 62))
    took = f"at most {(most.memory_bytes or 0) / (1 << 20):,.0f} MiB"
    if most.memory_limit_bytes is None:
        return name, "unknown", f"{took} ({most.gateway_id}); how much it may take is not known"
    share = (most.memory_bytes or 0) / most.memory_limit_bytes
    told = f"{took}, {share:.0%} of what it may take ({most.gateway_id}, {clock.to_words(most.start)})"
    return name, "likely" if share >= FULL else "ruled_out", told

"""How requests were answered around an incident, on one time axis: requests, the share that failed, and latency."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from backend import clock
from backend.alerting.answers import p95_s
from backend.alerting.tables import Incident
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.monitoring.page_points import Series
from backend.serving.outcome_log import HOUR, KEEP_MINUTES, MINUTE, outcomes_by_step
from backend.serving.outcomes import EDGES_S, Outcomes

BEFORE: Final = timedelta(hours=2)
AFTER: Final = timedelta(hours=4)
STEP: Final = 5 * MINUTE
NEW: Final = timedelta(minutes=30)
MOST_POINTS: Final = 56
STEPS: Final = tuple(minutes * MINUTE for minutes in (1, 5, 15, 30, 60, 120, 360, 720, 1440))
DAYS_AROUND: Final = timedelta(days=1)  # of an incident of which only hours are kept

Point = tuple[datetime, float | None, float | None, float | None, str]


def answers_around(session: ReadSession, viewer: Actor, incident: Incident) -> list[Series]:
    """From two hours before it was opened to its end, four hours at most, in steps of five minutes, of a minute while
    it is new; where minutes are gone, a day before and after by the hour. Only steps that are over.

    A gap: no gateway ran, or of shares that nobody asked. Empty where no gateway was heard of in all that time.
    """
    if not incident.model:
        return []
    start, end, step = _span(incident)
    steps = outcomes_by_step(
        session, viewer, incident.model, incident.environment, start=start, end=end, step=step
    )
    if not any(one.observed_s or one.requests for _, one in steps):
        return []
    return [
        Series("requests", tuple(_point(at, _requests(one)) for at, one in steps)),
        Series("failed, % of requests", tuple(_point(at, _failed(one)) for at, one in steps)),
        Series("95 % answered within, ms", tuple(_point(at, _latency(one)) for at, one in steps)),
    ]


def answers_over(
    session: ReadSession, viewer: Actor, incident: Incident, since: datetime, until: datetime
) -> list[Series]:
    """The share of requests that failed and latency over the time that figures of windows span, by whole hours: on
    their axis. Empty where no gateway was heard of."""
    start = since.replace(minute=0, second=0, microsecond=0)
    hours = max(1, -(-(until - start) // (MOST_POINTS * HOUR)))
    steps = outcomes_by_step(
        session, viewer, incident.model, incident.environment, start=start, end=until, step=hours * HOUR
    )
    if not any(one.observed_s or one.requests for _, one in steps):
        return []
    by = f"by {hours} h"
    return [
        Series(f"failed, % of requests, {by}", tuple(_point(at, _failed(one)) for at, one in steps)),
        Series(f"95 % answered within, ms, {by}", tuple(_point(at, _latency(one)) for at, one in steps)),
    ]


def answers_between(
    session: ReadSession, viewer: Actor, incident: Incident, since: datetime, until: datetime
) -> list[Series]:
    """Requests, the share that failed and latency of a range, in as short steps as are kept of it and not too many; of
    steps that are over. Empty where no gateway was heard of."""
    if not incident.model:
        return []
    end = min(until, clock.now())
    step = _step(since, end)
    start = datetime.fromtimestamp(since.timestamp() // step.total_seconds() * step.total_seconds(), UTC)
    end = start + (end - start) // step * step
    steps = outcomes_by_step(
        session, viewer, incident.model, incident.environment, start=start, end=end, step=step
    )
    if not any(one.observed_s or one.requests for _, one in steps):
        return []
    by = f"by {step // HOUR} h" if step >= HOUR else f"by {step // MINUTE} min"
    return [
        Series(f"requests, {by}", tuple(_point(at, _requests(one)) for at, one in steps), step),
        Series(f"failed, % of requests, {by}", tuple(_point(at, _failed(one)) for at, one in steps), step),
        Series(
            f"95 % answered within, ms, {by}", tuple(_point(at, _latency(one)) for at, one in steps), step
        ),
    ]


def _step(since: datetime, until: datetime) -> timedelta:
    kept = MINUTE if since >= clock.now() - KEEP_MINUTES else HOUR
    usual = next((one for one in STEPS if one >= kept and until - since <= MOST_POINTS * one), None)
    return usual or -(-(until - since) // (MOST_POINTS * HOUR)) * HOUR


def _span(incident: Incident) -> tuple[datetime, datetime, timedelta]:
    now = clock.now().replace(second=0, microsecond=0)
    opened = incident.opened_at
    if opened - BEFORE < now - KEEP_MINUTES:
        hour = opened.replace(minute=0, second=0, microsecond=0)
        return hour - DAYS_AROUND, min(now, hour + DAYS_AROUND), HOUR
    start = opened - BEFORE
    start = start.replace(minute=start.minute // 5 * 5, second=0, microsecond=0)
    end = min(now, (incident.closed_at or now) + STEP, opened + AFTER)
    if end - opened <= NEW:
        return start, end, MINUTE
    return start, start + (end - start) // STEP * STEP, STEP


def _point(at: datetime, value: float | None) -> Point:
    return at, value, None, None, "ok"


def _requests(one: Outcomes) -> float | None:
    return float(one.requests) if one.observed_s or one.requests else None


def _failed(one: Outcomes) -> float | None:
    return 100 * one.failed / one.requests if one.requests else None


def _latency(one: Outcomes) -> float | None:
    """The edge below which 95 % lie; the last edge where more than 5 % lie above it."""
    return (p95_s(one) or EDGES_S[-1]) * 1000 if one.requests else None

"""The request-outcome log: written by gateways, read for service levels, summed up by the hour.

`outcomes_between` answers for any time in whole minutes. Counts are those of requests that ended then; a gateway writes
them once a second, so the newest second is missing, and that much is lost by a kill -9.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, delete, or_, select, update

from backend import clock
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor
from backend.registry.service import get_model
from backend.serving.outcomes import Key, Minute, Outcomes
from backend.serving.tables import GatewayHour, RequestOutcome

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
KEEP_MINUTES: Final = timedelta(days=3)
KEEP_HOURS: Final = timedelta(days=400)
SETTLED_AFTER: Final = timedelta(minutes=2)  # an hour is summed up when its last minute has been written


def outcomes_between(
    session: ReadSession,
    viewer: Actor,
    model: str,
    environment: str,
    *,
    start: datetime,
    end: datetime,
    version: str | None = None,
) -> Outcomes:
    """What became of a model's requests in [start, end), both cut down to whole minutes.

    With `version` only of requests that it answered or failed ("several": batches whose rows several answered; "none":
    requests that were refused before a version was chosen). Raises `NotFound` for a model that the viewer may not see.
    """
    found = outcomes_by_step(
        session,
        viewer,
        model,
        environment,
        start=start,
        end=end,
        step=max(MINUTE, end - start),
        version=version,
    )
    return found[0][1] if found else Outcomes()


def outcomes_by_step(
    session: ReadSession,
    viewer: Actor,
    model: str,
    environment: str,
    *,
    start: datetime,
    end: datetime,
    step: timedelta,
    version: str | None = None,
) -> list[tuple[datetime, Outcomes]]:
    """The same for each step from `start` on, the last one cut off at `end`: (start of the step, outcomes).

    Steps without requests are there, too. `step` is whole minutes; of times older than `KEEP_MINUTES` whole hours are
    known, and an hour counts for the step in which it begins.
    """
    get_model(session, viewer, model)
    start, end = _minute(start), _minute(end)
    if end <= start:
        return []
    step = max(MINUTE, timedelta(seconds=step.total_seconds() // 60 * 60))
    steps = -(-(end - start) // step)
    totals = [Minute() for _ in range(steps)]
    observed_s = [0] * steps
    for row in _rows(session, _of(model, environment, version), start, end, step):
        totals[(row.start - start) // step].add(row.codes, row.kinds, row.buckets, row.seconds_sum, row.rows)
    for minute in _minutes_run(session, environment, start, end):
        observed_s[(minute - start) // step] += 60
    return [
        (start + number * step, replace(total.outcomes, observed_s=seconds))
        for number, (total, seconds) in enumerate(zip(totals, observed_s, strict=True))
    ]


def versions_between(
    session: ReadSession, viewer: Actor, model: str, environment: str, *, start: datetime, end: datetime
) -> list[str]:
    """The versions that ended requests in [start, end), without "several" and "none", lowest first."""
    get_model(session, viewer, model)
    found = session.scalars(
        select(RequestOutcome.version)
        .where(
            *_of(model, environment, None), RequestOutcome.start >= _minute(start), RequestOutcome.start < end,
            RequestOutcome.role != "shadow",
        )
        .distinct()
    )  # fmt: skip
    return sorted((one for one in found if one.isdigit()), key=int)


def write_outcomes(
    session: WriteSession,
    counts: Mapping[Key, Minute],
    *,
    environment: str,
    gateway_id: str,
    process: str,
) -> None:
    """What one gateway process counted. Doing it again, also with more, leaves what was counted last."""
    at = clock.now()
    for (model, version, role, start), minute in counts.items():
        session.merge(
            RequestOutcome(
                model=model, environment=environment, span_s=60, start=start, version=version, role=role,
                gateway_id=gateway_id, process=process, codes=dict(minute.codes), kinds=dict(minute.kinds),
                buckets=minute.buckets, seconds_sum=minute.seconds_sum, rows=minute.rows, in_hour=False, updated_at=at,
            )
        )  # fmt: skip
    session.flush()


def write_presence(
    session: WriteSession, minutes: Iterable[datetime], *, environment: str, gateway_id: str
) -> None:
    """The gateway ran in these minutes."""
    by_hour: dict[datetime, int] = defaultdict(int)
    for minute in minutes:
        by_hour[minute.replace(minute=0)] |= 1 << minute.minute
    for hour, mask in by_hour.items():
        row = session.get(GatewayHour, (environment, hour, gateway_id))
        if row is None:
            session.add(GatewayHour(environment=environment, hour=hour, gateway_id=gateway_id, minutes=mask))
        else:
            row.minutes |= mask
    session.flush()


def sum_up_outcomes(session: WriteSession, now: datetime) -> int:
    """Write hours whose minutes are new, and let old minutes and hours go. Gives how many hours were written.

    Doing it again, or in two processes, gives the same hours.
    """
    before = _hour(now - SETTLED_AFTER)
    new = session.execute(
        select(RequestOutcome.model, RequestOutcome.environment, RequestOutcome.version, RequestOutcome.role,
               RequestOutcome.start)
        .where(RequestOutcome.span_s == 60, RequestOutcome.in_hour.is_(False), RequestOutcome.start < before)
    ).all()  # fmt: skip
    places = {
        (model, environment, version, role, _hour(start)) for model, environment, version, role, start in new
    }
    for place in sorted(places):
        _sum_up(session, *place, at=now)
    session.execute(
        delete(RequestOutcome).where(
            or_(
                and_(
                    RequestOutcome.span_s == 60,
                    RequestOutcome.in_hour.is_(True),
                    RequestOutcome.start < _hour(now - KEEP_MINUTES),
                ),
                and_(RequestOutcome.span_s == 3600, RequestOutcome.start < _hour(now - KEEP_HOURS)),
            )
        )
    )
    session.execute(delete(GatewayHour).where(GatewayHour.hour < _hour(now - KEEP_HOURS)))
    session.flush()
    return len(places)


def _sum_up(
    session: WriteSession,
    model: str,
    environment: str,
    version: str,
    role: str,
    hour: datetime,
    *,
    at: datetime,
) -> None:
    minutes = and_(
        *_of(model, environment, version), RequestOutcome.role == role, RequestOutcome.span_s == 60,
        RequestOutcome.start >= hour, RequestOutcome.start < hour + HOUR,
    )  # fmt: skip
    total = Minute()
    for row in session.execute(_counts().where(minutes)):
        total.add(row.codes, row.kinds, row.buckets, row.seconds_sum, row.rows)
    session.merge(
        RequestOutcome(
            model=model, environment=environment, span_s=3600, start=hour, version=version, role=role,
            gateway_id="", process="", codes=dict(total.codes), kinds=dict(total.kinds), buckets=total.buckets,
            seconds_sum=total.seconds_sum, rows=total.rows, in_hour=False, updated_at=at,
        )
    )  # fmt: skip
    session.execute(update(RequestOutcome).where(minutes).values(in_hour=True))


def _rows(
    session: ReadSession,
    where: Sequence[ColumnElement[bool]],
    start: datetime,
    end: datetime,
    step: timedelta,
) -> Iterator[Row[Any]]:
    """Each request once: hours where they suit, and minutes before and after them."""
    first = start if start == _hour(start) else _hour(start) + HOUR
    newest = end - HOUR
    if step < end - start and (step % HOUR or first != start):  # minutes as far back as they go
        newest = min(newest, _hour(clock.now() - KEEP_MINUTES))
    until = first
    hours = _counts().where(
        *where, RequestOutcome.span_s == 3600, RequestOutcome.start >= first, RequestOutcome.start <= newest
    )
    for row in session.execute(hours):
        until = max(until, row.start + HOUR)
        yield row
    minutes = _counts().where(
        *where, RequestOutcome.span_s == 60, RequestOutcome.start >= start, RequestOutcome.start < end,
        or_(RequestOutcome.start < first, RequestOutcome.start >= until),
    )  # fmt: skip
    yield from session.execute(minutes)


def _counts() -> Select[Any]:
    return select(
        RequestOutcome.start, RequestOutcome.codes, RequestOutcome.kinds, RequestOutcome.buckets,
        RequestOutcome.seconds_sum, RequestOutcome.rows,
    )  # fmt: skip


def _of(model: str, environment: str, version: str | None) -> list[ColumnElement[bool]]:
    where = [RequestOutcome.model == model, RequestOutcome.environment == environment]
    return where if version is None else [*where, RequestOutcome.version == version]


def _minutes_run(session: ReadSession, environment: str, start: datetime, end: datetime) -> list[datetime]:
    """The minutes in which any gateway ran."""
    masks: dict[datetime, int] = defaultdict(int)
    rows = session.scalars(
        select(GatewayHour).where(
            GatewayHour.environment == environment, GatewayHour.hour >= _hour(start), GatewayHour.hour < end
        )
    )
    for row in rows:
        masks[row.hour] |= row.minutes
    return [
        minute
        for hour, mask in masks.items()
        for number in range(60)
        if mask >> number & 1 and start <= (minute := hour + number * MINUTE) < end
    ]


def _minute(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)

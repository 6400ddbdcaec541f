"""Counting what was used. Job runs are added as they end; the rest is counted again from what other tables keep."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as insert_on_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_on_sqlite

from backend.costs.kinds import kinds_of
from backend.costs.tables import UsageDay
from backend.database.session import ReadSession, WriteSession
from backend.governance.tables import Change
from backend.registry.tables import Model
from backend.retraining.tables import RetrainingRun, RetrainingStep
from backend.serving.tables import GatewayMinute, RequestOutcome

DAY: Final = timedelta(days=1)
# How far back each is counted again: what is kept by the minute for three days is whole for two.
TRAINING_AGAIN: Final = timedelta(days=40)
REQUESTS_AGAIN: Final = timedelta(days=7)
GATEWAYS_AGAIN: Final = timedelta(days=2)
KEEP: Final = timedelta(days=800)
_CHANGE: Final = re.compile(r"CHG-(\d+)\b")


def day_of(moment: datetime) -> datetime:
    """Its midnight, UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def model_of(session: ReadSession, subject: str) -> str:
    """The model that a job run is about: `flights`, `flights/production`, `CHG-3`; "" where it is none."""
    change = _CHANGE.match(subject)
    if change is not None:
        return session.scalar(select(Change.model).where(Change.id == int(change[1]))) or ""
    name = subject.split("/")[0].split(" ")[0]
    return session.scalar(select(Model.name).where(Model.name == name)) or ""


def add_run(
    session: WriteSession, *, subject: str, processor_s: float, clock_s: float, ended_at: datetime
) -> None:
    """Add what a job run took. Last in its transaction: its rows are those of everybody who works for the model."""
    model, day = model_of(session, subject), day_of(ended_at)
    insert = insert_on_sqlite if session.get_bind().dialect.name == "sqlite" else insert_on_postgresql
    for kind, amount in (("job_clock", clock_s), ("job_processor", processor_s)):
        statement = insert(UsageDay).values(model=model, kind=kind, day=day, amount=max(amount, 0.0))
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["model", "kind", "day"],
                set_={"amount": UsageDay.amount + statement.excluded.amount},
            )
        )


def count_again(session: WriteSession, now: datetime) -> int:
    """Training, GPUs, requests and gateways of the last days, from the tables that keep them. Gives how many rows."""
    today = day_of(now)
    found = {
        **_training(session, today - TRAINING_AGAIN),
        **_requests(session, today - REQUESTS_AGAIN, today),
        **_gateways(session, today - GATEWAYS_AGAIN),
    }
    for kind, since in (("training", TRAINING_AGAIN), ("gpu", TRAINING_AGAIN), ("requests", REQUESTS_AGAIN),
                        ("gateway_processor", GATEWAYS_AGAIN)):  # fmt: skip
        session.execute(delete(UsageDay).where(UsageDay.kind == kind, UsageDay.day >= today - since))
    session.add_all(
        UsageDay(model=model, kind=kind, day=day, amount=amount)
        for (model, kind, day), amount in found.items()
        if amount > 0
    )
    session.execute(delete(UsageDay).where(UsageDay.day < today - KEEP))
    session.flush()
    return len(found)


def is_storage_measured(session: ReadSession, now: datetime) -> bool:
    """Whether bytes were measured today."""
    measured = select(UsageDay.model).where(
        UsageDay.kind.in_(kinds_of("storage")), UsageDay.day == day_of(now)
    )
    return session.scalars(measured.limit(1)).first() is not None


def keep_storage(session: WriteSession, sizes: Mapping[tuple[str, str], int], now: datetime) -> None:
    """Bytes by (model, kind), as they are today. Measuring again replaces what was measured this day."""
    day = day_of(now)
    session.execute(delete(UsageDay).where(UsageDay.kind.in_(kinds_of("storage")), UsageDay.day == day))
    session.add_all(
        UsageDay(model=model, kind=kind, day=day, amount=float(size)) for (model, kind), size in sizes.items()
    )
    session.flush()


def _training(session: ReadSession, since: datetime) -> dict[tuple[str, str, datetime], float]:
    """By the day on which a step last ended."""
    amounts: dict[tuple[str, str, datetime], float] = defaultdict(float)
    rows = session.execute(
        select(
            RetrainingRun.model,
            RetrainingStep.finished_at,
            RetrainingStep.seconds,
            RetrainingStep.gpu_seconds,
        )
        .join(RetrainingRun, RetrainingRun.id == RetrainingStep.run_id)
        .where(RetrainingStep.finished_at >= since)
    )
    for model, at, seconds, gpu_seconds in rows:
        day = day_of(at or since)
        amounts[model, "training", day] += seconds
        amounts[model, "gpu", day] += gpu_seconds
    return amounts


def _requests(
    session: ReadSession, since: datetime, today: datetime
) -> dict[tuple[str, str, datetime], float]:
    """Hours that were summed up, and minutes that are in no hour yet."""
    amounts: dict[tuple[str, str, datetime], float] = {}
    day = since
    while day <= today:
        rows = session.execute(
            select(RequestOutcome.model, func.sum(RequestOutcome.seconds_sum))
            .where(
                RequestOutcome.start >= day, RequestOutcome.start < day + DAY,
                (RequestOutcome.span_s == 3600) | RequestOutcome.in_hour.is_(False),
            )
            .group_by(RequestOutcome.model)
        )  # fmt: skip
        for model, seconds in rows:
            amounts[model, "requests", day] = float(seconds or 0.0)
        day += DAY
    return amounts


def _gateways(session: ReadSession, since: datetime) -> dict[tuple[str, str, datetime], float]:
    amounts: dict[tuple[str, str, datetime], float] = defaultdict(float)
    rows = session.execute(
        select(GatewayMinute.start, GatewayMinute.cpu_s).where(GatewayMinute.start >= since)
    )
    for start, seconds in rows:
        amounts["", "gateway_processor", day_of(start)] += seconds
    return amounts

"""Minutes of what gateways took of their machines, in the database: written by gateways, read beside incidents."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select

from backend.database.session import ReadSession, WriteSession
from backend.serving.tables import GatewayMinute
from backend.serving.usage import UsageMeter, UsageMinute

KEEP: Final = timedelta(days=3)


def write_usage(
    session: WriteSession, minutes: Iterable[UsageMinute], meter: UsageMeter, *, environment: str, gateway_id: str,
    process: str,
) -> None:  # fmt: skip
    """Doing it again changes nothing."""
    for one in minutes:
        session.merge(
            GatewayMinute(
                environment=environment, start=one.start, gateway_id=gateway_id, process=process,
                began_at=meter.began_at, seconds=one.seconds, cpu_s=one.cpu_s, cores=meter.cores,
                throttled_s=one.throttled_s, memory_bytes=one.memory_bytes,
                memory_limit_bytes=meter.memory_limit_bytes, lag_s=one.lag_s,
            )
        )  # fmt: skip
    session.flush()


def usage_between(
    session: ReadSession, environment: str, *, start: datetime, end: datetime
) -> list[GatewayMinute]:
    """Every minute of every gateway that began in [start, end), oldest first. Says nothing of models."""
    return list(
        session.scalars(
            select(GatewayMinute)
            .where(
                GatewayMinute.environment == environment, GatewayMinute.start >= start, GatewayMinute.start < end
            )
            .order_by(GatewayMinute.start, GatewayMinute.gateway_id)
        )
    )  # fmt: skip


def forget_usage(session: WriteSession, now: datetime) -> None:
    session.execute(delete(GatewayMinute).where(GatewayMinute.start < now - KEEP))

"""What became of requests, minute by minute, and when gateways ran."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base


class RequestOutcome(Base):
    """Requests of one minute that one gateway process ended, or of one hour of all of them.

    A minute is written again and again with all that was counted so far, so writing it twice changes nothing. An hour
    is the sum of its minutes, made anew when one of them comes late; minutes go after some days. Requests for models
    that are not registered stand under the model "".
    """

    __tablename__ = "request_outcomes"

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    environment: Mapped[str] = mapped_column(Text, primary_key=True)
    span_s: Mapped[int] = mapped_column(primary_key=True)  # 60 | 3600
    start: Mapped[datetime] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(Text, primary_key=True)  # a number, several, or none
    role: Mapped[str] = mapped_column(Text, primary_key=True)
    gateway_id: Mapped[str] = mapped_column(Text, primary_key=True)  # an hour: ""
    process: Mapped[str] = mapped_column(Text, primary_key=True)  # counts begin again with each; an hour: ""
    codes: Mapped[dict[str, Any]]  # requests by HTTP status
    kinds: Mapped[dict[str, Any]]  # those without a prediction: backend.serving.outcomes.KINDS
    buckets: Mapped[list[Any]]  # requests by duration, not cumulative: backend.serving.outcomes.EDGES_S
    seconds_sum: Mapped[float]
    rows: Mapped[int] = mapped_column(BigInteger, default=0)  # in the bodies that were read
    in_hour: Mapped[bool] = mapped_column(default=False)  # of a minute: its hour holds it
    updated_at: Mapped[datetime]

    __table_args__ = (Index("ix_request_outcomes_in_hour", "span_s", "in_hour", "start"),)


class GatewayHour(Base):
    """In which minutes of an hour a gateway ran."""

    __tablename__ = "gateway_hours"

    environment: Mapped[str] = mapped_column(Text, primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    gateway_id: Mapped[str] = mapped_column(Text, primary_key=True)
    minutes: Mapped[int] = mapped_column(BigInteger)  # bit n: minute n


class GatewayMinute(Base):
    """What one gateway process took of its machine in one minute; None: the system does not tell."""

    __tablename__ = "gateway_minutes"

    environment: Mapped[str] = mapped_column(Text, primary_key=True)
    start: Mapped[datetime] = mapped_column(primary_key=True)
    gateway_id: Mapped[str] = mapped_column(Text, primary_key=True)
    process: Mapped[str] = mapped_column(Text, primary_key=True)
    began_at: Mapped[datetime]  # when the process began
    seconds: Mapped[float]  # how much of the minute was measured
    cpu_s: Mapped[float]
    cores: Mapped[float]  # how many it may use
    throttled_s: Mapped[float | None]  # held back by its CPU quota
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)  # resident, the most of the minute
    memory_limit_bytes: Mapped[int | None] = mapped_column(BigInteger)
    lag_s: Mapped[float]  # how late its loop was at worst

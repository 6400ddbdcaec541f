"""Service-level indicators, as last read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base


class SliReading(Base):
    """A service-level indicator read from Prometheus (or the observation store) by a job."""

    __tablename__ = "sli_readings"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    environment: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)  # availability | latency_p95 | requests
    source: Mapped[str] = mapped_column(Text)  # prometheus | gateway
    value: Mapped[float | None]
    unit: Mapped[str] = mapped_column(Text)
    window_s: Mapped[int]
    events: Mapped[float | None]
    read_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text, default="")
    details: Mapped[dict[str, Any] | None]

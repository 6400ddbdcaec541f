"""What people add to monitoring: their monitors, and figures of their own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class MonitorVersion(Base):
    """One version of a monitor: every change, pause and deletion is a new row, and the old ones stay.

    `key` is the monitor; the row without `superseded_at` is what holds now.
    """

    __tablename__ = "monitors"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(Text)
    number: Mapped[int]
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    environment: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    definition: Mapped[dict[str, Any]]  # read by backend.monitoring.monitors.parse_monitor
    state: Mapped[str] = mapped_column(Text, default="active")  # active | paused | deleted
    why: Mapped[str] = mapped_column(Text, default="")
    made_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    made_at: Mapped[datetime]
    superseded_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("key", "number"),
        Index(
            "uq_monitors_present_key", "key", unique=True,
            sqlite_where=text("superseded_at IS NULL"), postgresql_where=text("superseded_at IS NULL"),
        ),
        Index(
            "uq_monitors_present_name", "model", "environment", "name", unique=True,
            sqlite_where=text("superseded_at IS NULL AND state <> 'deleted'"),
            postgresql_where=text("superseded_at IS NULL AND state <> 'deleted'"),
        ),
    )  # fmt: skip


class KpiRow(Base):
    """One row of a figure of the user's own: an event, or a figure somebody else already added up.

    `row_key` is the row's id where it came with one, else its time, name and segment: sending it again stores it once,
    and another value replaces it.
    """

    __tablename__ = "kpi_values"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    environment: Mapped[str] = mapped_column(Text)
    row_key: Mapped[str] = mapped_column(Text)
    ts: Mapped[datetime]
    name: Mapped[str] = mapped_column(Text)
    segment: Mapped[str] = mapped_column(Text, default="")  # "" none
    value: Mapped[float]
    stored_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("model", "environment", "row_key"),
        Index("ix_kpi_values_model_ts", "model", "environment", "ts"),
    )

"""Alerts, and the incidents people handle."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class Incident(Base):
    __tablename__ = "incidents"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    environment: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="open")  # open | closed
    title: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    closed_at: Mapped[datetime | None]
    closed_by_change: Mapped[int | None] = mapped_column(BigId)
    closed_because: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (
        Index(
            "uq_incidents_open_model", "model", "environment", unique=True,
            sqlite_where=text("state = 'open'"), postgresql_where=text("state = 'open'"),
        ),
    )  # fmt: skip


class Alert(Base):
    """Something that fired. One row is open per fingerprint: firing again refreshes it, it does not pile up."""

    __tablename__ = "alerts"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    fingerprint: Mapped[str] = mapped_column(Text)  # model/environment/kind/column/statistic
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    environment: Mapped[str] = mapped_column(Text)
    version: Mapped[int | None]
    kind: Mapped[str] = mapped_column(Text)
    level: Mapped[str] = mapped_column(Text)  # page | ticket | info
    state: Mapped[str] = mapped_column(Text, default="firing")  # firing | resolved
    title: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]]  # column, statistic, value, threshold, rows, window, injected
    since: Mapped[datetime]  # start of the first window that fired
    fired_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"), index=True)

    __table_args__ = (
        Index(
            "uq_alerts_firing_fingerprint", "fingerprint", unique=True,
            sqlite_where=text("state = 'firing'"), postgresql_where=text("state = 'firing'"),
        ),
    )  # fmt: skip

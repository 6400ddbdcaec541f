"""Incidents that were marked serious: their clocks, the rules these come from, and what was kept of the state."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class SeriousRules(Base):
    """One revision of the clocks that a serious incident can start. The highest one is in force."""

    __tablename__ = "serious_rules"

    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]]
    note: Mapped[str] = mapped_column(Text)
    made_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    made_at: Mapped[datetime]


class SeriousIncident(Base):
    """That an incident is serious, who said so, and since when the house knows."""

    __tablename__ = "serious_incidents"

    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), primary_key=True)
    why: Mapped[str] = mapped_column(Text)
    aware_at: Mapped[datetime]
    marked_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    marked_at: Mapped[datetime]


class SeriousClock(Base):
    """One time limit of a serious incident: from when it runs, who set that, and when it was met."""

    __tablename__ = "serious_clocks"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), index=True)
    rule: Mapped[str] = mapped_column(Text)
    rules_revision: Mapped[int]
    title: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    days: Mapped[float]
    starts_at: Mapped[datetime]
    set_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    due_at: Mapped[datetime]
    met_at: Mapped[datetime | None]
    met_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    evidence: Mapped[str] = mapped_column(Text, default="")
    # what it was set to before, oldest first: {"starts_at", "due_at", "set_by", "until", "was_over", "why"}
    earlier: Mapped[list[dict[str, Any]]] = mapped_column(default=list)


class StateSnapshot(Base):
    """What was the case when an incident was marked, or just before a version was left. Named by its digest."""

    __tablename__ = "state_snapshots"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), index=True)
    change_id: Mapped[int | None] = mapped_column(ForeignKey("changes.id"))  # None: when it was marked
    digest: Mapped[str] = mapped_column(Text)
    document: Mapped[dict[str, Any]]
    taken_at: Mapped[datetime]

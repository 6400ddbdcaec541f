"""The deployment record: what serves, what served, and what each gateway reports."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class Deployment(Base):
    """A period in which one version served in one environment, with a role. Production is what this says.

    `starting` until a gateway reports the version, then `serving`; `ended` or `failed` when `ended_at` is set.
    At most one champion of a model is open per environment (a partial unique index keeps it so).
    """

    __tablename__ = "deployments"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    environment: Mapped[str] = mapped_column(Text)
    version: Mapped[int]
    role: Mapped[str] = mapped_column(Text, default="champion")  # champion | canary | shadow
    share: Mapped[float] = mapped_column(default=1.0)
    state: Mapped[str] = mapped_column(Text, default="starting")  # starting | serving | ended | failed
    started_at: Mapped[datetime]
    serving_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    change_id: Mapped[int | None] = mapped_column(ForeignKey("changes.id"))
    reason: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (
        ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
        Index(
            "uq_deployments_open_champion", "model", "environment", unique=True,
            sqlite_where=text("ended_at IS NULL AND role = 'champion'"),
            postgresql_where=text("ended_at IS NULL AND role = 'champion'"),
        ),
        Index("ix_deployments_model_started_at", "model", "environment", "started_at"),
    )  # fmt: skip


class GatewayReport(Base):
    """What one gateway says it serves for one model. A report older than a few seconds counts for nothing."""

    __tablename__ = "gateway_reports"

    gateway_id: Mapped[str] = mapped_column(Text, primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    environment: Mapped[str] = mapped_column(Text)
    deployment_id: Mapped[int | None] = mapped_column(ForeignKey("deployments.id"))
    version: Mapped[int | None]
    loaded_at: Mapped[datetime | None]
    reported_at: Mapped[datetime]
    error: Mapped[str | None] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)

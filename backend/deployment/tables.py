"""The deployment record: what serves, what served, and what each gateway reports."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class Deployment(Base):
    """A period in which one version served in one environment, with a role. Production is what this says.

    `starting` until a gateway reports the version, then `serving`; `ended` or `failed` when `ended_at` is set.
    At most one champion of a model is open per environment (a partial unique index keeps it so). Another share is
    another row: a row says one thing for the whole of its period.
    """

    __tablename__ = "deployments"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    environment: Mapped[str] = mapped_column(Text)
    version: Mapped[int]
    role: Mapped[str] = mapped_column(Text, default="champion")  # champion | canary | shadow
    # Of the requests. A champion has what the canaries beside it leave; 0: a shadow, or a version that is kept loaded.
    share: Mapped[float] = mapped_column(default=1.0)
    # {column: values}: the share is one of the rows of these segments alone; {}: of all rows
    segments: Mapped[dict[str, Any]] = mapped_column(default=dict)
    cutoff: Mapped[float]  # score at or above which the prediction is positive
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
    load_s: Mapped[float | None]  # fetching, checking and loading its artefact
    reported_at: Mapped[datetime]
    error: Mapped[str | None] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    # canaries and shadows: deployment_id, version, role, share, segments, loaded, error
    beside: Mapped[list[dict[str, Any]]] = mapped_column(default=list)


class Telling(Base):
    """How the last look found a target, or MLflow's alias, against what the record says under one change.

    A change owns a model in an environment until a later one moves it; older rows stay as what was then.
    """

    __tablename__ = "target_tellings"

    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"), primary_key=True)
    target: Mapped[str] = mapped_column(Text, primary_key=True)  # backend.deployment.targets, or "mlflow"
    key: Mapped[str] = mapped_column(Text)  # of what was wanted
    checked_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]  # since when it is so; None: not yet, or not any more
    problem: Mapped[str] = mapped_column(Text, default="")
    told_again_at: Mapped[datetime | None]
    told_again: Mapped[int] = mapped_column(default=0)  # how often


class ServingTally(Base):
    """What one gateway process counted of one deployment while another one was tried beside it.

    `tried` names that stage of a rollout; for the tally of the version on trial both are the same deployment.
    """

    __tablename__ = "serving_tallies"

    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"), primary_key=True)
    tried: Mapped[int] = mapped_column(ForeignKey("deployments.id"), primary_key=True, index=True)
    gateway_id: Mapped[str] = mapped_column(Text, primary_key=True)
    process: Mapped[str] = mapped_column(Text, primary_key=True)  # counts begin again with each process
    rows: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)  # rows that the version could not score
    scored: Mapped[int] = mapped_column(BigInteger)  # rows with a score
    score_sum: Mapped[float]
    buckets: Mapped[dict[str, Any]]  # rows by time of their pass: backend.serving.tallies.bucket_of
    updated_at: Mapped[datetime]

"""Runs of the retraining pipeline, their steps, and the causes for which triggers opened them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base


class RetrainingRun(Base):
    """One run of the pipeline, started by the execution of a change of kind `retrain`; one for each such change."""

    __tablename__ = "retraining_runs"

    id: Mapped[str] = mapped_column(Text, primary_key=True)  # retrain-<change>
    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"), unique=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    environment: Mapped[str] = mapped_column(Text)
    plan: Mapped[dict[str, Any]]  # backend.retraining.plan.Plan, as it was approved
    parent: Mapped[int | None]  # the version that served when it was asked for
    queue: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="queued")  # queued|running|succeeded|failed|cancelled
    times: Mapped[int] = mapped_column(default=1)  # how often it was begun: each has a job of its own
    requested_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    requested_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_asked_at: Mapped[datetime | None]
    cancel_asked_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    cancel_reason: Mapped[str] = mapped_column(Text, default="")
    version: Mapped[int | None]  # what it registered
    promote_change_id: Mapped[int | None] = mapped_column(ForeignKey("changes.id"))
    outcome: Mapped[str] = mapped_column(Text, default="")


class RetrainingStep(Base):
    """One step of a run: how far it is, what it said and found, and what it cost."""

    __tablename__ = "retraining_steps"

    run_id: Mapped[str] = mapped_column(ForeignKey("retraining_runs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    state: Mapped[str] = mapped_column(Text)  # running | finished | failed | cancelled
    attempts: Mapped[int] = mapped_column(default=1)
    progress: Mapped[float] = mapped_column(default=0.0)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    seconds: Mapped[float] = mapped_column(default=0.0)  # of all its attempts that ended
    gpu_seconds: Mapped[float] = mapped_column(
        default=0.0
    )  # for which GPUs were held, each counted; likewise
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    log: Mapped[list[str]]  # the newest lines
    curve: Mapped[list[dict[str, Any]]]  # what a trainer wrote into metrics.jsonl, thinned out
    result: Mapped[dict[str, Any]]  # what later steps need, and pages show


class RetrainingCause(Base):
    """Why a trigger wants a retraining. The same cause opens one change, however often it is seen."""

    __tablename__ = "retraining_causes"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    environment: Mapped[str] = mapped_column(Text, primary_key=True)
    cause: Mapped[str] = mapped_column(
        Text, primary_key=True
    )  # "alert 17", "incident 3", "schedule 2026-11-22"
    trigger: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    seen_at: Mapped[datetime]
    held_because: Mapped[str] = mapped_column(Text, default="")  # why no change was opened for it yet
    change_id: Mapped[int | None] = mapped_column(ForeignKey("changes.id"))

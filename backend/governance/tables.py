"""Changes to production, the decisions on them, and the runs that execute them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.database.base import Base, new_id
from backend.database.types import BigId


class Change(Base):
    """A request to alter production. `bound` holds every digest the approval covers; `digest` is what is signed.

    state: waiting -> approved -> executing -> executed | failed; or rejected, cancelled, expired, void.
    """

    __tablename__ = "changes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(Text)  # promote | rollback
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    environment: Mapped[str] = mapped_column(Text)
    from_version: Mapped[int | None]
    to_version: Mapped[int]
    state: Mapped[str] = mapped_column(Text, default="waiting", index=True)
    requested_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    requested_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text)
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))
    alert_id: Mapped[int | None] = mapped_column(ForeignKey("alerts.id"))
    policy: Mapped[dict[str, Any]]  # the policy in force when it was asked: roles, quorum, lifetime
    bound: Mapped[
        dict[str, Any]
    ]  # {"artefact", "reference", "card", "policy", "metrics", "target"} -> digest
    evidence: Mapped[dict[str, Any]]  # what deciders see, frozen: rendered again later exactly so
    digest: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime]
    run_id: Mapped[str | None] = mapped_column(Text)
    step: Mapped[str] = mapped_column(Text, default="")
    outcome: Mapped[str] = mapped_column(Text, default="")  # why it failed, what was restored
    finished_at: Mapped[datetime | None]
    decisions: Mapped[list[Decision]] = relationship(lazy="selectin", order_by="Decision.decided_at")

    __table_args__ = (Index("ix_changes_model_requested_at", "model", "requested_at"),)


class Decision(Base):
    """One person's word on a change, on exactly the digest they saw."""

    __tablename__ = "decisions"

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=lambda: new_id("dec"))
    change_id: Mapped[int] = mapped_column(ForeignKey("changes.id"), index=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    verdict: Mapped[str] = mapped_column(Text)  # approve | reject
    comment: Mapped[str] = mapped_column(Text)
    seen_digest: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)  # the role that made it count
    decided_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("change_id", "person_id"),)

"""Validations with their conditions, findings, exceptions from rules, and the papers behind them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.database.base import Base
from backend.database.types import BigId


class Document(Base):
    """A file that somebody handed in, named by the digest of its bytes. Never altered, never replaced."""

    __tablename__ = "documents"

    digest: Mapped[str] = mapped_column(Text, primary_key=True)  # sha256:<hex>
    name: Mapped[str] = mapped_column(Text)  # as it was called when it was first handed in
    media_type: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int]
    added_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    added_at: Mapped[datetime]


class Validation(Base):
    """What somebody who neither built nor owns a model found when they looked at it. Never altered."""

    __tablename__ = "validations"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    version: Mapped[int | None]  # None: the model as a whole
    scope: Mapped[str] = mapped_column(Text)  # what was looked at, and what was not
    outcome: Mapped[str] = mapped_column(Text)  # fit | fit_with_conditions | not_fit
    summary: Mapped[str] = mapped_column(Text)
    report: Mapped[str] = mapped_column(ForeignKey("documents.digest"))
    validator: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    barred: Mapped[dict[str, Any]]  # person -> why they could not have been the validator, as it was then
    recorded_at: Mapped[datetime]
    next_review_at: Mapped[datetime | None]
    conditions: Mapped[list[ValidationCondition]] = relationship(
        lazy="selectin", order_by="ValidationCondition.id"
    )


class ValidationCondition(Base):
    """What a validation asks for by a day. Not met by then, it has lapsed."""

    __tablename__ = "validation_conditions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    validation_id: Mapped[int] = mapped_column(ForeignKey("validations.id"), index=True)
    text: Mapped[str] = mapped_column(Text)
    due_at: Mapped[datetime]
    met_at: Mapped[datetime | None]
    met_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))  # who accepted the evidence
    evidence: Mapped[str] = mapped_column(Text, default="")
    document: Mapped[str | None] = mapped_column(ForeignKey("documents.digest"))


class Finding(Base):
    """Something wrong that somebody has to mend by a day, and that somebody else closes."""

    __tablename__ = "findings"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str | None] = mapped_column(ForeignKey("models.name"), index=True)  # None: the whole house
    validation_id: Mapped[int | None] = mapped_column(ForeignKey("validations.id"))
    source: Mapped[str | None] = mapped_column(Text, unique=True)  # what found it by itself; None: a person
    title: Mapped[str] = mapped_column(Text)
    detail: Mapped[str] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(Text)  # high | medium | low
    state: Mapped[str] = mapped_column(Text, default="open")  # open | answered | closed
    owner_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), index=True)
    owners: Mapped[list[str]]  # everyone who ever owned it: none of them closes it
    due_at: Mapped[datetime]
    plan: Mapped[str] = mapped_column(Text, default="")
    answer: Mapped[str] = mapped_column(Text, default="")  # what the owner says was done
    answered_at: Mapped[datetime | None]
    opened_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))  # None: Warrant itself
    opened_at: Mapped[datetime]
    closed_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    closed_at: Mapped[datetime | None]
    evidence: Mapped[str] = mapped_column(Text, default="")
    document: Mapped[str | None] = mapped_column(ForeignKey("documents.digest"))

    __table_args__ = (Index("ix_findings_state_due_at", "state", "due_at"),)


class PolicyException(Base):
    """Leave for one model not to pass one gate, for a time. It counts while it is granted and not over."""

    __tablename__ = "policy_exceptions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    gate: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    asked_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    asked_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(Text, default="asked")  # asked | granted | refused | ended
    expires_at: Mapped[datetime]
    decided_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    decided_at: Mapped[datetime | None]
    comment: Mapped[str] = mapped_column(Text, default="")
    ended_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    ended_at: Mapped[datetime | None]
    ended_because: Mapped[str] = mapped_column(Text, default="")

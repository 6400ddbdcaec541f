"""What the inventory keeps of models beside what is measured: facts by people, the questionnaire, its answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class ModelFacts(Base):
    """What people say of a model: purpose, data, whose it is. `vendor`: who serves it; then no artefact is here."""

    __tablename__ = "model_facts"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    purpose: Mapped[str] = mapped_column(Text, default="")
    data: Mapped[str] = mapped_column(Text, default="")  # what it learnt from and is given, and whose it is
    vendor: Mapped[str] = mapped_column(Text, default="")
    contact: Mapped[str] = mapped_column(Text, default="")
    owners: Mapped[list[str]]  # everyone who ever owned it: none of them vouches for it
    next_review_at: Mapped[datetime | None]
    kept_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    kept_at: Mapped[datetime]


class Questionnaire(Base):
    """One revision of the questions from whose answers a risk tier follows. The highest one is asked."""

    __tablename__ = "questionnaires"

    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text)
    made_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    made_at: Mapped[datetime]


class TierAnswers(Base):
    """Answers about one model to one revision, and the tier that follows. They propose; a change decides."""

    __tablename__ = "tier_answers"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    revision: Mapped[int]
    digest: Mapped[str] = mapped_column(Text)  # of the questionnaire that was answered
    answers: Mapped[dict[str, Any]]  # question -> option
    levels: Mapped[dict[str, Any]]  # axis -> level
    tier: Mapped[str] = mapped_column(Text)  # proposed
    note: Mapped[str] = mapped_column(Text)
    answered_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    answered_at: Mapped[datetime]

"""What each model used, day by day, and the budgets that people set."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base


class UsageDay(Base):
    """How much of one thing a model used on one UTC day. Model "": Warrant itself, or not to be told apart."""

    __tablename__ = "usage_days"

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)  # backend.costs.kinds.KINDS
    day: Mapped[datetime] = mapped_column(primary_key=True, index=True)  # its midnight, UTC
    amount: Mapped[float]  # seconds; of storage, the bytes that were there when it was last measured


class CostBudget(Base):
    """What a model may use in a calendar month (UTC), or hold."""

    __tablename__ = "cost_budgets"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)  # backend.costs.kinds.BUDGETS
    amount: Mapped[float]  # hours, GB, or money
    set_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    set_at: Mapped[datetime]

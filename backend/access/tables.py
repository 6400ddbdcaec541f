"""Reviews of access: what everybody can do, each item looked at by somebody else and kept or revoked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class AccessReview(Base):
    """One campaign: what there was when it began, to be answered by a day."""

    __tablename__ = "access_reviews"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    title: Mapped[str] = mapped_column(Text)
    started_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    started_at: Mapped[datetime]
    due_at: Mapped[datetime]
    reviewer: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))  # None: whoever may review access
    scope: Mapped[dict[str, Any]] = mapped_column(
        default=dict
    )  # {"kinds", "roles", "teams"}; {}: every right
    revokes_unanswered: Mapped[bool] = mapped_column(
        default=False
    )  # what nobody answered by its day is taken
    closed_at: Mapped[datetime | None]  # when its last item was answered


class AccessItem(Base):
    """One right of one account, as it was when the review began, and what somebody said of it."""

    __tablename__ = "access_items"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    review_id: Mapped[int] = mapped_column(ForeignKey("access_reviews.id"), index=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), index=True)
    kind: Mapped[str] = mapped_column(Text)  # backend.access.reviews.KINDS
    # the role, team/role, or the id of token, trust rule or delegation
    subject: Mapped[str] = mapped_column(Text)
    facts: Mapped[dict[str, Any]]  # what a reviewer reads: permissions, name, until when, to whom
    last_used_at: Mapped[datetime | None]
    answer: Mapped[str | None] = mapped_column(
        Text
    )  # keep | revoke | lapsed: nobody answered, and it was taken
    reason: Mapped[str] = mapped_column(Text, default="")
    answered_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    answered_at: Mapped[datetime | None]

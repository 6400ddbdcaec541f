"""What is held, since when, why, and until somebody released it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId

EVERYTHING: Final = "*"


class Hold(Base):
    """One reason to keep one thing. A thing is held while any hold on it is not released."""

    __tablename__ = "holds"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(Text)  # backend.holds.service.KINDS
    object_id: Mapped[str] = mapped_column(Text)  # of that kind, or EVERYTHING of it
    model: Mapped[str | None] = mapped_column(ForeignKey("models.name"), index=True)
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"), index=True)
    reason: Mapped[str] = mapped_column(Text)
    placed_by: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    placed_at: Mapped[datetime]
    released_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    released_at: Mapped[datetime | None]
    released_because: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (
        Index("ix_holds_open", "kind", "object_id", sqlite_where=text("released_at IS NULL"),
              postgresql_where=text("released_at IS NULL")),
    )  # fmt: skip

"""What people keep about many models at once: tags, and views of the list of models."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class ModelTag(Base):
    """One word that people file a model under."""

    __tablename__ = "model_tags"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    tag: Mapped[str] = mapped_column(Text, primary_key=True)
    tagged_by: Mapped[str] = mapped_column(Text)  # an actor's id
    tagged_at: Mapped[datetime]

    __table_args__ = (Index("ix_model_tags_tag", "tag", "model"),)


class SavedView(Base):
    """A list as somebody wants to see it again.

    query  {"filters": {name: [values]}, "columns": [name], "sort": name}
    """

    __tablename__ = "saved_views"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    page: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    is_shared: Mapped[bool] = mapped_column(default=False, index=True)
    query: Mapped[dict[str, Any]]
    saved_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("owner_id", "page", "name"),)

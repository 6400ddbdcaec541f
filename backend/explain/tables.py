"""SHAP results, computed by a job and looked up by pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base


class ShapSummary(Base):
    __tablename__ = "shap_summaries"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    computed_at: Mapped[datetime]
    rows: Mapped[int]
    method: Mapped[str] = mapped_column(Text)
    base_value: Mapped[float]
    # [{"column", "mean_abs", "direction"}], largest first; direction in -1..1 where the column is numeric
    features: Mapped[list[Any]]


class Report(Base):
    """A file a job wrote for people, such as Evidently's HTML report of one window."""

    __tablename__ = "reports"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    environment: Mapped[str] = mapped_column(Text)
    window_start: Mapped[datetime | None]
    path: Mapped[str] = mapped_column(Text)  # relative to WARRANT_HOME/artefacts
    media_type: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    created_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))

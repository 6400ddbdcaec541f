"""What an analysis of one window found: why its metric changed and on which rows it is worst."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId

METHOD = "2"  # raise it when the same rows would give another document


class WindowAnalysis(Base):
    """One analysis of one window, frozen. Other inputs (more labels, other rows) give another row; this one stays.

    `digest` names the inputs: rows, labels, version, reference data, spec and the way of analysing.
    """

    __tablename__ = "window_analyses"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    window_id: Mapped[int] = mapped_column(ForeignKey("windows.id"))
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    environment: Mapped[str] = mapped_column(Text)
    size: Mapped[str] = mapped_column(Text)
    window_start: Mapped[datetime]
    version: Mapped[int | None]
    digest: Mapped[str] = mapped_column(Text)
    metric: Mapped[str] = mapped_column(Text)
    rows: Mapped[int]  # of the window, with or without labels
    completeness: Mapped[float | None]  # share of expected labels known, 0..1; None: no label can come
    document: Mapped[dict[str, Any]]  # `analysis.Analysis.document`
    happened: Mapped[
        list[Any]
    ]  # deployments, schema changes, ... before: `happenings.Happening` in order of time
    reason: Mapped[str] = mapped_column(Text, default="")  # why nothing can be told; "" where something can
    computed_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("window_id", "digest"),
        Index("ix_window_analyses_model_window_start", "model", "environment", "size", "window_start"),
    )

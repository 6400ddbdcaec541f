"""Models, their versions, and the data they are compared with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base


class Model(Base):
    """A registered thing that predicts."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="")
    tier: Mapped[str] = mapped_column(Text, default="medium")  # low | medium | high | prohibited
    owner_id: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    spec: Mapped[dict[str, Any]]  # parsed by backend.monitoring.columns.parse_spec
    notice: Mapped[str | None] = mapped_column(Text)  # what a reader must know: shifted times, spread years
    created_at: Mapped[datetime]


class Version(Base):
    """One trained artefact of a model: an MLflow registered version, mirrored by a job."""

    __tablename__ = "versions"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[str] = mapped_column(Text)
    uri: Mapped[str] = mapped_column(
        Text
    )  # where the gateway loads it from (an MLflow artefact uri or folder)
    artefact_digest: Mapped[str] = mapped_column(Text)  # sha256:… over the artefact's manifest
    trained_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    trained_at: Mapped[datetime]
    cutoff: Mapped[float]  # score at or above which the prediction is positive
    parameters: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]  # held-out: {"roc_auc": {"value", "low", "high", "rows"}, …}
    training: Mapped[dict[str, Any]]  # {"digest", "from", "to", "rows"}
    reference_path: Mapped[str] = mapped_column(Text)  # Parquet: features, score, prediction, label
    reference_digest: Mapped[str] = mapped_column(Text)
    card_path: Mapped[str] = mapped_column(Text)
    card_digest: Mapped[str] = mapped_column(Text)

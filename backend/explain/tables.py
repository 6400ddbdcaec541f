"""SHAP results, computed by a job and looked up by pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, Text
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


class Explainer(Base):
    """How predictions of a version are explained. Named by what it says, so the same explainer is one row."""

    __tablename__ = "explainers"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    version: Mapped[int]
    kind: Mapped[str] = mapped_column(Text)  # tree | deep | permutation
    method: Mapped[str] = mapped_column(Text)  # in words
    unit: Mapped[str] = mapped_column(Text)  # of what is explained: log-odds, probability, ...
    columns: Mapped[list[Any]]  # in the order of the stored values
    artefact_digest: Mapped[str] = mapped_column(Text)
    background_digest: Mapped[str] = mapped_column(Text)  # of the rows that stand for what is usual
    background_rows: Mapped[int]
    created_at: Mapped[datetime]


class PredictionExplanation(Base):
    """Why one prediction came out as it did: the SHAP value of each input, as a job computed them."""

    __tablename__ = "prediction_explanations"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    prediction_id: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int]
    environment: Mapped[str] = mapped_column(Text)
    ts: Mapped[datetime]  # of the prediction
    explainer_id: Mapped[str] = mapped_column(ForeignKey("explainers.id"))
    because: Mapped[str] = mapped_column(Text)  # sample | alert | slice | asked | complaint
    computed_at: Mapped[datetime] = mapped_column(index=True)
    base_value: Mapped[float]
    output: Mapped[float]  # what the model answered, in the explainer's unit
    gap: Mapped[float]  # output less base value and contributions; adds up where it is next to nothing
    contributions: Mapped[bytes] = mapped_column(
        LargeBinary
    )  # float32, little-endian, the explainer's columns
    inputs: Mapped[list[Any]]  # the values of these columns
    reason_codes: Mapped[list[Any] | None]  # the top adverse reasons; None: no declined case, or no sentences
    second_opinion: Mapped[dict[str, Any] | None]  # LIME's, where somebody asked for this prediction

    __table_args__ = (Index("ix_prediction_explanations_model_version_ts", "model", "version", "ts"),)


class AttributionWindow(Base):
    """What a version leant on in one window, over its explained sample and by segment. Sums: names nobody."""

    __tablename__ = "attribution_windows"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    environment: Mapped[str] = mapped_column(Text, primary_key=True)
    start: Mapped[datetime] = mapped_column(primary_key=True)
    segment: Mapped[str] = mapped_column(Text, primary_key=True)  # "" all rows, else "column=value"
    end: Mapped[datetime]
    version: Mapped[int]
    window_rows: Mapped[int]  # that the window had then; more have come where it has others
    rows: Mapped[int]  # explained
    columns: Mapped[list[Any]]  # [{"column", "mean_abs", "se"}]
    reason: Mapped[str] = mapped_column(Text)  # why nothing could be explained; empty where something was
    computed_at: Mapped[datetime]


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

"""What the metrics job stores: references, windows, profiles and metric points."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class ReferenceProfile(Base):
    """The frozen grid and counts of one column of a version's reference data."""

    __tablename__ = "reference_profiles"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    column: Mapped[str] = mapped_column(Text, primary_key=True)
    segment: Mapped[str] = mapped_column(
        Text, primary_key=True, default=""
    )  # "" all rows, else "column=value"
    reference_digest: Mapped[str] = mapped_column(Text)
    grid: Mapped[dict[str, Any]]
    profile: Mapped[dict[str, Any]]


class ReferenceSummary(Base):
    """What a version's reference data say as a whole: realised performance, and whether its estimator held.

    `noise`: {window size: {column: {statistic: [values of the reference's own sub-windows]}}}.
    """

    __tablename__ = "reference_summaries"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    reference_digest: Mapped[str] = mapped_column(Text)
    rows: Mapped[int]
    # {"pooled": {metric: {"value", "low", "high", "rows", "reason"}}, "by_window": {size: {metric: [values]}},
    #  "window_rows": {size: {metric: labelled rows of such a window, their median}}}
    performance: Mapped[dict[str, Any]]
    trust: Mapped[dict[str, Any]]  # {"trusted": [metric], "error": {metric: x}, "chunks", "reason"}
    noise: Mapped[dict[str, Any]]
    # {column: the primary metric's losses by cell}: from them the effect of a column's drift is estimated
    losses: Mapped[dict[str, Any]]
    measured_as: Mapped[str] = mapped_column(
        Text
    )  # digest of the parts of the spec, and of the way, it was measured


class WindowState(Base):
    """One window of a model in one environment: how full, how labelled, and whether it must be recomputed.

    Windows of the clock are known by their start and have number 0; windows of N rows are numbered from 1, and
    their start moves when a row comes late.

    state: `open` (not over yet), `complete`, `no_traffic` (over and empty where traffic was expected),
    `no_traffic_expected`. `dirty_at` is set by the writer when rows or labels of the window arrive and
    cleared by the job only if it has not moved since the job read it, so no late label is ever missed.
    """

    __tablename__ = "windows"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    environment: Mapped[str] = mapped_column(Text)
    size: Mapped[str] = mapped_column(Text)  # the spec's `window`, or its shorter `live_window`
    number: Mapped[int] = mapped_column(default=0)
    start: Mapped[datetime]
    end: Mapped[datetime]
    version: Mapped[int | None]  # the version that answered most rows
    rows: Mapped[int] = mapped_column(default=0)
    injected_rows: Mapped[int] = mapped_column(default=0)
    labels_known: Mapped[int] = mapped_column(default=0)
    labels_absent: Mapped[int] = mapped_column(default=0)  # will not come
    labelled_at: Mapped[datetime | None]  # since when its labels speak for it; None: too few have come
    look_at: Mapped[datetime | None]  # when its labels are looked at again, though none may have come
    state: Mapped[str] = mapped_column(Text, default="open")
    dirty_at: Mapped[datetime | None]
    computed_at: Mapped[datetime | None]
    watermark: Mapped[datetime | None]  # newest prediction time seen when computed
    examined_rows: Mapped[int | None]  # `rows` when its rows were last examined; it is due when they differ
    judged_by: Mapped[str | None] = mapped_column(
        Text
    )  # the rule of reference its drift was judged by; None: due

    __table_args__ = (
        UniqueConstraint("model", "environment", "size", "start", "number"),
        Index("ix_windows_dirty_at", "dirty_at"),
    )


class WindowProfile(Base):
    """The counts of one column in one window (or one segment of it), on the grid of the version's reference."""

    __tablename__ = "window_profiles"

    window_id: Mapped[int] = mapped_column(ForeignKey("windows.id"), primary_key=True)
    column: Mapped[str] = mapped_column(Text, primary_key=True)
    segment: Mapped[str] = mapped_column(
        Text, primary_key=True, default=""
    )  # "" all rows, else "column=value"
    version: Mapped[int]  # whose reference grid the counts are on
    profile: Mapped[dict[str, Any]]


JUDGED = ("ok", "alarm")
"""Verdicts of a metric point that was judged."""

ATTRIBUTION = "attribution"
"""The kind of metric points that say whether a version leans on other columns than on its reference."""


class MetricPoint(Base):
    """One computed value. Recomputing a window replaces its points; `first_value` keeps as-seen-then."""

    __tablename__ = "metric_points"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    window_id: Mapped[int] = mapped_column(ForeignKey("windows.id"))
    model: Mapped[str] = mapped_column(Text)
    environment: Mapped[str] = mapped_column(Text)
    size: Mapped[str] = mapped_column(Text)
    window_start: Mapped[datetime]
    segment: Mapped[str] = mapped_column(Text, default="")  # "" all rows, else "column=value"
    kind: Mapped[str] = mapped_column(
        Text
    )  # drift | quality | prediction | realised | estimated | volume | fairness
    column: Mapped[str] = mapped_column(Text, default="")  # "" where the statistic is about the whole window
    statistic: Mapped[str] = mapped_column(Text)
    value: Mapped[float | None]  # None: inconclusive, `reason` says why
    low: Mapped[float | None]
    high: Mapped[float | None]
    threshold: Mapped[float | None]
    reference_value: Mapped[float | None]  # performance: what the reference's own windows (or rows) show
    verdict: Mapped[str] = mapped_column(Text)  # ok | alarm | inconclusive | no_data
    level: Mapped[str | None] = mapped_column(Text)  # page | ticket | info, on alarms only
    text: Mapped[str] = mapped_column(Text, default="")  # the sentence people read
    reason: Mapped[str] = mapped_column(Text, default="")
    rows_reference: Mapped[int] = mapped_column(default=0)
    rows: Mapped[int] = mapped_column(default=0)
    completeness: Mapped[float | None]  # share of expected labels known when computed
    effect: Mapped[
        float | None
    ]  # drift: points of the primary metric by which it is estimated to worsen; None unknown
    effect_se: Mapped[float | None]
    importance: Mapped[float | None]  # of the column, 0..1; None unknown
    first_value: Mapped[float | None]
    first_computed_at: Mapped[datetime]
    computed_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("window_id", "segment", "kind", "column", "statistic"),
        Index("ix_metric_points_model_window_start", "model", "environment", "size", "window_start"),
    )


class ModelStanding(Base):
    """What a model's windows say of it, kept whenever these are judged: lists of many models read it instead of them.

    level, word, because, since   as `backend.monitoring.health` has them of a model of which no alert fires, while
                                  `version` is its champion
    stale_at   from when on the newest window is too old to say anything; None: there is none
    figure     the figure furthest beyond its limit in the newest judged window, else that of the primary metric:
               {"statistic", "column", "value", "threshold", "unit"}; {}: there is none
    history    [value, verdict] of the last 28 windows, oldest first
    """

    __tablename__ = "model_standings"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    environment: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int | None]
    level: Mapped[str] = mapped_column(Text)
    word: Mapped[str] = mapped_column(Text)
    because: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime | None]
    last_end: Mapped[datetime | None]
    stale_at: Mapped[datetime | None]
    metric: Mapped[str] = mapped_column(Text)
    unit: Mapped[str] = mapped_column(Text, default="")
    value: Mapped[float | None]
    estimated: Mapped[bool] = mapped_column(default=False)
    figure: Mapped[dict[str, Any]]
    history: Mapped[list[Any]]
    rows: Mapped[int | None]
    completeness: Mapped[float | None]
    computed_at: Mapped[datetime | None]
    kept_at: Mapped[datetime]


class TrackedEstimate(Base):
    """An estimate that was stored before a window's labels spoke, beside what came true.

    Written once, when the labels first speak, and never again: labels that change or go later leave it as it was.
    """

    __tablename__ = "track_points"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    environment: Mapped[str] = mapped_column(Text)
    version: Mapped[int]
    size: Mapped[str] = mapped_column(Text)
    window_id: Mapped[int] = mapped_column(ForeignKey("windows.id"))
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    metric: Mapped[str] = mapped_column(Text)
    estimated: Mapped[float]
    low: Mapped[float | None]
    high: Mapped[float | None]
    realised: Mapped[float]
    realised_se: Mapped[float | None]
    estimated_at: Mapped[datetime]
    realised_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("window_id", "metric"),)

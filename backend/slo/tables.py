"""Objectives and their revisions, what was counted for them, maintenance, and how they were last judged."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class ObjectiveRevision(Base):
    """One revision of an objective: every change and its retirement is a new row, and the old ones stay.

    `key` is the objective; the row without `superseded_at` is what holds now.
    """

    __tablename__ = "slo_objectives"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(Text)
    number: Mapped[int]
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    environment: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    document: Mapped[str] = mapped_column(Text)  # OpenSLO, read by backend.slo.openslo
    state: Mapped[str] = mapped_column(Text, default="active")  # active | retired
    why: Mapped[str] = mapped_column(Text, default="")
    made_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    made_at: Mapped[datetime]
    superseded_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("key", "number"),
        Index("ix_slo_objectives_present", "superseded_at", "environment", "state", "model", "name"),
        Index(
            "uq_slo_objectives_present_key", "key", unique=True,
            sqlite_where=text("superseded_at IS NULL"), postgresql_where=text("superseded_at IS NULL"),
        ),
        Index(
            "uq_slo_objectives_present_name", "model", "environment", "name", unique=True,
            sqlite_where=text("superseded_at IS NULL AND state = 'active'"),
            postgresql_where=text("superseded_at IS NULL AND state = 'active'"),
        ),
    )  # fmt: skip


class Maintenance(Base):
    """A span of time that does not count, and why. One that was ended early ends then; one withdrawn counts again."""

    __tablename__ = "slo_maintenance"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    environment: Mapped[str] = mapped_column(Text)
    objective: Mapped[str | None] = mapped_column(Text)  # its key; None: every objective of the model
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text)
    made_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    made_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]


class SliCount(Base):
    """What was counted for an objective in one slot of time. Slots are added up, so any window is a sum of rows.

    Times are seconds since 1970: sums over them run every minute. A slot is [end_s - length_s, end_s).
    """

    __tablename__ = "sli_counts"

    objective: Mapped[str] = mapped_column(Text, primary_key=True)
    end_s: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    length_s: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    excluded: Mapped[bool] = mapped_column(primary_key=True)  # a maintenance window lay over what was counted
    excluded_s: Mapped[float]  # seconds of the slot in maintenance, where that is what this row is about
    good: Mapped[float]
    total: Mapped[float]
    observed_s: Mapped[float]  # seconds of the slot in which the source was seen
    source: Mapped[str] = mapped_column(Text)  # backend.slo.sources


class ObjectiveState(Base):
    """How an objective stood when it was last judged, and how far its source was read."""

    __tablename__ = "slo_states"

    objective: Mapped[str] = mapped_column(Text, primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    environment: Mapped[str] = mapped_column(Text)
    number: Mapped[int]  # the revision that was judged
    read_until_s: Mapped[int] = mapped_column(BigInteger)  # slots that end by then were read
    seen_until_s: Mapped[int] = mapped_column(
        BigInteger, default=0
    )  # the newest slot in which the source was seen
    period_start_s: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(Text, default="no_data")  # ok | breach | no_data
    since: Mapped[datetime]  # since when it is in this state
    judged_at: Mapped[datetime | None]  # the end of the windows it was judged by
    remaining: Mapped[float | None]  # of the period's budget; negative when overspent
    burn: Mapped[float | None]
    exhausted_at: Mapped[datetime | None]  # at the present burn; None: never, or nothing is known
    problem: Mapped[str] = mapped_column(
        Text, default=""
    )  # why the source could not be read, or what it warned of
    # {"rows": [{severity, long_s, short_s, factor, threshold, state, long: counts, short: counts}], "period": counts}
    figures: Mapped[dict[str, Any]]

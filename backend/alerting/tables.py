"""Alerts, the incidents people handle, what is written about these, and silences."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ForeignKey, Index, Select, Text, case, select, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.alerting.sources import LEVELS
from backend.database.base import Base
from backend.database.types import BigId

_IS_OPEN_BY_RULE = text("state = 'open' AND opened_by IS NULL")
_IS_LIVE = text("state != 'resolved'")


class Incident(Base):
    """`state` says whether it is over; `phase` how far people are with it (`backend.alerting.phases`)."""

    __tablename__ = "incidents"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(Text)  # empty: of the whole installation
    environment: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="open")  # open | closed
    phase: Mapped[str] = mapped_column(Text, default="new")
    area: Mapped[str] = mapped_column(
        Text, default="model"
    )  # where its cause likely lies: what groups alerts
    severity: Mapped[int] = mapped_column(default=4)  # 1 is the worst
    severity_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))  # who set it; None: the rule
    title: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime]
    opened_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))  # None: the rule
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    acknowledged_there: Mapped[str] = mapped_column(Text, default="")  # by whom, and where, if not here
    acknowledged_severity: Mapped[int | None]  # what was last acknowledged; a graver one asks again
    asks: Mapped[int] = mapped_column(default=1)  # how often it has asked to be acknowledged
    assigned_to: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    mitigated_at: Mapped[datetime | None]
    mitigated_by_change: Mapped[int | None] = mapped_column(BigId)
    reopens_at: Mapped[
        datetime | None
    ]  # if something still fires then, after a change that should have ended it
    relapsed_at: Mapped[datetime | None]  # when it was last taken back from mitigated
    closed_at: Mapped[datetime | None]
    closed_by_change: Mapped[int | None] = mapped_column(BigId)
    closed_because: Mapped[str] = mapped_column(Text, default="")
    cause: Mapped[str] = mapped_column(Text, default="")  # one of `backend.alerting.phases.CAUSES`
    merged_into: Mapped[int | None] = mapped_column(BigId)

    __table_args__ = (
        Index(
            "uq_incidents_open_area", "model", "environment", "area", unique=True,
            sqlite_where=_IS_OPEN_BY_RULE, postgresql_where=_IS_OPEN_BY_RULE,
        ),
        Index("ix_incidents_model", "model", "opened_at"),
        Index("ix_incidents_opened_at", "opened_at"),
        Index("ix_incidents_state", "state", "severity"),
    )  # fmt: skip


class IncidentEntry(Base):
    """One line that people or the rule wrote about an incident: a note, an act, a link."""

    __tablename__ = "incident_entries"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), index=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(
        Text
    )  # opened | acknowledged | note | link | ... (backend.alerting.entries)
    by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))  # None: the rule
    text: Mapped[str] = mapped_column(Text, default="")
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Alert(Base):
    """Something that fires, waits to, or cannot be told. One row is live per fingerprint: firing again refreshes it."""

    __tablename__ = "alerts"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    fingerprint: Mapped[str] = mapped_column(Text, index=True)  # model/environment/kind/column/statistic
    model: Mapped[str] = mapped_column(Text)  # empty: of the whole installation
    environment: Mapped[str] = mapped_column(Text)
    version: Mapped[int | None]
    source: Mapped[str] = mapped_column(
        Text, default="monitor"
    )  # monitor | slo | job | audit | data | registry | ...
    kind: Mapped[str] = mapped_column(Text)
    level: Mapped[str] = mapped_column(Text)  # page | ticket | info
    # pending | firing | resolved | no_data. A muted alert still fires: what mutes it is `backend.alerting.muting`.
    state: Mapped[str] = mapped_column(Text, default="firing")
    title: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]]  # column, statistic, value, threshold, rows, window, injected
    since: Mapped[datetime]  # start of the first window that fired
    fired_at: Mapped[datetime]  # since when it is in this state, until it is resolved
    last_seen_at: Mapped[datetime]
    unknown_since: Mapped[datetime | None]  # it fires, but nothing has been known of it since then
    held_until: Mapped[datetime | None]  # it flaps: quiet, and kept firing until then
    resolved_at: Mapped[datetime | None]
    false_alarm_at: Mapped[datetime | None]  # when a person said that it was none
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))

    __table_args__ = (
        # Thousands of one incident, or of one model, are counted and ranked without reading their rows.
        Index("ix_alerts_incident_id", "incident_id", "state", "level", "kind", "since", "fired_at", "id"),
        Index("ix_alerts_model", "model", "state", "environment", "level", "since", "id"),
        Index("ix_alerts_model_fired_at", "model", "fired_at", "id"),
        Index("ix_alerts_state", "state", "level", "since", "id"),
        Index(
            "uq_alerts_live_fingerprint", "fingerprint", unique=True,
            sqlite_where=_IS_LIVE, postgresql_where=_IS_LIVE,
        ),
    )  # fmt: skip


def firing_under(incident_id: int) -> Select[Alert]:
    """The alerts that fire under an incident, the oldest first."""
    return select(Alert).where(Alert.incident_id == incident_id, Alert.state == "firing").order_by(Alert.id)


def graver_first() -> ColumnElement[int]:
    """To order alerts by: pages, then tickets, then the rest."""
    return case({level: place for place, level in enumerate(LEVELS)}, value=Alert.level, else_=len(LEVELS))


class Silence(Base):
    """Alerts that match every matcher given are muted, always to an end. `purpose` maintenance: work that was planned.

    baseline  by fingerprint, level and value when it was set: what "worse" is measured against
    """

    __tablename__ = "silences"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    purpose: Mapped[str] = mapped_column(Text, default="silence")  # silence | maintenance
    model: Mapped[str | None] = mapped_column(Text, index=True)
    environment: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str | None] = mapped_column(Text)
    column: Mapped[str | None] = mapped_column(Text)
    fingerprint: Mapped[str | None] = mapped_column(Text)
    until_worse: Mapped[bool] = mapped_column(default=False)
    baseline: Mapped[dict[str, Any]] = mapped_column(default=dict)
    comment: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(ForeignKey("persons.id"))
    created_at: Mapped[datetime]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]  # before its end
    ended_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    ended_because: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (Index("ix_silences_ended_at", "ended_at", "ends_at", "id"),)

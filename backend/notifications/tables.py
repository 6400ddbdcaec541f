"""The outbox of notices, what each channel was last told of each incident, when routes began, and tests of channels."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.database.base import Base
from backend.database.types import BigId


class Notice(Base):
    """One thing to tell one channel, of an incident or of a change that waits. One about an incident that was not sent
    yet is replaced by a newer one."""

    __tablename__ = "notices"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"), index=True)
    change_id: Mapped[int | None] = mapped_column(ForeignKey("changes.id"), index=True)  # a reminder of it
    channel: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="queued")  # queued | sent | refused | replaced
    why: Mapped[str] = mapped_column(Text)  # for people: the route, the step, what changed
    document: Mapped[dict[str, Any]]  # the message, as it is or was sent
    created_at: Mapped[datetime]
    next_try_at: Mapped[datetime]
    tried_at: Mapped[datetime | None]  # when the last attempt began; without an end it may have been taken
    attempts: Mapped[int] = mapped_column(default=0)
    problem: Mapped[str] = mapped_column(Text, default="")
    receipt: Mapped[str] = mapped_column(Text, default="")  # what the other side answered
    sent_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "uq_notices_queued", "incident_id", "channel", unique=True,
            sqlite_where=text("state = 'queued'"), postgresql_where=text("state = 'queued'"),
        ),
        Index("ix_notices_due", "state", "next_try_at"),
    )  # fmt: skip


class ToldIncident(Base):
    """What a channel was last told of an incident, and what was last heard of it there."""

    __tablename__ = "told_incidents"

    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), primary_key=True)
    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    ref: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(Text)
    severity: Mapped[int]
    round: Mapped[int] = mapped_column(default=1)  # which asking for an acknowledgement it was told of
    digest: Mapped[str] = mapped_column(Text)
    told_at: Mapped[datetime]
    # Who resolved it there while it goes on here: "in PagerDuty by Grace"; empty: nobody.
    closed_there: Mapped[str] = mapped_column(Text, default="")
    heard_at: Mapped[datetime | None]
    heard: Mapped[list[str]] = mapped_column(default=list)  # acts of people there; each counts once
    problem: Mapped[str] = mapped_column(Text, default="")  # why nothing can be heard there


class BegunRoute(Base):
    """When a route first fitted an incident: its steps count from then, also once its hours are over."""

    __tablename__ = "begun_routes"

    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), primary_key=True)
    route: Mapped[str] = mapped_column(Text, primary_key=True)
    began_at: Mapped[datetime]


class ShiftRow(Base):
    """Who is told by which channel in which hours, as it was set in the console (`backend.notifications.shifts`)."""

    __tablename__ = "rota_shifts"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    rota: Mapped[str] = mapped_column(Text)
    route: Mapped[str | None] = mapped_column(Text)  # whose incidents; None: all
    document: Mapped[dict[str, Any]]  # `contacts.Shift`: who, channel, from, to, days, zone
    made_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    made_at: Mapped[datetime]


class ChannelTest(Base):
    """The last test of a channel that somebody asked for; the notifier sends it like any notice."""

    __tablename__ = "channel_tests"

    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text)  # the same test may be sent twice, and is one page
    asked_at: Mapped[datetime]
    asked_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    state: Mapped[str] = mapped_column(Text, default="queued")  # queued | passed | failed
    tried_at: Mapped[datetime | None]  # when it was begun; without an end it may have been taken
    said: Mapped[str] = mapped_column(Text, default="")  # what the other side answered, or what is wrong
    done_at: Mapped[datetime | None]

"""The alerts of one incident: counted, a page of them, and those that say what it is. However many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import case, func, select

from backend.alerting.incidents import get_incident
from backend.alerting.sources import LEVELS
from backend.alerting.tables import Alert, graver_first
from backend.database.session import ReadSession
from backend.identity.actor import Actor

PAGE: Final = 50
TELLING: Final = 50  # of each kind: what fires beyond that says nothing new of the cause


@dataclass(frozen=True)
class Tally:
    """total: all that ever belonged to it. firing: those that fire now, by level."""

    total: int
    firing: Mapping[str, int]

    @property
    def fires(self) -> int:
        return sum(self.firing.values())


def tally_alerts(session: ReadSession, viewer: Actor, incident_id: int) -> Tally:
    """Raises `NotFound` for an incident that the viewer may not see."""
    get_incident(session, viewer, incident_id)
    counts = session.execute(
        select(Alert.state, Alert.level, func.count())
        .where(Alert.incident_id == incident_id)
        .group_by(Alert.state, Alert.level)
    ).all()
    firing = {level: count for state, level, count in counts if state == "firing"}
    return Tally(
        sum(count for *_, count in counts), {level: firing[level] for level in LEVELS if level in firing}
    )


def alerts_of_incident(
    session: ReadSession, viewer: Actor, incident_id: int, *, limit: int = PAGE
) -> list[Alert]:
    """The worst and oldest that fire, `TELLING` of each kind, however many have come and gone since, and as many of
    the newest others as `limit` leaves; together the newest first.

    Raises `NotFound` for an incident that the viewer may not see.
    """
    get_incident(session, viewer, incident_id)
    ranked = (
        select(
            Alert.id,
            func.row_number()
            .over(partition_by=Alert.kind, order_by=(graver_first(), Alert.since, Alert.id))
            .label("place"),
        )
        .where(Alert.incident_id == incident_id, Alert.state == "firing")
        .subquery()
    )
    telling = select(ranked.c.id).where(ranked.c.place <= TELLING)
    firing = session.scalars(select(Alert).where(Alert.id.in_(telling))).all()
    others = session.scalars(
        select(Alert)
        .where(Alert.incident_id == incident_id, Alert.state != "firing")
        .order_by(Alert.fired_at.desc(), Alert.id.desc())
        .limit(max(limit - len(firing), 0))
    ).all()
    return sorted([*firing, *others], key=lambda one: (one.fired_at, one.id), reverse=True)


def page_of_alerts(session: ReadSession, viewer: Actor, incident_id: int, *, number: int = 1) -> list[Alert]:
    """Page `number` from 1: those that fire first, the graver before, the newest first. Empty beyond the last.

    Raises `NotFound` for an incident that the viewer may not see.
    """
    get_incident(session, viewer, incident_id)
    order: list[Any] = [
        case((Alert.state == "firing", 0), else_=1), graver_first(), Alert.fired_at.desc(), Alert.id.desc(),
    ]  # fmt: skip
    chosen = (
        select(Alert.id)
        .where(Alert.incident_id == incident_id)
        .order_by(*order)
        .limit(PAGE)
        .offset(PAGE * (max(number, 1) - 1))
    )
    return list(session.scalars(select(Alert).where(Alert.id.in_(chosen)).order_by(*order)))

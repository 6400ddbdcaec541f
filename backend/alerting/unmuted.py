"""Pages that were muted when they fired, and are not any more: they open the incident that they were kept from.

Whatever looks may look seldom (a window a day), and what mutes ends by itself: nobody waits for the next look.
"""

from __future__ import annotations

from sqlalchemy import select

from backend.alerting.incidents import join_incident, name_by_worst
from backend.alerting.muting import heard, muting_now
from backend.alerting.tables import Alert
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor


def unheard(session: ReadSession) -> list[Alert]:
    """Pages that fire, that nothing mutes, and of which no incident tells; the oldest first."""
    waiting = select(Alert).where(
        Alert.state == "firing", Alert.level == "page", Alert.incident_id.is_(None)
    )  # fmt: skip
    found = session.scalars(waiting.order_by(Alert.id)).all()
    return heard(found, muting_now(session)) if found else []


def open_unheard(session: WriteSession, actor: Actor) -> int:
    """Open, or join, an incident for each; gives how many. Called by the clock."""
    ids = [alert.id for alert in unheard(session)]
    locked = session.scalars(
        select(Alert).where(Alert.id.in_(ids)).order_by(Alert.id).with_for_update()
    ).all()
    told = [one for one in locked if one.state == "firing" and one.incident_id is None]
    for alert in told:
        incident = join_incident(session, actor, alert, may_open=True)
        assert incident is not None  # noqa: S101 - a page that may open one has one
        alert.incident_id = incident.id
        session.flush()
        name_by_worst(session, actor, incident.id)
    return len(told)

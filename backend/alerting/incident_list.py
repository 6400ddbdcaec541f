"""Every incident, a page at a time: those that are open first, the gravest of them on top, then the newest of the rest.

The two parts are asked apart, so that each is cut by an index: what is open by state and severity, what is over by id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import ColumnElement, func, select

from backend.alerting.tables import Incident
from backend.database.session import ReadSession
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.reach import see

State = Literal["open", "closed"]
STATES: Final = ("open", "closed")
SEVERITIES: Final = (1, 2, 3, 4)
MOST: Final = 200


@dataclass(frozen=True)
class Wanted:
    """Which incidents; what is None or empty is not asked for. `model` "-" means those of the whole installation.

    mine     those that the viewer was given or acknowledged
    nobodys  those that nobody was given or acknowledged
    """

    state: State | None = None
    severity: int | None = None
    model: str | None = None
    mine: bool = False
    nobodys: bool = False


@dataclass(frozen=True)
class Listed:
    """One page of incidents, and how many of each state there are by the same filter."""

    incidents: tuple[Incident, ...]
    open: int
    closed: int

    @property
    def total(self) -> int:
        return self.open + self.closed


def list_incidents(
    session: ReadSession, viewer: Actor, wanted: Wanted | None = None, *, limit: int = 50, offset: int = 0
) -> Listed:
    """Incidents that the viewer may see. Raises `BadInput` for a state or severity that there is not."""
    see(session, viewer)
    wanted = wanted or Wanted()
    conditions = _conditions(viewer, wanted)
    limit, offset = max(1, min(limit, MOST)), max(0, offset)
    counts = {
        state: int(count)
        for state, count in session.execute(
            select(Incident.state, func.count()).where(*conditions).group_by(Incident.state)
        )
    }
    opened = counts.get("open", 0) if wanted.state != "closed" else 0
    closed = counts.get("closed", 0) if wanted.state != "open" else 0
    rows: list[Incident] = []
    if offset < opened:
        query = select(Incident).where(Incident.state == "open", *conditions)
        order = (Incident.severity, Incident.acknowledged_at.is_not(None), Incident.opened_at, Incident.id)
        rows += session.scalars(query.order_by(*order).limit(limit).offset(offset))
    if len(rows) < limit and closed:
        query = select(Incident).where(Incident.state == "closed", *conditions).order_by(Incident.id.desc())
        rows += session.scalars(query.limit(limit - len(rows)).offset(max(0, offset - opened)))
    return Listed(tuple(rows), opened, closed)


def _conditions(viewer: Actor, wanted: Wanted) -> list[ColumnElement[bool]]:
    if wanted.state is not None and wanted.state not in STATES:
        raise BadInput(f"an incident is open or closed, not {wanted.state!r}", field="state")
    if wanted.severity is not None and wanted.severity not in SEVERITIES:
        raise BadInput(f"a severity is one of 1 to 4, not {wanted.severity}", field="severity")
    found: list[ColumnElement[bool]] = []
    if wanted.severity is not None:
        found.append(Incident.severity == wanted.severity)
    if wanted.model:
        found.append(Incident.model == ("" if wanted.model == "-" else wanted.model))
    if wanted.mine:
        found.append(
            (Incident.assigned_to == viewer.person_id) | (Incident.acknowledged_by == viewer.person_id)
        )
    if wanted.nobodys:
        found += [Incident.assigned_to.is_(None), Incident.acknowledged_at.is_(None)]
    return found

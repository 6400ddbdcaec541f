"""A serious incident as plain data for pages and API."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backend import clock
from backend.alerting.service import get_incident
from backend.assurance.serious import clock_state, clocks_of, rules_now, snapshots_of
from backend.assurance.serious_tables import SeriousClock, SeriousIncident
from backend.database.session import ReadSession
from backend.holds.tables import Hold
from backend.identity.actor import Actor
from backend.identity.people import names_of


def serious_view(session: ReadSession, viewer: Actor, incident_id: int) -> dict[str, Any]:
    """`serious` false where nobody marked it; then only the clocks that could be started."""
    from sqlalchemy import select

    get_incident(session, viewer, incident_id)
    marked, now = session.get(SeriousIncident, incident_id), clock.now()
    _, rules = rules_now(session)
    clocks = clocks_of(session, viewer, incident_id)
    people = {
        marked.marked_by if marked else None,
        *(one.set_by for one in clocks),
        *(one.met_by for one in clocks),
        *(before["set_by"] for one in clocks for before in one.earlier),
    }
    names = names_of(session, people)
    holds = session.scalars(select(Hold).where(Hold.incident_id == incident_id).order_by(Hold.id)).all()
    return {
        "incident_id": incident_id, "serious": marked is not None,
        "why": marked.why if marked else None, "aware_at": marked.aware_at if marked else None,
        "marked_by": names[marked.marked_by] if marked else None, "marked_at": marked.marked_at if marked else None,
        "clocks": [
            clock_view(one, now)
            | {"set_by": names[one.set_by], "met_by": names.get(one.met_by or ""),
               "earlier": [before | {"set_by": names[before["set_by"]]} for before in one.earlier]}
            for one in clocks
        ],
        "holds": [
            {"id": one.id, "kind": one.kind, "object_id": one.object_id, "released_at": one.released_at}
            for one in holds
        ],
        "snapshots": [
            {"id": one.id, "digest": one.digest, "taken_at": one.taken_at, "change_id": one.change_id}
            for one in snapshots_of(session, viewer, incident_id)
        ],
        "rules": [one.model_dump(mode="json") for one in rules.clocks],
    }  # fmt: skip


def clock_view(row: SeriousClock, now: datetime) -> dict[str, Any]:
    return {
        "id": row.id, "rule": row.rule, "title": row.title, "source": row.source, "days": row.days,
        "starts_at": row.starts_at, "due_at": row.due_at, "state": clock_state(row, now), "met_at": row.met_at,
        "evidence": row.evidence, "earlier": row.earlier,
    }  # fmt: skip

"""What is written about an incident, line by line: `kind` is one of `KINDS`."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.addresses import without_credentials
from backend.alerting.tables import Incident, IncidentEntry
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor

KINDS: Final = {
    "opened": "opened", "acknowledged": "acknowledged", "assigned": "assigned", "note": "note", "link": "link",
    "merged": "merged", "severity": "severity", "mitigated": "mitigated", "relapsed": "fires again",
    "asks_again": "asks again",
    "step_done": "step done", "step_undone": "step not done",
    "resolved": "resolved", "false_alarm": "false alarm",
}  # fmt: skip


def write_entry(
    session: WriteSession, actor: Actor, incident: Incident, kind: str, text: str = "", **details: Any
) -> IncidentEntry:
    row = IncidentEntry(
        incident_id=incident.id,
        at=clock.now(),
        kind=kind,
        by=actor.person_row,
        text=without_credentials(text),
        details=details,
    )
    session.add(row)
    session.flush()
    return row


def entries_of(session: ReadSession, incident_id: int) -> list[IncidentEntry]:
    """Oldest first. Whoever asks has checked that the viewer may see the incident."""
    return list(
        session.scalars(
            select(IncidentEntry)
            .where(IncidentEntry.incident_id == incident_id)
            .order_by(IncidentEntry.at, IncidentEntry.id)
        )
    )

"""Runbook steps of an incident: what each suspected cause says to do, and who has done it.

A step is known by its words within its incident: the same step of two causes is one. What is marked stays on the
timeline, also where the mark is taken back and where the cause is no longer suspected.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from backend.alerting.entries import entries_of, write_entry
from backend.alerting.incident_alerts import alerts_of_incident
from backend.alerting.incidents import get_incident
from backend.alerting.suspects import Suspect, suspects
from backend.alerting.tables import IncidentEntry
from backend.alerting.timeline import changed_within
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import allow
from backend.identity.roles import Permission

DONE, UNDONE = "step_done", "step_undone"


@dataclass(frozen=True)
class StepDone:
    """Who did a step, by name, and when they said so."""

    by: str
    at: datetime

    @property
    def words(self) -> str:
        return f"done by {self.by}, {self.at:%Y-%m-%d %H:%M:%S} UTC"


def steps_offered(causes: Iterable[Suspect]) -> list[str]:
    """The steps of every cause that is not ruled out, each once, those of the likeliest first."""
    return list(
        dict.fromkeys(text for one in causes if one.verdict != "ruled_out" for text, _, _ in one.steps)
    )


def steps_done(session: ReadSession, incident_id: int) -> dict[str, StepDone]:
    """{step: who did it and when}. Whoever asks has checked that the viewer may see the incident."""
    marked: dict[str, IncidentEntry] = {}
    for entry in entries_of(session, incident_id):
        if entry.kind == DONE:
            marked.setdefault(entry.text, entry)
        elif entry.kind == UNDONE:
            marked.pop(entry.text, None)
    names = names_of(session, {entry.by for entry in marked.values()})
    return {step: StepDone(names.get(entry.by or "", "somebody"), entry.at) for step, entry in marked.items()}


def mark_step(
    session: WriteSession, actor: Actor, incident_id: int, *, step: str, done: bool = True
) -> dict[str, StepDone]:
    """Say that a step was done, or take that back; gives what is done then. The first who says so stays named.

    Raises `BadInput` for a step that no cause of the incident offers.
    """
    allow(session, actor, Permission.ACKNOWLEDGE)
    incident = get_incident(session, actor, incident_id)
    if incident.state == "closed":
        raise Conflict(f"INC-{incident_id} is closed; its steps stay as they were marked")
    known = steps_done(session, incident_id)
    if done == (step in known):
        return known
    if done:
        alerts = alerts_of_incident(session, actor, incident_id)
        changed = changed_within(session, actor, incident)
        offered = steps_offered(suspects(session, actor, incident, alerts, changed))
        if step not in offered:
            there = ", ".join(offered) or "there is none"
            raise BadInput(f"no cause of INC-{incident_id} has the step {step[:80]!r}; {there}", field="step")
    row = write_entry(session, actor, incident, DONE if done else UNDONE, step)
    record(
        session, actor, Action.INCIDENT_STEP_MARKED, object_kind="incident", object_id=incident.id,
        payload={"entry": row.id, "done": done}, why=step,
    )  # fmt: skip
    return steps_done(session, incident_id)

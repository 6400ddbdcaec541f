"""Each index that a list needs in a large house is the one that SQLite takes for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event

from backend.alerting.incidents import open_incidents, recent_incidents
from backend.alerting.service import firing_alerts, recent_alerts
from backend.alerting.silences import list_silences
from backend.data_rights.requests import list_requests
from backend.database.session import ReadSession, reading, writing
from backend.governance.reading import ids_waiting_for, list_changes
from backend.governance.reviews import outstanding_reviews
from backend.identity.actor import Actor
from backend.identity.people import names_to_choose
from backend.identity.roles import Role
from backend.monitoring.monitors_service import looked_at
from backend.queue import recent_runs
from backend.slo.objectives_service import list_objectives
from tests.integration.monitoring.fleet import make_fleet
from tests.worlds import person

Read = Callable[[ReadSession, Actor], Any]
WITH: Final[dict[str, Read]] = {
    "ix_changes_state": lambda session, lead: list_changes(session, lead, states=("waiting",)),
    "ix_changes_state_expires_at": ids_waiting_for,
    "ix_incidents_state": lambda session, lead: open_incidents(session, lead, limit=5),
    "ix_incidents_opened_at": recent_incidents,
    "ix_incidents_model": lambda session, lead: recent_incidents(session, lead, model="m0000"),
    "ix_alerts_state": lambda session, lead: firing_alerts(session, lead, limit=500),
    "ix_alerts_incident_id": lambda session, lead: firing_alerts(session, lead, loose=True, limit=500),
    "ix_alerts_model_fired_at": lambda session, lead: recent_alerts(session, lead, model="m0000"),
    "ix_job_runs_state": lambda session, _: recent_runs(session, states=("failed",)),
    "ix_job_runs_requested_at": lambda session, _: recent_runs(session),
    "ix_job_runs_name": lambda session, lead: looked_at(session, lead, "m0000", "production"),
    "ix_silences_ended_at": list_silences,
    "ix_models_owner_id": lambda session, _: outstanding_reviews(session, "m0000"),
    "ix_data_requests_requested_at": list_requests,
    "ix_slo_objectives_present": lambda session, lead: list_objectives(
        session, lead, environment="production"
    ),
    "ix_persons_display_name": names_to_choose,
}
SORTED_BY_IT: Final = {
    "ix_changes_state", "ix_changes_state_expires_at", "ix_incidents_opened_at", "ix_incidents_model",
    "ix_alerts_model_fired_at", "ix_job_runs_state", "ix_job_runs_requested_at", "ix_silences_ended_at",
    "ix_slo_objectives_present", "ix_persons_display_name",
}  # fmt: skip
"""What these find comes out of the index in order."""


def test_every_list_takes_its_index(migrated_home: Path) -> None:
    make_fleet(1)
    with writing() as session:
        lead = person(session, "lead", *(role for role in Role if role not in (Role.SYSTEM, Role.AUDITOR)))
    for index, read in WITH.items():
        told = [one for one in plans_of(read, lead) if any(index in step for step in one)]
        assert told, f"nothing goes by {index}"
        if index in SORTED_BY_IT:
            assert any(not [step for step in one if _sorts(step)] for one in told), (index, told)


def _sorts(step: str) -> bool:
    """Rows are put in order; what has one time comes in the order of its id without that."""
    return "ORDER BY" in step and "RIGHT PART" not in step


def plans_of(read: Read, lead: Actor) -> list[list[str]]:
    """How SQLite goes about each statement of a list, step by step."""
    plans: list[list[str]] = []

    def explain(_connection: object, cursor: Any, text: str, given: Any, *_: object) -> None:
        steps = cursor.connection.execute(f"EXPLAIN QUERY PLAN {text}", given).fetchall()
        plans.append([step[-1] for step in steps])

    with reading() as session:
        event.listen(session.connection(), "before_cursor_execute", explain)
        read(session, lead)
    return plans

"""Restores the newest backup into a scratch place, verifies it, and keeps how long that took and what it lacks."""

from __future__ import annotations

from typing import Any

from backend import clock
from backend.backups.drill import Drill, record_drill, run_drill, tell_lateness
from backend.backups.state import is_drill_due
from backend.database.session import reading, writing
from backend.queue import RESTORE_DRILL
from jobs.runtime import Run, workflow

STEPS = ("restore_newest", "record_drill", "tell_lateness")


@workflow(RESTORE_DRILL)
def restore_drill(run: Run) -> None:
    run.progress(0.1, "restoring the newest backup into a scratch place")
    found = run.step("restore_newest", restore_newest, run)
    if found is not None:
        run.step("record_drill", keep, run, found)
    run.step("tell_lateness", tell, run)


def restore_newest(run: Run) -> dict[str, Any] | None:
    """What the drill found; None where the run was only asked to say what is late."""
    with reading() as session:
        wanted = run.requested_by is not None or is_drill_due(session, clock.now())
    return run_drill().to_json() if wanted else None


def keep(run: Run, found: dict[str, Any]) -> bool:
    with writing() as session:
        run.require_owned(session)
        record_drill(session, run.actor, run.run_id, Drill(**found))
    return bool(found["ok"])


def tell(run: Run) -> bool:
    with writing() as session:
        run.require_owned(session)
        return tell_lateness(session, run.actor)

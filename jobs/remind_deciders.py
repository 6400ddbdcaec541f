"""Reminds those who can still decide on a change that has waited for a part of its lifetime."""

from __future__ import annotations

from backend import clock
from backend.database.session import reading, writing
from backend.governance.reminders import changes_to_remind
from backend.governance.reminders import remind_deciders as remind_of
from backend.queue import REMIND_DECIDERS
from jobs.runtime import Run, workflow

STEPS = ("remind",)


@workflow(REMIND_DECIDERS)
def remind_deciders(run: Run) -> None:
    """Every change that is due. A transaction each: who decides meanwhile does not wait for the others."""
    run.progress(0.1, "looking for changes that wait")
    run.step("remind", _remind, run)


def _remind(run: Run) -> int:
    with reading() as session:
        due = changes_to_remind(session, clock.now())
    for change_id in due:
        with writing() as session:
            run.require_owned(session)
            remind_of(session, run.actor, change_id)
    return len(due)

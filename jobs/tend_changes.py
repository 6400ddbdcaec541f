"""What happens to changes by the clock: what a freeze or an owed review held starts; a break-glass has its end; and so
has what a run began that was given up."""

from __future__ import annotations

from backend import clock
from backend.database.session import reading, writing
from backend.governance.abandoned import abandoned_changes, end_abandoned
from backend.governance.deciding import start_thawed_changes
from backend.governance.time_boxes import boxes_due, note_time_box
from backend.queue import TEND_CHANGES
from jobs.runtime import Run, workflow

STEPS = ("start_held", "note_time_boxes", "end_abandoned")


@workflow(TEND_CHANGES)
def tend_changes(run: Run) -> None:
    """All looks; a transaction each."""
    run.progress(0.1, "starting what was held")
    run.step("start_held", _start_held, run)
    run.progress(0.6, "looking at what stands by break-glass")
    run.step("note_time_boxes", _note_time_boxes, run)
    run.progress(0.8, "looking for changes that their run left")
    run.step("end_abandoned", _end_abandoned, run)


def _start_held(run: Run) -> int:
    with writing() as session:
        run.require_owned(session)
        return start_thawed_changes(session)


def _note_time_boxes(run: Run) -> int:
    with reading() as session:
        due = boxes_due(session, clock.now())
    for change_id in due:
        with writing() as session:
            run.require_owned(session)
            note_time_box(session, run.actor, change_id)
    return len(due)


def _end_abandoned(run: Run) -> int:
    with reading() as session:
        left = abandoned_changes(session)
    for change_id in left:
        with writing() as session:
            run.require_owned(session)
            end_abandoned(session, run.actor, change_id)
    return len(left)

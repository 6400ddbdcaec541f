"""Asks for the retraining that triggers want, and closes what is left of runs and tickets that are over."""

from __future__ import annotations

from backend import clock
from backend.alerting.service import resolve
from backend.alerting.tables import Alert
from backend.database.session import reading, writing
from backend.errors import WarrantError
from backend.queue import OPEN_RETRAINING
from backend.retraining.running import end_run
from backend.retraining.tables import RetrainingRun
from backend.retraining.triggers import causes_now, lost_runs, note_refused, open_caused, promotions_told
from jobs.runtime import Run, workflow

STEPS = ("open_due", "close_lost")


@workflow(OPEN_RETRAINING)
def open_retraining(run: Run) -> None:
    run.progress(0.1, "looking at what triggers want")
    run.step("open_due", open_due, run)
    run.progress(0.8, "closing what is over")
    run.step("close_lost", close_lost, run)


def open_due(run: Run) -> list[int]:
    """The changes that were asked for, one a cause."""
    opened: list[int] = []
    with reading() as session:
        found = causes_now(session, clock.now())
    for one in found:
        try:
            with writing() as session:
                run.require_owned(session)
                row = open_caused(session, run.actor, one)
                opened += [row.change_id] if row.change_id is not None else []
        except WarrantError as error:
            with writing() as session:
                run.require_owned(session)
                note_refused(session, one, error)
    return opened


def close_lost(run: Run) -> int:
    """Runs whose job was given up, and tickets of promotions that were decided on."""
    with reading() as session:
        lost, told = lost_runs(session), [one.id for one in promotions_told(session)]
    with writing() as session:
        run.require_owned(session)
        for run_id in lost:
            row = session.get_one(RetrainingRun, run_id, with_for_update=True)
            end_run(
                session, run.actor, row, "failed", "its workers died again and again; it can be begun again"
            )
        for alert_id in told:
            resolve(
                session,
                run.actor,
                session.get_one(Alert, alert_id),
                why="its promotion waits no longer",
                final=True,
            )
    return len(lost) + len(told)

"""Retraining a model: ten durable steps from rows in the store to a promotion that is asked for.

Each step is noted with its progress, lines, seconds and memory (`backend.retraining.steps`). A worker that is killed
anywhere leaves a run that another one takes up at the same step; what had finished is not done again.
"""

from __future__ import annotations

from typing import Any, Final

from backend.database.session import writing
from backend.queue import RETRAIN
from backend.retraining.running import begin_run, end_run
from backend.retraining.steps import STEPS as STEP_WORDS
from backend.retraining.tables import RetrainingRun
from jobs.retraining import judging, registering, rows, training, validating
from jobs.retraining.work import RetrainingCancelled, Step, Work, forget_rows, take_step
from jobs.runtime import Run, StepFailed, workflow

STEPS = (
    "begin_run",
    "extract",
    "validate",
    "split",
    "train",
    "evaluate",
    "explain",
    "draft_card",
    "register",
    "open_promotion",
    "notify",
    "end_run",
)


def _extract(work: Work) -> dict[str, Any]:
    training.check_job(work)
    return rows.extract(work)


PIPELINE: Final[dict[str, Step]] = {
    "extract": _extract,
    "validate": validating.validate,
    "split": rows.split,
    "train": training.train,
    "evaluate": judging.evaluate,
    "explain": judging.explain,
    "draft_card": registering.draft_card,
    "register": registering.register,
    "open_promotion": registering.open_promotion,
    "notify": registering.notify,
}


@workflow(RETRAIN)
def retrain(run: Run) -> None:
    """Carry out the retraining `arguments["retraining"]`, each step once."""
    retraining_id = str(run.arguments["retraining"])
    if not run.step("begin_run", _begin, run, retraining_id):
        run.progress(1.0, "it was cancelled, or is over")
        return
    last: dict[str, Any] = {}
    try:
        for number, (name, step) in enumerate(PIPELINE.items()):
            run.progress(number / len(PIPELINE), STEP_WORDS[name].lower())
            last = run.step(name, _take, run, retraining_id, name, step)
    except StepFailed as failure:
        cancelled = failure.error == RetrainingCancelled.__name__
        state, told = ("cancelled", failure.message) if cancelled else ("failed", failure.message)
        run.step("end_run", _end, run, retraining_id, state, f"{STEP_WORDS[failure.step]}: {told}")
        if cancelled:
            return
        raise
    run.step("end_run", _end, run, retraining_id, "succeeded", last["text"])


def _begin(run: Run, retraining_id: str) -> bool:
    with writing() as session:
        run.require_owned(session)
        return begin_run(session, retraining_id)


def _take(run: Run, retraining_id: str, name: str, step: Step) -> dict[str, Any]:
    """What the next steps need of it lies in the table of steps; the engine keeps the last one's words alone."""
    found = take_step(run, retraining_id, name, step)
    return {"text": found["text"]} if name == "notify" else {}


def _end(run: Run, retraining_id: str, state: str, outcome: str) -> None:
    if state != "failed":  # a failed one can be begun again
        forget_rows(retraining_id)
    with writing() as session:
        run.require_owned(session)
        row = session.get_one(RetrainingRun, retraining_id, with_for_update=True)
        end_run(session, run.actor, row, state, outcome)

"""Notes how models stand of which nothing is noted yet: those from before lists read it, and those whose champion
moved since they were last judged."""

from __future__ import annotations

from backend.database.session import writing
from backend.monitoring.standings import keep_standings, models_without_standing
from backend.queue import KEEP_STANDINGS
from backend.settings import settings
from jobs.runtime import Run, workflow

STEPS = ("note",)


@workflow(KEEP_STANDINGS)
def keep_model_standings(run: Run) -> None:
    """A hundred models in a transaction, until none is left."""
    run.progress(0.1, "noting how models stand")
    run.step("note", _note, run)


def _note(run: Run) -> int:
    noted = 0
    while True:
        with writing() as session:
            run.require_owned(session)
            models = models_without_standing(session, settings().environment)
            keep_standings(session, models, settings().environment)
        if not models:
            return noted
        noted += len(models)

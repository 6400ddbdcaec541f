"""Makes a backup, where a folder for them is set and the newest one is as old as they may get."""

from __future__ import annotations

from backend.backups.making import make_backup as make
from backend.queue import MAKE_BACKUP
from jobs.runtime import Run, workflow

STEPS = ("make_backup",)


@workflow(MAKE_BACKUP)
def make_backup(run: Run) -> None:
    run.progress(0.1, "saving database, keys, observations and artefacts")
    run.step("make_backup", save, run)


def save(run: Run) -> str:
    """Gives the name of the file. Cut short, it leaves a draft that the next one takes away."""
    return make(run.actor).path.name

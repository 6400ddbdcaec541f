"""Rows that runs of the pipeline keep beside the store: they go with the rows they are copies of.

A run that failed keeps them for a while, to be begun again; without them it takes them out of the store again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.database.session import ReadSession
from backend.retraining.running import OPEN
from backend.retraining.tables import RetrainingRun
from jobs.retraining.work import REFERENCE, folder_of, forget_checkpoints, remove_copies

KEPT: Final = timedelta(days=14)
"""So long after it failed."""


def forget_copies_of(session: ReadSession, model: str) -> int:
    """Rows of this model were erased: no run keeps a copy, not even one that goes on. Gives the number of files."""
    runs = session.scalars(select(RetrainingRun).where(RetrainingRun.model == model))
    return sum(_forget(one) for one in runs)


def forget_old_copies(session: ReadSession) -> int:
    """Copies of runs that were over `KEPT` ago, and their checkpoints. Gives the number of files with rows."""
    runs = session.scalars(
        select(RetrainingRun).where(
            RetrainingRun.state.not_in(OPEN), RetrainingRun.finished_at < clock.now() - KEPT
        )
    )
    count = 0
    for one in runs:
        count += _forget(one)
        forget_checkpoints(one.id)
    return count


def _forget(run: RetrainingRun) -> int:
    """The rows it was evaluated on as well, unless a version is bound to them."""
    count = remove_copies(run.id)
    for path in (folder_of(run.id) / REFERENCE, folder_of(run.id) / f".{REFERENCE}"):
        if run.version is None and path.is_file():
            path.unlink()
            count += 1
    return count

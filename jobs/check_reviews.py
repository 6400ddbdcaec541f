"""Ends reviews of access whose day is over: takes what nobody answered where a review says so, and opens a finding for
each that has something left."""

from __future__ import annotations

from backend import clock
from backend.access.reviews import end_review, find_overdue_review, is_open, overdue_reviews
from backend.database.session import reading, writing
from backend.queue import CHECK_REVIEWS
from jobs.runtime import Run, workflow

STEPS = ("find",)


@workflow(CHECK_REVIEWS)
def check_reviews(run: Run) -> None:
    """Every review that is overdue; a finding tells of each once."""
    run.progress(0.1, "looking for reviews whose day is over")
    run.step("find", _find, run)


def _find(run: Run) -> int:
    with reading() as session:
        late = overdue_reviews(session, clock.now())
    for review_id in late:
        with writing() as session:
            run.require_owned(session)
            end_review(session, run.actor, review_id)
            if is_open(session, review_id):
                find_overdue_review(session, run.actor, review_id)
    return len(late)

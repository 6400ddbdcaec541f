"""Every hour: count what models used, once a day measure what they hold, and say which budgets are exceeded."""

from __future__ import annotations

from backend import clock
from backend.costs.budgets import tell_exceeded
from backend.costs.counting import count_again, is_storage_measured, keep_storage
from backend.costs.storage import measured
from backend.database.session import reading, writing
from backend.queue import MEASURE_COSTS
from jobs.runtime import Run, workflow

STEPS = ("count_usage", "measure_storage", "tell_budgets")


@workflow(MEASURE_COSTS)
def measure_costs(run: Run) -> None:
    """Each step replaces what it found the last time, so a step that is cut short is done again."""
    run.progress(0.1, "counting what was used")
    run.step("count_usage", count_usage, run)
    run.progress(0.4, "measuring what is held")
    run.step("measure_storage", measure_storage, run)
    run.step("tell_budgets", tell_budgets, run)


def count_usage(run: Run) -> int:
    with writing() as session:
        run.require_owned(session)
        return count_again(session, clock.now())


def measure_storage(run: Run) -> int:
    """Bytes by model, once a day. The files are walked before the transaction begins."""
    now = clock.now()
    with reading() as session:
        if is_storage_measured(session, now):
            return 0
        sizes = measured(session)
    with writing() as session:
        run.require_owned(session)
        keep_storage(session, sizes, now)
    return sum(sizes.values())


def tell_budgets(run: Run) -> list[str]:
    with writing() as session:
        run.require_owned(session)
        return tell_exceeded(session, run.actor)

"""Reads each model's service-level indicators and stores them."""

from __future__ import annotations

from backend.database.session import reading, writing
from backend.queue import READ_SLI
from backend.registry.service import list_models
from backend.settings import settings
from jobs.runtime import Run, workflow

STEPS = ("read_and_store",)


@workflow(READ_SLI)
def read_sli(run: Run) -> None:
    """One reading of every model, or of the run's subject. A source that is away is a reading without a value."""
    run.progress(0.1, "reading service-level indicators")
    run.step("read_and_store", read_and_store, run)


def read_and_store(run: Run) -> dict[str, int]:
    """Returns how many indicators of each model have a value."""
    from backend.slo.service import read_indicators, store_readings

    with reading() as session:
        names = [run.subject] if run.subject else [model.name for model in list_models(session, run.actor)]
    known: dict[str, int] = {}
    for name in names:
        indicators = read_indicators(name)
        known[name] = sum(indicator.value is not None for indicator in indicators)
        with writing() as session:
            run.require_owned(session)
            store_readings(
                session, run.actor, model=name, environment=settings().environment, indicators=indicators
            )
    return known

"""A small real history: hourly rentals of bikes, with the rentals of the same hour a week before as the forecast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import update

from backend.database.session import reading, writing
from backend.monitoring.tables import MetricPoint
from backend.queue import IMPORT_HISTORY, JobRun
from jobs import import_history
from jobs.commit_spool import commit_once
from jobs.compute_metrics import compute_due
from tests.integration.api.conftest import Callers, open_callers
from tests.integration.jobs.conftest import OwnedRun
from tests.requirements import require

ROWS = 2500
FORECAST = """
    copy (
        select instant as prediction_id, dteday + to_hours(hr) as ts, season, hr, workingday, weathersit, temp, hum,
            lag(cnt, 168) over (order by instant) as forecast, cnt as label
        from read_csv(?) order by instant limit ? offset 168
    ) to '{out}' (header)
"""


@pytest.fixture
def sqlite_callers(migrated_home: Path, tmp_path: Path) -> Iterator[Callers]:
    yield from open_callers(tmp_path)


@pytest.fixture(scope="session")
def bikes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of `ROWS` hours."""
    hours = require("shared/data/bike_sharing") / "hour.csv"
    out = tmp_path_factory.mktemp("bikes") / "bikes.csv"
    with duckdb.connect() as connection:
        connection.execute(FORECAST.format(out=out), [str(hours), ROWS])
    return out


def run_import(stop: Callable[[str, int], bool] = lambda _step, _number: False) -> OwnedRun | None:
    """Carry out the newest import that was asked for, as its body does; None: `stop` ended it before a step."""
    with reading() as session:
        row = (
            session.query(JobRun)
            .filter_by(name=IMPORT_HISTORY.name)
            .order_by(JobRun.requested_at.desc())
            .first()
        )
        assert row is not None
        run = OwnedRun(
            IMPORT_HISTORY, row.id, row.subject, dict(row.arguments), row.requested_by, "w", 1, "token"
        )
    batches = import_history.prepare_rows(run)
    import_history.register_imported(run)
    new = known = 0
    for number in range(batches):
        if stop("import_batch", number):
            return None
        done = import_history.import_batch(run, number)
        new, known = new + done["new"], known + done["known"]
    import_history.finish_import(run, new, known)
    end_run(run.run_id, "succeeded")
    return run


def end_run(run_id: str, state: str, error: str = "") -> None:
    with writing() as session:
        session.execute(update(JobRun).where(JobRun.id == run_id).values(state=state, error=error))


def compute(model: str) -> dict[str, list[Any]]:
    """Move the spool into the store, compute what is due, and give the points by statistic."""
    commit_once("test")
    compute_due(model)
    with reading() as session:
        found: dict[str, list[Any]] = {}
        for point in session.query(MetricPoint).filter_by(model=model, kind="realised", segment=""):
            found.setdefault(point.statistic, []).append(point.value)
        return found

"""Copies of rows that the pipeline works on: they are the rows that were taken out, and go with those they copy."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backend import clock
from backend.data_rights.requests import request_rows
from backend.data_rights.rules import set_rule
from backend.database.session import writing
from backend.errors import BadInput
from backend.registry.artefacts import file_digest
from backend.retraining.tables import RetrainingRun
from jobs.keep_data import forget_copies, trim_models
from jobs.retraining.work import folder_of
from tests.integration.data_rights.conftest import approve, carry_out
from tests.integration.retraining.conftest import Here, ask, begin, close, store_rows, take
from tests.worlds import World


@pytest.fixture
def run(world: World) -> str:
    """A run that took its rows out of the store and failed then."""
    with writing() as session:
        set_rule(session, world.compliance, model="toy", purposes=["retraining"], why="for tests")
    store_rows(60)
    run = begin(ask(world.engineer))
    take(run.id, "extract")
    close(run.id, "failed")
    return run.id


def copies(run_id: str) -> set[str]:
    return {one.name for one in folder_of(run_id).glob("*.*")}


def test_other_rows_than_those_that_were_taken_out_are_never_split(run: str) -> None:
    rows = folder_of(run) / "rows.parquet"
    digest = file_digest(rows)
    rows.write_bytes(b"other rows")
    take(run, "split")
    assert file_digest(rows) == digest, "they were taken out again"


def test_rows_that_the_store_no_longer_holds_end_the_run_every_time(run: str) -> None:
    (folder_of(run) / "rows.parquet").unlink()
    store_rows(5, seed=6)
    for _ in range(2):
        with pytest.raises(BadInput, match="the store no longer holds the same ones"):
            take(run, "split")
    assert copies(run) == set()


def test_who_is_erased_stays_in_no_copy(run: str, world: World) -> None:
    (folder_of(run) / "reference.parquet").write_bytes(b"rows with answers")
    assert copies(run) == {"rows.parquet", "reference.parquet"}
    with writing() as session:
        asked = request_rows(
            session, world.compliance, kind="erase", model="toy", prediction_ids=["p5-3"], reason="asked for"
        )
    carry_out(approve(world, asked).id)
    assert copies(run) == set()


def test_copies_go_with_trimmed_rows_and_two_weeks_after_a_run_failed(run: str, world: World) -> None:
    kept = [folder_of(run) / "out" / "checkpoints", folder_of(run) / "trials" / "0003" / "checkpoints"]
    for place in kept:
        place.mkdir(parents=True)
    assert forget_copies(Here()) == 0  # type: ignore[arg-type]
    assert all(place.is_dir() for place in kept), "it can be begun again"
    with writing() as session:
        session.get_one(RetrainingRun, run).finished_at = clock.now() - timedelta(days=15)
    assert forget_copies(Here()) == 1  # type: ignore[arg-type]
    assert not any(place.exists() for place in kept)
    (folder_of(run) / "rows.parquet").write_bytes(b"rows")
    with writing() as session:
        set_rule(
            session, world.compliance, model="toy", purposes=["retraining"], predictions_days=10, why="less"
        )
    trim_models(Here())  # type: ignore[arg-type]
    assert copies(run) == set()

"""kill -9 while an agreed return is tried on live rows; and a return whose version does not score them."""

from __future__ import annotations

import shutil

import pytest

from backend.database.session import reading, writing
from backend.governance.urgent import open_way_back, take_way_back, way_back_digest
from backend.settings import settings
from jobs.kill_points import MOMENTS
from tests.chaos.stage import ENVIRONMENT, FEATURES, MODEL, Stage

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

SOON = {"WARRANT_SPOOL_COMMIT_S": "0.2"}


def promoted(on_stage: Stage) -> int:
    """A promotion that is executed, so that its return is agreed, and rows of it in the store."""
    change_id = on_stage.promote(on_stage.other_good(), {"strategy": "all_at_once"})
    on_stage.start_worker(f"forth{change_id}", queues="changes,writer", **SOON)
    on_stage.assert_executed_once(change_id)
    for number in range(30):
        on_stage.gateway.predict(MODEL, prediction_id=f"return-{change_id}-{number}", features=FEATURES)
    on_stage.wait_for(lambda: stored(f"return-{change_id}-"), 30, "rows in the store")
    on_stage.end_workers()
    return change_id


def stored(prefix: str) -> bool:
    from backend.observations import reader

    found = reader.recent(settings().observations, MODEL, 5)
    return any(str(one).startswith(prefix) for one in found.column("prediction_id").to_pylist())


def take(on_stage: Stage) -> int:
    with writing() as session:
        way = open_way_back(session, on_stage.world.on_call, MODEL, ENVIRONMENT)
        assert way is not None
        return take_way_back(
            session, on_stage.world.on_call, way.id, reason="AUC fell", seen_digest=way_back_digest(way)
        ).id


def test_workers_killed_at_every_moment_of_trying_the_return(on_stage: Stage) -> None:
    promoted(on_stage)
    change_id = take(on_stage)
    on_stage.kill_at_each(f"a{change_id}", [f"execute_change:check_return:{moment}" for moment in MOMENTS])
    on_stage.start_worker(f"b{change_id}")
    on_stage.assert_executed_once(change_id)


def test_a_return_that_no_live_row_speaks_for_moves_nothing(on_stage: Stage) -> None:
    promoted(on_stage)
    before = on_stage.gateway.model(MODEL)["deployment_id"]
    aside = settings().observations.with_name("aside")
    settings().observations.rename(aside)
    try:
        change_id = take(on_stage)
        on_stage.start_worker(f"w{change_id}")
        change = on_stage.wait_settled(change_id)
    finally:
        shutil.rmtree(settings().observations)
        aside.rename(settings().observations)
    assert change.state == "failed"
    assert "no prediction of toy in production is stored" in change.outcome
    assert "nothing had been moved" in change.outcome
    assert on_stage.deployments_of(change_id) == []
    on_stage.assert_serves(on_stage.serving(), before)
    with reading() as session:
        assert open_way_back(session, on_stage.world.on_call, MODEL, ENVIRONMENT) is not None  # to try again

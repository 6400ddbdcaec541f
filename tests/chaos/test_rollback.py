"""kill -9 of the worker at every moment of a change: it is executed once, or undone once, whoever goes on with it."""

from __future__ import annotations

import signal

import pytest

from backend.queue import EXECUTE_CHANGE
from jobs.runtime import WORKFLOWS, load_workflow
from tests.chaos.stage import MISSCORED, UNLOADABLE, Stage

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

load_workflow(EXECUTE_CHANGE)
KILL_POINTS = WORKFLOWS["execute_change"].kill_points()
WHEN_IT_FAILS = ("restore", "confirm_restored", "mirror_restored_alias", "fail")


@pytest.mark.parametrize("point", KILL_POINTS)
def test_a_worker_killed_anywhere_leaves_one_execution(on_stage: Stage, point: str) -> None:
    """Every second point is survived by the same worker started again, the others by another one; the second
    database has it the other way round."""
    fails = point.split(":")[1] in WHEN_IT_FAILS
    incident_id = on_stage.page(point)
    change_id = on_stage.ask_and_approve(MISSCORED if fails else on_stage.other_good())
    name = f"a{change_id}"
    killed = on_stage.start_worker(name, kill_at=point)
    assert killed.wait(60) == -signal.SIGKILL, killed.output()
    again = (KILL_POINTS.index(point) + (on_stage.kind == "sqlite")) % 2 == 0
    on_stage.start_worker(name if again else f"b{change_id}", kill_at=point)
    if fails:
        on_stage.assert_restored_once(change_id, incident_id, why="smoke request 0 scored")
    else:
        on_stage.assert_executed_once(change_id, incident_id)


def test_every_kill_point_is_named_once() -> None:
    assert len(KILL_POINTS) == len(set(KILL_POINTS))
    steps = {point.split(":")[1] for point in KILL_POINTS}
    assert set(WHEN_IT_FAILS) < steps


def test_a_version_that_no_gateway_loads_is_undone(on_stage: Stage) -> None:
    change_id = on_stage.ask_and_approve(UNLOADABLE)
    on_stage.start_worker("refused")
    on_stage.assert_restored_once(change_id, why="neither MLmodel nor model.skops")

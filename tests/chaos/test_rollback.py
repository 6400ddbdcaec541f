"""kill -9 of the worker at every moment of a change: it is executed once, or undone once, whoever goes on with it.

On each database one change after the other is killed at every point in turn. Alone, with an untroubled run after it,
each point is on one of the two databases: the odd ones on SQLite, the even ones on PostgreSQL.
"""

from __future__ import annotations

import signal

import pytest

from backend.audit.actions import Action
from backend.queue import EXECUTE_CHANGE
from jobs.runtime import WORKFLOWS, load_workflow
from tests.chaos.stage import MISSCORED, UNLOADABLE, Stage

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

load_workflow(EXECUTE_CHANGE)
TRIED_OUT = (
    "open_stage",
    "await_stage",
    "smoke_stage",
    "watch_stage",
    "watch_champion",
)  # see test_rollout.py
# a change of the record alone, one that erases (test_erasing.py), an agreed return, one that overtakes a rollout, a
# first version that fails
ELSEWHERE = ("apply_record", "carry_out", "check_return", "await_earlier", "tell_withdrawn")
EVERY_POINT = WORKFLOWS["execute_change"].kill_points()
KILL_POINTS = [point for point in EVERY_POINT if point.split(":")[1] not in (*TRIED_OUT, *ELSEWHERE)]
WHEN_IT_FAILS = ("restore", "confirm_restored", "mirror_restored_alias", "fail")

UNDONE = [point for point in KILL_POINTS if point.split(":")[1] in WHEN_IT_FAILS]
DONE = [point for point in KILL_POINTS if point not in UNDONE]
BEGUN = [point for point in DONE if point.split(":")[1] == "begin"]
# In the order in which a run passes them; in two parts, since a run that kills twenty workers is given up.
IN_ORDER = [*BEGUN, *(point for point in DONE if point not in BEGUN)]
HALVES = {"first half": IN_ORDER[: len(DONE) // 2], "second half": IN_ORDER[len(DONE) // 2 :]}
ALONE = [
    ("sqlite" if point in KILL_POINTS[::2] else "postgresql", point)
    for point in (*KILL_POINTS[::2], *KILL_POINTS[1::2])
]


@pytest.mark.parametrize("points", HALVES.values(), ids=HALVES)
def test_workers_killed_at_every_point_leave_one_execution(on_stage: Stage, points: list[str]) -> None:
    incident_id = on_stage.page(f"{points[0]} and on")
    change_id = on_stage.ask_and_approve(on_stage.other_good())
    on_stage.kill_at_each(f"a{change_id}", points)
    on_stage.start_worker(f"b{change_id}")
    on_stage.assert_executed_once(change_id, incident_id)
    assert on_stage.entries(Action.RUN_RESUMED, f"change-{change_id}") == len(points)


def test_workers_killed_at_every_point_of_undoing_leave_what_served(on_stage: Stage) -> None:
    incident_id = on_stage.page("undone in turn")
    change_id = on_stage.ask_and_approve(MISSCORED)
    on_stage.kill_at_each(f"a{change_id}", UNDONE)
    on_stage.start_worker(f"b{change_id}")
    on_stage.assert_restored_once(change_id, incident_id, why="smoke request 0 scored")
    assert on_stage.entries(Action.RUN_RESUMED, f"change-{change_id}") == len(UNDONE)


@pytest.mark.parametrize(("shared_stage", "point"), ALONE, indirect=["shared_stage"], scope="package")
def test_a_worker_killed_anywhere_leaves_one_execution(on_stage: Stage, point: str) -> None:
    """Every second of them is survived by the same worker started again, the others by another one."""
    fails = point.split(":")[1] in WHEN_IT_FAILS
    incident_id = on_stage.page(point)
    on_stage.forget_kill(point)
    change_id = on_stage.ask_and_approve(MISSCORED if fails else on_stage.other_good())
    name = f"a{change_id}"
    killed = on_stage.start_worker(name, kill_at=point)
    assert killed.wait(60) == -signal.SIGKILL, killed.output()
    again = KILL_POINTS.index(point) // 2 % 2 == 0
    on_stage.start_worker(name if again else f"b{change_id}", kill_at=point)
    if fails:
        on_stage.assert_restored_once(change_id, incident_id, why="smoke request 0 scored")
    else:
        on_stage.assert_executed_once(change_id, incident_id)


def test_every_kill_point_is_named_once() -> None:
    assert len(EVERY_POINT) == len(set(EVERY_POINT))
    steps = {point.split(":")[1] for point in EVERY_POINT}
    assert {*WHEN_IT_FAILS, *TRIED_OUT, *ELSEWHERE} < steps


def test_a_version_that_no_gateway_loads_is_undone(on_stage: Stage) -> None:
    change_id = on_stage.ask_and_approve(UNLOADABLE)
    on_stage.start_worker("refused")
    on_stage.assert_restored_once(change_id, why="neither MLmodel nor model.skops")

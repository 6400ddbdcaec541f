"""Several workers want one change: one executes it, and one that wakes too late does nothing more."""

from __future__ import annotations

import os
import signal
import time

import pytest

from backend.audit.actions import Action
from backend.database.session import reading
from backend.queue import JobRun
from tests.chaos.processes import WorkerProcess
from tests.chaos.stage import Stage

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


def run_of(change_id: int) -> JobRun:
    with reading() as session:
        return session.get_one(JobRun, f"change-{change_id}")


def noticed(worker: WorkerProcess) -> bool:
    """Whether it has seen that its run is no longer its own: by our check, or by the engine's where that came first."""
    said = worker.output()
    return "was given to another worker" in said or "is no longer owned by this execution" in said


def test_two_workers_that_race_for_a_change_execute_it_once(on_stage: Stage) -> None:
    racers = [on_stage.start_worker(name) for name in ("left", "right")]
    for racer in racers:
        on_stage.wait_for(lambda racer=racer: "takes runs from" in racer.output(), 60, "the racer's start")
    for _ in range(4):
        change_id = on_stage.ask_and_approve(on_stage.other_good())
        on_stage.assert_executed_once(change_id)
        assert run_of(change_id).attempts == 1


def test_two_workers_that_find_a_dead_one_go_on_once(on_stage: Stage) -> None:
    change_id = on_stage.ask_and_approve(on_stage.other_good())
    point = "execute_change:write_deployment:after"
    on_stage.forget_kill(point)
    dead = on_stage.start_worker(f"dead{change_id}", kill_at=point)
    assert dead.wait(60) == -signal.SIGKILL
    for name in ("left", "right"):
        on_stage.start_worker(name)
    on_stage.assert_executed_once(change_id)
    assert on_stage.entries(Action.RUN_RESUMED, f"change-{change_id}") == 1
    assert run_of(change_id).attempts == 2


@pytest.mark.parametrize("wakes", ["while the other waits", "after the other ended", "after the next change"])
def test_a_worker_that_slept_through_its_own_funeral_does_nothing_more(on_stage: Stage, wakes: str) -> None:
    """It is stopped while it waits for the gateways, declared dead, and woken."""
    gateway = on_stage.gateway.process
    assert gateway is not None
    change_id = on_stage.ask_and_approve(on_stage.other_good())
    on_stage.put_to_sleep(gateway.pid)
    try:
        sleeper = on_stage.start_worker(f"sleeper{change_id}", WARRANT_GATEWAY_WAIT_S="90")
        on_stage.wait_step(change_id, "waiting until the gateways serve it")
        on_stage.put_to_sleep(sleeper.pid)
        heir = on_stage.start_worker(f"heir{change_id}", WARRANT_GATEWAY_WAIT_S="90")
        on_stage.wait_for(lambda: run_of(change_id).worker_id == heir.name, 60, "the taking over")
        if wakes == "while the other waits":
            sleeper.wake()
            on_stage.wait_for(lambda: noticed(sleeper), 30, "the noticing")
            assert on_stage.change(change_id).state == "executing"
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    on_stage.assert_executed_once(change_id)
    next_id = None
    if wakes == "after the next change":
        next_id = on_stage.ask_and_approve(on_stage.other_good())
        on_stage.assert_executed_once(next_id)
    entries = on_stage.entry_count()
    if wakes != "while the other waits":
        sleeper.wake()
        on_stage.wait_for(lambda: noticed(sleeper), 30, "the noticing")
        time.sleep(2)
    assert sleeper.alive()
    assert on_stage.entry_count() == entries
    (deployment,) = on_stage.deployments_of(change_id)
    assert on_stage.entries(Action.SMOKE_TESTED, deployment.id) == 1
    assert on_stage.entries(Action.ALIAS_MIRRORED, deployment.id) == 1
    last = next_id or change_id
    on_stage.assert_serves(on_stage.change(last).to_version, on_stage.deployments_of(last)[0].id)

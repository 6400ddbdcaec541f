"""kill -9 of the worker at every moment of a canary: each stage happens once, whoever goes on with it."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from backend import clock
from backend.audit.actions import Action
from backend.observations.store import accept
from backend.observations.validation import label_batch
from backend.queue import EXECUTE_CHANGE
from backend.settings import settings
from jobs.runtime import WORKFLOWS, load_workflow
from tests.chaos.stage import FEATURES, MISSCORED, MODEL, UNLOADABLE, Stage
from tests.chaos.test_rollback import TRIED_OUT

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

load_workflow(EXECUTE_CHANGE)
KILL_POINTS = [
    point for point in WORKFLOWS["execute_change"].kill_points() if point.split(":")[1] in TRIED_OUT
]
# The two good versions score differently: what is tested here is not whether that is found.
ANALYSIS = {"minimum_requests": 10, "latency_ratio": 1000.0, "score_shift": 1.0}
CANARY: dict[str, Any] = {"strategy": "canary", "steps": [0.4, 1], "bake_s": 2, "analysis": ANALYSIS}
numbers = itertools.count()


@contextmanager
def traffic(on_stage: Stage) -> Iterator[dict[str, dict[str, Any]]]:
    """A client that asks without pause; what it was answered, by id."""
    answered: dict[str, dict[str, Any]] = {}
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=on_stage.gateway.url, timeout=10.0) as client:
            while not stop.is_set():
                body = {"prediction_id": f"rollout-{next(numbers)}", "features": FEATURES}
                answer = client.post(f"/v1/models/{MODEL}/predict", json=body)
                assert answer.status_code == 200, answer.text
                answered[body["prediction_id"]] = answer.json()  # type: ignore[index]
                time.sleep(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answered
    finally:
        stop.set()
        thread.join()


def assert_stages(on_stage: Stage, change_id: int, verdicts: list[str]) -> None:
    """Each stage was opened and settled once, and the record says at every moment who answered what share."""
    stages = on_stage.stages(change_id)
    assert [one.verdict for one in stages] == verdicts
    assert on_stage.entries(Action.ROLLOUT_STEP, change_id) == len(verdicts)
    for one in stages:
        assert one.deployment_id is not None
        assert on_stage.entries(Action.DEPLOYMENT_STARTED, one.deployment_id) == 1
    served = on_stage.deployments_of(change_id)
    candidates = [one for one in served if one.version == on_stage.change(change_id).to_version]
    assert len(candidates) == len(stages)
    for earlier, later in itertools.pairwise(candidates):
        assert earlier.ended_at is not None and earlier.ended_at <= later.started_at


def test_workers_killed_at_every_point_of_a_canary_leave_one_rollout(on_stage: Stage) -> None:
    with traffic(on_stage) as answered:
        change_id = on_stage.promote(on_stage.other_good(), CANARY)
        on_stage.kill_at_each(f"a{change_id}", KILL_POINTS)
        on_stage.start_worker(f"b{change_id}")
        on_stage.wait_settled(change_id)
    on_stage.assert_executed_once(change_id)
    assert on_stage.entries(Action.RUN_RESUMED, f"change-{change_id}") == len(KILL_POINTS)
    assert_stages(on_stage, change_id, ["success", "success"])
    canary = on_stage.stages(change_id)[0]
    by_canary = [one for one in answered.values() if one["deployment_id"] == canary.deployment_id]
    assert by_canary and {one["role"] for one in by_canary} == {"canary"}
    assert canary.analysis["candidate"]["rows"] >= 10
    assert canary.analysis["champion"]["rows"] >= 10


def test_a_bake_goes_on_where_it_was_interrupted(on_stage: Stage) -> None:
    """Its end stands in the record: a worker that takes over waits only for what is left."""
    with traffic(on_stage):
        change_id = on_stage.promote(on_stage.other_good(), CANARY | {"bake_s": 9})
        first = on_stage.start_worker(f"first{change_id}")
        on_stage.wait_for(
            lambda: on_stage.stages(change_id) and on_stage.stages(change_id)[0].bake_until, 30, "the watch"
        )
        until = on_stage.stages(change_id)[0].bake_until
        first.kill()
        on_stage.start_worker(f"second{change_id}")
        on_stage.wait_for(lambda: on_stage.stages(change_id)[0].finished_at, 40, "the end of the stage")
        row = on_stage.stages(change_id)[0]
        assert row.bake_until == until
        assert row.finished_at is not None and until is not None
        assert until <= row.finished_at
        on_stage.wait_for(lambda: on_stage.stages(change_id)[1].bake_until, 30, "the next stage")
        on_stage.tell(change_id, "skip")
        on_stage.wait_settled(change_id)
    on_stage.assert_executed_once(change_id)
    assert_stages(on_stage, change_id, ["success", "skipped"])


def test_two_workers_racing_take_each_stage_once(on_stage: Stage) -> None:
    with traffic(on_stage):
        change_id = on_stage.promote(on_stage.other_good(), CANARY)
        point = "execute_change:watch_stage:after"
        on_stage.forget_kill(point)
        dead = on_stage.start_worker(f"dead{change_id}", kill_at=point)
        assert dead.wait(60) == -signal.SIGKILL
        for name in ("left", "right"):
            on_stage.start_worker(name)
        on_stage.wait_settled(change_id)
    on_stage.assert_executed_once(change_id)
    assert_stages(on_stage, change_id, ["success", "success"])
    assert on_stage.entries(Action.RUN_RESUMED, f"change-{change_id}") == 1


def assert_undone(on_stage: Stage, change_id: int, before: int, why: str) -> None:
    """The champion never moved: it goes on serving all requests, and everything beside it is over."""
    change = on_stage.wait_settled(change_id)
    assert (change.state, why in change.outcome) == ("failed", True), change.outcome
    served = on_stage.deployments_of(change_id)
    assert served and all(one.ended_at is not None and one.role == "canary" for one in served)
    assert [one.state for one in served if one.version == change.to_version][-1] == "failed"
    on_stage.assert_serves(change.from_version or 0, before)
    on_stage.wait_for(lambda: not on_stage.gateway.model(MODEL)["beside"], 10, "the canary's end")


UNDONE = [
    f"execute_change:{step}:{moment}"
    for step in ("restore", "confirm_restored")
    for moment in ("before", "after", "commit")
]


def test_workers_killed_at_every_point_of_taking_a_canary_back(on_stage: Stage) -> None:
    before = champion_id(on_stage)
    change_id = on_stage.promote(MISSCORED, CANARY)
    on_stage.kill_at_each(f"a{change_id}", UNDONE)
    on_stage.start_worker(f"b{change_id}")
    assert_undone(on_stage, change_id, before, "smoke request 0 scored")
    assert on_stage.entries(Action.EXECUTION_FAILED, change_id) == 1


def champion_id(on_stage: Stage) -> int:
    found = on_stage.gateway.model(MODEL)["deployment_id"]
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize(
    "version, why", [(UNLOADABLE, "neither MLmodel nor model.skops"), (MISSCORED, "smoke request 0 scored")]
)
def test_a_canary_that_cannot_serve_leaves_the_champion(on_stage: Stage, version: int, why: str) -> None:
    before = champion_id(on_stage)
    with traffic(on_stage) as answered:
        change_id = on_stage.promote(version, CANARY)
        on_stage.start_worker(f"refused{change_id}")
        on_stage.wait_settled(change_id)
    assert_undone(on_stage, change_id, before, why)
    if version == UNLOADABLE:
        assert {one["deployment_id"] for one in answered.values()} == {before}


def test_a_canary_whose_scores_differ_is_taken_back(on_stage: Stage) -> None:
    before = champion_id(on_stage)
    strict = {"analysis": ANALYSIS | {"score_shift": 1e-9}}
    with traffic(on_stage):
        change_id = on_stage.promote(on_stage.other_good(), CANARY | strict)
        on_stage.start_worker(f"w{change_id}")
        on_stage.wait_settled(change_id)
    assert_undone(on_stage, change_id, before, "its mean score is")
    assert on_stage.stages(change_id)[0].verdict == "failure"


def test_without_requests_it_waits_for_a_person_who_can_abort(on_stage: Stage) -> None:
    before = champion_id(on_stage)
    change_id = on_stage.promote(on_stage.other_good(), CANARY | {"bake_s": 1})
    on_stage.start_worker(f"w{change_id}")
    on_stage.wait_for(
        lambda: on_stage.change(change_id).step.startswith("inconclusive at 40 %"), 30, "the question"
    )
    on_stage.tell(change_id, "abort")
    assert_undone(on_stage, change_id, before, "aborted: on the stage")


def test_pausing_holds_a_stage_and_resuming_gives_it_the_time_it_had(on_stage: Stage) -> None:
    with traffic(on_stage):
        change_id = on_stage.promote(on_stage.other_good(), CANARY | {"bake_s": 3})
        on_stage.start_worker(f"w{change_id}")
        on_stage.wait_for(lambda: on_stage.change(change_id).step.startswith("watching"), 30, "the watch")
        on_stage.tell(change_id, "pause")
        on_stage.wait_for(lambda: on_stage.change(change_id).step.startswith("paused"), 10, "the pause")
        time.sleep(4)
        row = on_stage.stages(change_id)[0]
        assert row.finished_at is None and row.bake_until is not None and row.bake_until < clock.now()
        on_stage.tell(change_id, "resume")
        on_stage.wait_settled(change_id)
    on_stage.assert_executed_once(change_id)
    assert_stages(on_stage, change_id, ["success", "success"])


@pytest.mark.parametrize("strategy", ["blue_green", "shadow_first", "all_at_once"])
def test_the_other_strategies_come_to_their_end(on_stage: Stage, strategy: str) -> None:
    rollout = {"strategy": strategy, "bake_s": 2, "analysis": ANALYSIS}
    with traffic(on_stage) as answered:
        change_id = on_stage.promote(on_stage.other_good(), rollout)
        on_stage.start_worker(f"w{change_id}")
        on_stage.wait_settled(change_id)
    on_stage.assert_executed_once(change_id)
    stages = on_stage.stages(change_id)
    assert_stages(on_stage, change_id, ["success"] * len(stages))
    roles = [(one.role, one.share) for one in stages]
    assert (
        roles
        == {
            "blue_green": [("canary", 0.0), ("champion", 1.0)],
            "shadow_first": [("shadow", 0.0), ("champion", 1.0)],
            "all_at_once": [("champion", 1.0)],
        }[strategy]
    )
    if strategy != "all_at_once":
        assert not [one for one in answered.values() if one["deployment_id"] == stages[0].deployment_id]
    if strategy == "shadow_first":
        assert stages[0].analysis["candidate"]["rows"] >= 10


def test_an_ab_rollout_is_decided_by_labels(on_stage: Stage) -> None:
    """Whatever the challenger said turns out to be right, and what the champion said to be wrong."""
    rollout = {
        "strategy": "ab", "steps": [0.5], "bake_s": 3, "metric": "accuracy", "longest_s": 120, "analysis": ANALYSIS,
    }  # fmt: skip
    with traffic(on_stage) as answered:
        change_id = on_stage.promote(on_stage.other_good(), rollout)
        on_stage.start_worker(f"w{change_id}", queues="changes,writer", WARRANT_SPOOL_COMMIT_S="0.3")
        on_stage.wait_for(lambda: on_stage.change(change_id).step.startswith("watching"), 30, "the watch")
        tried = on_stage.stages(change_id)[0].deployment_id

        def arms() -> tuple[int, int]:
            mine = [one["deployment_id"] == tried for one in list(answered.values())]
            return sum(mine), len(mine) - sum(mine)

        on_stage.wait_for(lambda: min(arms()) > 60, 30, "answers of both")
        assert on_stage.stages(change_id)[0].finished_at is None
        label({
            prediction_id: one["prediction"] if one["deployment_id"] == tried else str(1 - int(one["prediction"]))
            for prediction_id, one in list(answered.items())
        })  # fmt: skip
        on_stage.wait_settled(change_id)
    on_stage.assert_executed_once(change_id)
    assert_stages(on_stage, change_id, ["success", "success"])
    comparison = on_stage.stages(change_id)[0].analysis["comparison"]
    assert (comparison["metric"], comparison["challenger"]["mean"], comparison["champion"]["mean"]) == (
        "accuracy", 1.0, 0.0,
    )  # fmt: skip


def label(values: dict[str, str]) -> None:
    now = clock.now()
    table = label_batch(
        [
            {"prediction_id": one, "label": value, "status": "known", "label_ts": clock.to_iso(now)}
            for one, value in values.items()
        ],
        now=now,
    )
    accept(settings().observations, settings().spool, MODEL, "labels", table, source="api", now=now)


def test_from_approval_to_the_first_answer_of_the_new_version(on_stage: Stage) -> None:
    """All at once, with a worker that waits for work: under five seconds."""
    with traffic(on_stage) as answered:
        on_stage.start_worker("waiting")
        first = on_stage.promote(on_stage.other_good(), {"strategy": "all_at_once"})
        on_stage.assert_executed_once(first)  # from now on the worker is warm, and both versions are loaded
        change_id = on_stage.promote(on_stage.other_good(), {"strategy": "all_at_once"})
        approved_at = time.monotonic()
        to_version = on_stage.change(change_id).to_version
        on_stage.wait_for(
            lambda: list(answered.values())[-1]["version"] == to_version,
            5,
            "the first answer of the new version",
        )
        took_s = time.monotonic() - approved_at
        on_stage.assert_executed_once(change_id)
    assert took_s < 5

"""kill -9 at every point of an execution that a cluster carries out: one rollout, or the state before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend.audit.actions import Action
from backend.queue import EXECUTE_CHANGE
from jobs.runtime import WORKFLOWS, load_workflow
from tests.chaos.stage import GOOD, Stage
from tests.chaos.test_rollout import CANARY, assert_stages, traffic
from tests.integration.deployment.cluster import NAMESPACE, Cluster, cluster, version_of, write_kubeconfig

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.parametrize("shared_stage", ["sqlite"], indirect=True, scope="package"),
]

load_workflow(EXECUTE_CHANGE)


def points(*steps: str) -> list[str]:
    return [point for point in WORKFLOWS["execute_change"].kill_points() if point.split(":")[1] in steps]


AT_ONCE = points(
    "check_approval", "write_deployment", "await_gateways", "smoke_test", "mirror_alias", "close_change"
)
TRIED_OUT = points("open_stage", "await_stage", "smoke_stage", "watch_stage", "watch_champion")
PUT_BACK = points("restore", "confirm_restored", "mirror_restored_alias")


@contextmanager
def a_cluster(on_stage: Stage) -> Iterator[tuple[Cluster, dict[str, str]]]:
    """One that serves what the record says, and the settings of a worker that changes it."""
    with cluster() as there:
        there.lag, there.busy = 2, 2
        there.add("toy", on_stage.serving())
        there.add("toy-canary", on_stage.serving(), replicas=0)
        config: Path = write_kubeconfig(there, on_stage.folder / "kubeconfig")
        yield (
            there,
            {
                "WARRANT_TARGET": "kubernetes",
                "WARRANT_KUBERNETES_CONFIG": str(config),
                "WARRANT_KUBERNETES_NAMESPACE": NAMESPACE,
                "WARRANT_KUBERNETES_CONTAINER": "model",
                "WARRANT_KUBERNETES_CANARY": "{model}-canary",
            },
        )


def assert_serves(there: Cluster, version: int) -> None:
    """All pods serve it, and the canary's Deployment is empty."""
    main, canary = there.objects["toy"], there.objects["toy-canary"]
    assert (version_of(main), main["spec"]["replicas"], canary["spec"]["replicas"]) == (str(version), 10, 0)
    assert main["status"]["updatedReplicas"] == main["status"]["availableReplicas"] == 10


def test_workers_killed_at_every_point_leave_one_rollout(on_stage: Stage) -> None:
    with a_cluster(on_stage) as (there, told):
        change_id = on_stage.ask_and_approve(on_stage.other_good())
        on_stage.kill_at_each(f"k{change_id}", AT_ONCE, **told)
        on_stage.start_worker(f"l{change_id}", **told)
        on_stage.assert_executed_once(change_id)
        assert on_stage.entries(Action.RUN_RESUMED, f"change-{change_id}") == len(AT_ONCE)
        (deployment,) = on_stage.deployments_of(change_id)
        assert there.rollouts == {"toy": [str(deployment.version)]}
        assert there.effects == {"toy": [f"change-{change_id}-{deployment.id}"]}
        assert_serves(there, deployment.version)


def test_workers_killed_at_every_point_of_a_canary_leave_one(on_stage: Stage) -> None:
    with a_cluster(on_stage) as (there, told), traffic(on_stage):
        version = on_stage.other_good()
        change_id = on_stage.promote(version, CANARY)
        on_stage.kill_at_each(f"k{change_id}", TRIED_OUT, **told)
        on_stage.start_worker(f"l{change_id}", **told)
        on_stage.assert_executed_once(change_id)
        assert on_stage.entries(Action.RUN_RESUMED, f"change-{change_id}") == len(TRIED_OUT)
        assert_stages(on_stage, change_id, ["success", "success"])
        assert there.rollouts["toy-canary"] == [str(version)]
        # The champion's own version is written down once, then the new one rolls out, once.
        assert there.rollouts["toy"][-1] == str(version)
        assert there.rollouts["toy"].count(str(version)) == 1
        assert_serves(there, version)


def test_workers_killed_at_every_point_of_putting_back_leave_what_served(on_stage: Stage) -> None:
    before = on_stage.serving()
    with a_cluster(on_stage) as (there, told):
        version = on_stage.other_good()
        there.stuck = {str(version)}
        change_id = on_stage.ask_and_approve(version)
        on_stage.kill_at_each(f"k{change_id}", PUT_BACK, **told)
        on_stage.start_worker(f"l{change_id}", **told)
        on_stage.assert_restored_once(change_id, why="made no progress in time")
        assert on_stage.entries(Action.RUN_RESUMED, f"change-{change_id}") == len(PUT_BACK)
        assert there.rollouts == {"toy": [str(version), str(before)]}
        assert_serves(there, before)


def test_an_api_that_goes_away_is_waited_for(on_stage: Stage) -> None:
    with a_cluster(on_stage) as (there, told):
        there.away = True
        change_id = on_stage.ask_and_approve(on_stage.other_good())
        on_stage.start_worker(f"k{change_id}", **{**told, "WARRANT_GATEWAY_WAIT_S": "120"})
        on_stage.wait_step(change_id, "waiting until the gateways serve it")
        assert on_stage.serving() in GOOD
        on_stage.wait_for(lambda: there.refused >= 12, 60, "three rounds of asking")
        there.away = False
        on_stage.assert_executed_once(change_id)
        assert len(there.rollouts["toy"]) == 1


def test_a_worker_whose_change_was_taken_over_moves_nothing(on_stage: Stage) -> None:
    """It sleeps while the API is away, and another worker ends its change meanwhile."""
    with a_cluster(on_stage) as (there, told):
        there.away = True
        change_id = on_stage.ask_and_approve(on_stage.other_good())
        patient = {**told, "WARRANT_GATEWAY_WAIT_S": "120"}
        asleep = on_stage.start_worker(f"k{change_id}", **patient)
        on_stage.wait_for(lambda: there.refused >= 2, 60, "the first question")
        on_stage.put_to_sleep(asleep.pid)
        there.away = False
        on_stage.start_worker(f"l{change_id}", **patient)
        on_stage.assert_executed_once(change_id)
        rollouts = {name: list(each) for name, each in there.rollouts.items()}
        asleep.wake()
        on_stage.wait_for(lambda: "was given to another worker" in asleep.output(), 30, "that it gives up")
        assert there.rollouts == rollouts
        assert_serves(there, on_stage.serving())

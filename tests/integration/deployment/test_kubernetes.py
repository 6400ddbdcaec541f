"""The kubernetes target against an API that behaves, misbehaves and is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.deployment.targets import Observed, Part, TargetAway, TargetRefused, Wanted, the_target
from backend.deployment.targets.kubernetes import Naming, pods_of
from backend.deployment.targets.kubernetes_api import Cluster as Calls
from backend.deployment.targets.kubernetes_api import Moved
from backend.errors import BadInput
from backend.settings import settings
from tests.integration.deployment.cluster import (
    NAMESPACE,
    Cluster,
    Refusal,
    check,
    cluster,
    kubernetes_target,
    write_kubeconfig,
)


def wanted(version: int, *, change: int = 7, canary: int | None = None, share: float = 0.2) -> Wanted:
    parts = [Part(version, version, "champion", 1.0, 0.5, f"/models/{version}", f"sha256:{version}")]
    if canary is not None:
        parts.append(Part(canary, canary, "canary", share, 0.5, f"/models/{canary}", f"sha256:{canary}"))
    return Wanted(change, "toy", "production", tuple(parts))


@pytest.fixture
def there(home: Path) -> Iterator[Cluster]:
    with cluster() as made:
        made.add("toy", 1)
        made.add("toy-canary", 1, replicas=0)
        yield made


def observed(target: Any, state: Wanted, within: int = 30) -> Observed:
    """Asked until it is settled, at most so often."""
    for _ in range(within):
        found: Observed = target.observe(state)
        if found.settled:
            break
    return found


def container(there: Cluster, name: str = "toy") -> dict[str, Any]:
    found: dict[str, Any] = there.objects[name]["spec"]["template"]["spec"]["containers"][0]
    return found


def variables(there: Cluster, name: str = "toy") -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(there, name)["env"]}


def test_pods_learn_what_they_serve_and_keep_the_rest(there: Cluster, tmp_path: Path) -> None:
    target = kubernetes_target(there, tmp_path)
    target.ensure(wanted(2))
    assert variables(there) == {
        "THREADS": "2",
        "WARRANT_MODEL": "toy",
        "WARRANT_VERSION": "2",
        "WARRANT_ARTEFACT": "/models/2",
        "WARRANT_ARTEFACT_DIGEST": "sha256:2",
        "WARRANT_CUTOFF": "0.5",
    }
    containers = there.objects["toy"]["spec"]["template"]["spec"]["containers"]
    assert [one["image"] for one in containers] == ["registry.example/toy:base", "proxy:1"]
    notes = there.objects["toy"]["metadata"]["annotations"]
    assert notes["warrant/key"] == "change-7-2"
    assert notes["kubernetes.io/change-cause"] == "CHG-7"


def test_an_image_for_each_version_is_named(there: Cluster, tmp_path: Path) -> None:
    naming = Naming(NAMESPACE, "{model}", None, "model", "registry.example/{model}:{version}")
    kubernetes_target(there, tmp_path, naming=naming).ensure(wanted(2))
    assert container(there)["image"] == "registry.example/toy:2"


def test_a_rollout_is_waited_for_to_its_last_pod(there: Cluster, tmp_path: Path) -> None:
    there.lag, there.busy = 3, 2
    target = kubernetes_target(there, tmp_path)
    target.ensure(wanted(2))
    texts = [target.observe(wanted(2)).text for _ in range(6)]
    assert "toy: the controller has not seen it yet" in texts
    assert "toy: 5 of 10 pods are updated" in texts
    assert observed(target, wanted(2)).settled
    assert there.rollouts == {"toy": ["2"]}


def test_old_pods_and_pods_that_are_not_available_are_waited_for(there: Cluster, tmp_path: Path) -> None:
    target = kubernetes_target(there, tmp_path)
    target.ensure(wanted(2))
    assert observed(target, wanted(2)).settled
    status = there.objects["toy"]["status"]
    status["replicas"] = 12
    assert target.observe(wanted(2)).text == "toy: 2 old pods are still there"
    status |= {"replicas": 10, "availableReplicas": 7}
    assert target.observe(wanted(2)).text == "toy: 7 of 10 updated pods are available"


def test_a_rollout_without_progress_is_a_refusal_and_can_be_put_back(there: Cluster, tmp_path: Path) -> None:
    there.stuck = {"2"}
    target = kubernetes_target(there, tmp_path)
    target.ensure(wanted(2))
    with pytest.raises(TargetRefused, match="no progress in time: ReplicaSet has timed out"):
        observed(target, wanted(2))
    target.restore(wanted(1, change=7))
    assert observed(target, wanted(1)).settled
    assert variables(there)["WARRANT_VERSION"] == "1"


def test_a_paused_deployment_is_a_refusal(there: Cluster, tmp_path: Path) -> None:
    there.objects["toy"]["spec"]["paused"] = True
    target = kubernetes_target(there, tmp_path)
    target.ensure(wanted(2))
    with pytest.raises(TargetRefused, match="paused"):
        target.observe(wanted(2))


# --- canaries


def test_a_canary_has_its_share_of_the_pods_and_gives_them_back(there: Cluster, tmp_path: Path) -> None:
    target = kubernetes_target(there, tmp_path)

    def pods() -> tuple[int, int]:
        return tuple(there.objects[name]["spec"]["replicas"] for name in ("toy", "toy-canary"))  # type: ignore[return-value]

    for share, expected in ((0.2, (8, 2)), (0.55, (5, 5))):
        state = wanted(1, canary=2, share=share)
        target.ensure(state)
        assert (observed(target, state).settled, pods()) == (True, expected)
    assert (variables(there)["WARRANT_VERSION"], variables(there, "toy-canary")["WARRANT_VERSION"]) == (
        "1",
        "2",
    )
    target.ensure(wanted(2))
    assert (observed(target, wanted(2)).settled, pods()) == (True, (10, 0))
    assert "warrant/replicas" not in there.objects["toy"]["metadata"]["annotations"]


def test_a_canary_that_is_put_back_leaves_the_champion_as_it_was(there: Cluster, tmp_path: Path) -> None:
    target = kubernetes_target(there, tmp_path)
    target.ensure(wanted(1))
    there.rollouts.clear()
    target.ensure(wanted(1, canary=2))
    target.restore(wanted(1))
    assert observed(target, wanted(1)).settled
    assert there.objects["toy"]["spec"]["replicas"] == 10
    assert there.rollouts == {"toy-canary": ["2"]}


def test_more_than_the_approved_share_is_refused(there: Cluster, tmp_path: Path) -> None:
    with pytest.raises(TargetRefused, match=r"a share of 0.05 needs 20 pods; the Deployment toy has 10"):
        kubernetes_target(there, tmp_path).ensure(wanted(1, canary=2, share=0.05))
    assert there.effects == {}
    for total in range(1, 60):
        for percent in range(1, 100):
            try:
                assert pods_of(percent / 100, total, "toy") * 100 <= percent * total
            except TargetRefused:
                assert percent * total < 100


def test_where_nothing_is_to_serve_there_are_no_pods_and_the_next_version_gets_them_back(
    there: Cluster, tmp_path: Path
) -> None:
    target, nothing = kubernetes_target(there, tmp_path), Wanted(8, "toy", "production", ())

    def pods() -> tuple[int, int]:
        return tuple(there.objects[name]["spec"]["replicas"] for name in ("toy", "toy-canary"))  # type: ignore[return-value]

    target.ensure(wanted(1, canary=2))
    assert pods() == (8, 2)
    assert "8 to 0 pods" in (target.lacks(nothing) or "")
    for _ in range(2):
        target.restore(nothing)
        assert (observed(target, nothing).settled, pods(), target.lacks(nothing)) == (True, (0, 0), None)
    with pytest.raises(TargetRefused, match="CHG-8 has changed"):
        target.ensure(wanted(1))
    target.ensure(wanted(3, change=9))
    assert (observed(target, wanted(3, change=9)).settled, pods()) == (True, (10, 0))


def test_where_no_deployment_is_nothing_is_to_be_emptied(there: Cluster, tmp_path: Path) -> None:
    there.objects.clear()
    target, nothing = kubernetes_target(there, tmp_path), Wanted(8, "toy", "production", ())
    target.restore(nothing)
    assert target.observe(nothing).settled and there.effects == {}


def test_a_version_that_is_kept_for_a_return_has_no_pods(there: Cluster, tmp_path: Path) -> None:
    target, state = kubernetes_target(there, tmp_path), wanted(2, canary=1, share=0.0)
    target.ensure(state)
    assert observed(target, state).settled
    assert there.objects["toy-canary"]["spec"]["replicas"] == 0


def test_what_pods_cannot_do_is_refused(there: Cluster, tmp_path: Path) -> None:
    target = kubernetes_target(there, tmp_path)
    shadow = Part(2, 2, "shadow", 0.0, 0.5, "/models/2", "sha256:2")
    with pytest.raises(TargetRefused, match="no shadows"):
        target.ensure(Wanted(7, "toy", "production", (*wanted(1).parts, shadow)))
    with pytest.raises(TargetRefused, match="is the champion"):
        target.ensure(Wanted(7, "toy", "production", (shadow,)))
    none = kubernetes_target(there, tmp_path, naming=Naming(NAMESPACE, container="model"))
    with pytest.raises(TargetRefused, match="WARRANT_KUBERNETES_CANARY"):
        none.ensure(wanted(1, canary=2))
    assert there.effects == {}


# --- whose it is


def test_a_deployment_of_another_model_is_left_alone(there: Cluster, tmp_path: Path) -> None:
    there.objects["toy"]["metadata"]["annotations"] = {"warrant/model": "other"}
    with pytest.raises(TargetRefused, match="belongs to other in production"):
        kubernetes_target(there, tmp_path).ensure(wanted(2))
    assert there.rollouts == {}


def test_an_earlier_change_does_not_overwrite_a_later_one(there: Cluster, tmp_path: Path) -> None:
    target = kubernetes_target(there, tmp_path)
    target.ensure(wanted(3, change=8))
    for told in (target.ensure, target.observe, target.restore):
        with pytest.raises(TargetRefused, match="CHG-8 has changed"):
            told(wanted(2, change=7))
    assert there.rollouts == {"toy": ["3"]}


def test_which_container_serves_must_be_clear(there: Cluster, tmp_path: Path) -> None:
    for chosen in (None, "absent"):
        naming = Naming(NAMESPACE, container=chosen)
        with pytest.raises(TargetRefused, match="has the containers model, proxy"):
            kubernetes_target(there, tmp_path, naming=naming).ensure(wanted(2))


# --- dry runs


def test_nothing_is_changed_where_one_of_two_would_be_refused(there: Cluster, tmp_path: Path) -> None:
    container(there, "toy-canary").pop("image")
    with pytest.raises(TargetRefused, match="image"):
        kubernetes_target(there, tmp_path).ensure(wanted(2, canary=3))
    assert (there.effects, there.rollouts) == ({}, {})


def test_a_dry_run_says_what_would_be_and_changes_nothing(there: Cluster, tmp_path: Path) -> None:
    before = yaml.safe_dump(there.objects)
    target = kubernetes_target(there, tmp_path, dry_run=True)
    assert target.preview(wanted(2)) == ["toy: version 2 with the cut-off 0.5"]
    with pytest.raises(TargetRefused, match=r"dry run: .* toy: version 2 .*; nothing was changed"):
        target.ensure(wanted(2))
    assert yaml.safe_dump(there.objects) == before
    assert all("dryRun" in query for verb, _, query in there.requests if verb == "patch")


# --- what goes wrong


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_what_may_pass_is_tried_again(there: Cluster, tmp_path: Path, status: int) -> None:
    there.answers = [status, status]
    target = kubernetes_target(there, tmp_path)
    target.ensure(wanted(2))
    assert observed(target, wanted(2)).settled
    assert there.effects["toy"] == ["change-7-2"]


def test_the_pause_that_the_api_asks_for_is_made(there: Cluster, tmp_path: Path) -> None:
    there.answers, there.retry_after_s = [429], 0.4
    began = time.monotonic()
    kubernetes_target(there, tmp_path).ensure(wanted(2))
    assert time.monotonic() - began >= 0.4
    assert there.effects["toy"] == ["change-7-2"]


@pytest.mark.parametrize(("before", "after"), [(2, 0), (0, 1)])
def test_a_connection_that_breaks_is_no_second_effect(
    there: Cluster, tmp_path: Path, before: int, after: int
) -> None:
    there.cut_before, there.cut_after = before, after
    target = kubernetes_target(there, tmp_path)
    target.ensure(wanted(2))
    assert observed(target, wanted(2)).settled
    assert (there.effects["toy"], there.rollouts["toy"]) == (["change-7-2"], ["2"])


def test_what_others_change_meanwhile_is_kept(there: Cluster, tmp_path: Path) -> None:
    there.meddle = 2
    kubernetes_target(there, tmp_path).ensure(wanted(2))
    notes = there.objects["toy"]["metadata"]["annotations"]
    assert (notes["else"], notes["warrant/key"]) == ("0", "change-7-2")
    there.meddle = 99
    target = kubernetes_target(there, tmp_path)
    target.ensure(wanted(3))
    assert "others change toy at the same time" in target.observe(wanted(3)).text


def test_an_api_that_is_away_is_waited_for(there: Cluster, tmp_path: Path) -> None:
    there.away = True
    target = kubernetes_target(there, tmp_path)
    target.ensure(wanted(2))
    found = target.observe(wanted(2))
    assert (found.settled, "did not answer 4 times" in found.text) == (False, True)
    there.away = False
    assert observed(target, wanted(2)).settled
    assert there.effects["toy"] == ["change-7-2"]


def test_the_api_may_go_away_in_the_middle_of_a_rollout(there: Cluster, tmp_path: Path) -> None:
    there.busy = 2
    target = kubernetes_target(there, tmp_path)
    target.ensure(wanted(2))
    there.away = True
    assert not target.observe(wanted(2)).settled
    there.away = False
    assert observed(target, wanted(2)).settled
    assert there.rollouts == {"toy": ["2"]}


@pytest.mark.parametrize(("token", "grants", "status"), [("guessed", True, 401), (None, False, 403)])
def test_what_stays_refused_is_not_tried_again(
    there: Cluster, tmp_path: Path, token: str | None, grants: bool, status: int
) -> None:
    there.grants = grants
    target = kubernetes_target(there, tmp_path, **({"token": token} if token else {}))
    with pytest.raises(TargetRefused, match=str(status)):
        target.ensure(wanted(2))
    assert len(there.requests) == 1


def test_a_deployment_that_is_not_there_is_a_refusal(there: Cluster, tmp_path: Path) -> None:
    del there.objects["toy"]
    with pytest.raises(TargetRefused, match=r"404 .*not found"):
        kubernetes_target(there, tmp_path).ensure(wanted(2))


def test_two_workers_at_once_have_one_effect(there: Cluster, tmp_path: Path) -> None:
    targets = [kubernetes_target(there, tmp_path) for _ in range(4)]
    threads = [threading.Thread(target=one.ensure, args=(wanted(2),)) for one in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (there.effects["toy"], there.rollouts["toy"]) == (["change-7-2"], ["2"])


def test_the_cluster_is_not_asked_without_pause(there: Cluster, tmp_path: Path) -> None:
    target = kubernetes_target(there, tmp_path, poll_s=60.0)
    target.ensure(wanted(2))
    asked = len(there.requests)
    for _ in range(10):
        target.observe(wanted(2))
    assert len(there.requests) - asked <= 4


# --- settings and rights


def test_the_settings_name_the_cluster(
    there: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_TARGET", "kubernetes")
    monkeypatch.setenv("WARRANT_KUBERNETES_CONFIG", str(write_kubeconfig(there, tmp_path / "config")))
    monkeypatch.setenv("WARRANT_KUBERNETES_NAMESPACE", NAMESPACE)
    monkeypatch.setenv("WARRANT_KUBERNETES_CONTAINER", "model")
    settings.cache_clear()
    target = the_target()
    target.ensure(wanted(2))
    assert variables(there)["WARRANT_VERSION"] == "2"
    for name, value, said in (
        ("IMAGE", "registry/{tag}", r"can name model, environment, version"),
        ("DEPLOYMENT", "{version}", r"can name model, environment in braces"),
        ("CANARY", "{model}", "the champion itself"),
    ):
        monkeypatch.setenv(f"WARRANT_KUBERNETES_{name}", value)
        settings.cache_clear()
        with pytest.raises(BadInput, match=said):
            the_target()
        monkeypatch.delenv(f"WARRANT_KUBERNETES_{name}")
    monkeypatch.setenv("WARRANT_KUBERNETES_CONFIG", str(tmp_path / "absent"))
    settings.cache_clear()
    with pytest.raises(BadInput, match="found no cluster"):
        the_target()


def test_the_names_of_deployments_are_ones_that_kubernetes_takes() -> None:
    state = Wanted(7, "Fraud_EU", "production", ())
    assert Naming().name("{model}-{environment}", state) == "fraud-eu-production"
    with pytest.raises(TargetRefused, match="cannot name a Deployment"):
        Naming().name("{model}.x", state)


# --- the double itself


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ({"spec": {"replica": 3}}, 400),
        ({"spec": {"template": {"spec": {"containers": [{"name": "model", "envs": []}]}}}}, 400),
        ({"spec": {"replicas": "3"}}, 422),
        ({"spec": {"selector": None}}, 422),
        ({"spec": {"selector": {"matchLabels": {"app": "other"}}}}, 422),
        ({"metadata": {"resourceVersion": "99"}}, 409),
        ({"metadata": {"annotations": {"warrant/change": 7}}}, 422),
        ({"spec": {"template": {"spec": {"containers": [{"name": "new"}]}}}}, 422),
    ],
)
def test_the_double_refuses_what_kubernetes_refuses(
    there: Cluster, patch: dict[str, Any], status: int
) -> None:
    before = yaml.safe_dump(there.objects)
    with pytest.raises(Refusal) as refused:
        there.patch("toy", patch, dry_run=False)
    assert refused.value.status == status
    assert yaml.safe_dump(there.objects) == before
    check(there.objects["toy"])


def test_a_conflict_is_told_from_a_refusal(there: Cluster, tmp_path: Path) -> None:
    target = kubernetes_target(there, tmp_path)
    calls = target._cluster
    assert isinstance(calls, Calls)
    with pytest.raises(Moved):
        calls.patch("toy", {"metadata": {"resourceVersion": "99"}})
    there.away = True
    with pytest.raises(TargetAway):
        calls.read("toy")

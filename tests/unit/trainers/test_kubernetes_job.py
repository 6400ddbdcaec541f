"""A training job as documents of Kubernetes, held against the models of its official client without a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.errors import BadInput
from jobs.trainers.base import trainer_named
from jobs.trainers.contract import HEARTBEAT, JOB, METRICS, Limits, TrainingJob
from jobs.trainers.kubernetes_job import GPU, Cluster, check, main, render
from tests.unit.trainers.jobs import job_in

NETWORK = trainer_named("tabular_network")


def network(folder: Path, **changes: Any) -> TrainingJob:
    return replace(
        job_in(folder, "tabular_network", parameters={"devices": 4}, device="gpu"),
        run_id="retrain-7", limits=Limits(wall_s=600, memory_mb=2048, heartbeat_s=60), **changes,
    )  # fmt: skip


def cluster(folder: Path, hosts: int = 1) -> Cluster:
    return Cluster("registry.example/warrant-gpu:1", "training", folder, hosts)


def pod_of(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    pod = document["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def test_a_job_of_one_host_asks_for_its_gpus_and_memory_and_mounts_what_the_job_file_names(
    tmp_path: Path,
) -> None:
    (document,) = render(network(tmp_path), tmp_path / JOB, NETWORK, cluster(tmp_path))
    pod, container = pod_of(document)
    assert (document["kind"], document["metadata"]["name"]) == ("Job", "train-retrain-7")
    assert container["resources"]["limits"] == {"cpu": "4", "memory": "2048Mi", GPU: "4"}
    assert container["command"] == [
        "torchrun", "--standalone", "--nproc-per-node", "4", "--max-restarts", "0", "jobs/trainers/__main__.py",
        str(tmp_path / JOB),
    ]  # fmt: skip
    assert container["volumeMounts"][0] == {"name": "shared", "mountPath": str(tmp_path)}
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "training"}
    assert pod["automountServiceAccountToken"] is False


def test_a_pod_counts_as_alive_by_its_newest_sign(tmp_path: Path) -> None:
    (document,) = render(network(tmp_path), tmp_path / JOB, NETWORK, cluster(tmp_path))
    out = network(tmp_path).out
    alive = [sys.executable, *pod_of(document)[1]["livenessProbe"]["exec"]["command"][1:]]
    out.mkdir(parents=True, exist_ok=True)
    assert subprocess.run(alive, check=False).returncode == 1, "no sign at all"
    for name, age in ((HEARTBEAT, 300), (METRICS, 10)):
        (out / name).touch()
        os.utime(out / name, (time.time() - age,) * 2)
    assert subprocess.run(alive, check=False).returncode == 0
    (out / METRICS).unlink()
    assert subprocess.run(alive, check=False).returncode == 1


def test_several_hosts_are_an_indexed_job_whose_pods_find_the_first_by_a_headless_service(
    tmp_path: Path,
) -> None:
    service, document = render(network(tmp_path), tmp_path / JOB, NETWORK, cluster(tmp_path, hosts=2))
    pod, container = pod_of(document)
    name = document["metadata"]["name"]
    assert (service["spec"]["clusterIP"], service["metadata"]["name"], pod["subdomain"]) == (
        "None",
        name,
        name,
    )
    assert service["spec"]["selector"].items() <= document["spec"]["template"]["metadata"]["labels"].items()
    assert {
        "completionMode": "Indexed",
        "parallelism": 2,
        "completions": 2,
        "backoffLimit": 6,
    }.items() <= document["spec"].items()
    command = " ".join(container["command"])
    assert f"--nnodes 2 --rdzv-backend c10d --rdzv-endpoint {name}-0.{name}:29500" in command


def test_a_job_for_the_processor_asks_for_no_gpu_and_needs_no_torchrun(tmp_path: Path) -> None:
    job = job_in(tmp_path, "sklearn_boosting")
    (document,) = render(job, tmp_path / JOB, trainer_named("sklearn_boosting"), cluster(tmp_path))
    pod, container = pod_of(document)
    assert GPU not in container["resources"]["limits"]
    assert "tolerations" not in pod
    assert container["command"][:3] == ["python", "-m", "jobs.trainers"]


def test_what_no_pod_could_do_is_refused_in_words(tmp_path: Path) -> None:
    job = job_in(tmp_path, "sklearn_boosting")
    trainer = trainer_named("sklearn_boosting")
    with pytest.raises(BadInput, match="trains on one host"):
        render(job, tmp_path / JOB, trainer, cluster(tmp_path, hosts=2))
    with pytest.raises(BadInput, match=r"job file: /elsewhere/job.json does not lie under"):
        render(job, Path("/elsewhere/job.json"), trainer, cluster(tmp_path))
    with pytest.raises(BadInput, match="makes no name of Kubernetes"):
        render(replace(job, run_id="a run"), tmp_path / JOB, trainer, cluster(tmp_path))


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("spec", "backofLimit"), 3, "Job.spec: Kubernetes knows no backofLimit here"),
        (("spec", "backoffLimit"), "3", "Job.spec.backoffLimit: '3' is of another type"),
        (("spec", "template", "spec", "containers", 0, "name"), None, "containers\\[0\\].name"),
        (
            ("spec", "template", "spec", "containers", 0, "resources", "limits", GPU),
            4,
            "nvidia.com/gpu: 4 is of",
        ),
    ],
)
def test_a_document_that_kubernetes_would_not_take_is_found_without_a_cluster(
    tmp_path: Path, place: tuple[Any, ...], value: Any, said: str
) -> None:
    (document,) = render(network(tmp_path), tmp_path / JOB, NETWORK, cluster(tmp_path))
    found: Any = document
    for one in place[:-1]:
        found = found[one]
    found[place[-1]] = value
    with pytest.raises(BadInput, match=said):
        check(document)


def test_the_command_prints_what_kubectl_reads_and_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = network(tmp_path).write(tmp_path / JOB)
    given = [str(path), "--image", "i", "--claim", "c", "--mount", str(tmp_path), "--hosts", "2"]
    assert main(given) == 0
    assert [one["kind"] for one in yaml.safe_load_all(capsys.readouterr().out)] == ["Service", "Job"]
    assert main([*given[:-1], "0"]) == 2
    assert capsys.readouterr().err == "--hosts 0: at least 1\n"

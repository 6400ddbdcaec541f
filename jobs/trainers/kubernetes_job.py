"""A training job as a Kubernetes Job: rendered here, checked against the official client's models, sent by nobody.

    python -m jobs.trainers.kubernetes_job JOB.json --image registry/warrant-gpu:1 --claim training --mount /shared

One host is a plain Job. Several are an indexed Job of one pod a host and a headless service, by whose name torchrun's
hosts find each other. Everything a trainer reads and writes lies on one volume that all pods mount; it needs nothing
else, so it gets no token of the cluster. A pod that fails is followed by one that continues from the last checkpoint.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from backend.errors import BadInput, WarrantError
from jobs.trainers.base import Trainer, trainer_named
from jobs.trainers.contract import HEARTBEAT, METRICS, TrainingJob

PORT: Final = 29500
RETRIES: Final = 3
USER: Final = 10001  # as in the image
PROGRAM: Final = "jobs/trainers/__main__.py"
FOLDER: Final = "/opt/warrant"
GPU: Final = "nvidia.com/gpu"
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")  # with what Kubernetes appends: at most 63
_SILENT: Final = (
    "import os, sys, time\n"
    "seen = max((os.stat(one).st_mtime for one in sys.argv[2:] if os.path.exists(one)), default=0.0)\n"
    "sys.exit(time.time() - seen > float(sys.argv[1]))"
)
"""Exit 1 where none of the files was touched for so many seconds."""


@dataclass(frozen=True)
class Cluster:
    """Where it runs: the image, the claim of the shared volume and where it is mounted, hosts, processors a host."""

    image: str
    claim: str
    mount: Path
    hosts: int = 1
    cpu: str = "4"
    namespace: str | None = None


def render(job: TrainingJob, path: Path, trainer: Trainer, cluster: Cluster) -> list[dict[str, Any]]:
    """The documents to apply, checked. `path`: the job file as the pods see it. Raises `BadInput` in words."""
    chosen = trainer.parameters_of(job)
    for what, place in (("job file", path), ("train", job.train), ("valid", job.valid), ("out", job.out)):
        if not place.is_relative_to(cluster.mount):
            raise BadInput(
                f"{what}: {place} does not lie under {cluster.mount}, which is all that the pods share"
            )
    if cluster.hosts > 1 and not trainer.torch:
        raise BadInput(f"hosts: {trainer.title} trains on one host; only a trainer of PyTorch uses several")
    name = f"train-{job.run_id}".lower()
    if not _NAME.fullmatch(name):
        raise BadInput(f"run_id: {job.run_id!r} makes no name of Kubernetes; use small letters, digits and -")
    devices = int(chosen.get("devices", 1)) if trainer.gpu and job.device != "cpu" else 0
    documents = [_job(job, path, trainer, cluster, name, devices)]
    if cluster.hosts > 1:
        documents.insert(0, _service(name, cluster))
    for document in documents:
        check(document)
    return documents


def command(
    job: TrainingJob, path: Path, trainer: Trainer, *, name: str, hosts: int, devices: int
) -> list[str]:
    """What a pod starts: torchrun where several processes train together."""
    if not trainer.torch or hosts * max(devices, 1) == 1:
        return ["python", "-m", "jobs.trainers", str(path)]
    meet = (
        ["--standalone"]
        if hosts == 1
        else ["--nnodes", str(hosts), "--rdzv-backend", "c10d", "--rdzv-endpoint", f"{name}-0.{name}:{PORT}",
              "--rdzv-id", job.run_id]
    )  # fmt: skip
    return [
        "torchrun",
        *meet,
        "--nproc-per-node",
        str(max(devices, 1)),
        "--max-restarts",
        "0",
        PROGRAM,
        str(path),
    ]


def check(document: dict[str, Any]) -> None:
    """Raise `BadInput` for a field that Kubernetes does not know, of another type, or that is missing."""
    kind = {"Job": "V1Job", "Service": "V1Service"}[document["kind"]]
    _read(document, kind, document["kind"])


def main(argv: list[str]) -> int:
    """Print the documents as YAML. Exit 2, with one line, for what cannot be."""
    parser = argparse.ArgumentParser(prog="warrant retrain manifest", description=__doc__.split("\n")[0])
    parser.add_argument("job", type=Path, help="the job file, where the pods see it")
    parser.add_argument("--image", required=True, help="an image of a GPU worker")
    parser.add_argument("--claim", required=True, help="the PersistentVolumeClaim of the shared folder")
    parser.add_argument(
        "--mount", required=True, type=Path, help="where the pods mount it, as the job file names it"
    )
    parser.add_argument("--hosts", type=int, default=1, help="one pod each; several only for PyTorch")
    parser.add_argument("--cpu", default="4", help="processors of a pod")
    parser.add_argument("--namespace", help="else the one of whoever applies it")
    given = parser.parse_args(argv)
    import yaml

    try:
        if given.hosts < 1:
            raise BadInput(f"--hosts {given.hosts}: at least 1")
        job = TrainingJob.read(given.job)
        cluster = Cluster(given.image, given.claim, given.mount, given.hosts, given.cpu, given.namespace)
        documents = render(job, given.job.resolve(), trainer_named(job.trainer), cluster)
    except WarrantError as refused:
        sys.stderr.write(f"{refused.message}\n")
        return 2
    sys.stdout.write(yaml.safe_dump_all(documents, sort_keys=False))
    return 0


def _job(
    job: TrainingJob, path: Path, trainer: Trainer, cluster: Cluster, name: str, devices: int
) -> dict[str, Any]:
    several = cluster.hosts > 1
    spec: dict[str, Any] = {
        "backoffLimit": RETRIES * cluster.hosts, "activeDeadlineSeconds": int(job.limits.wall_s) * (RETRIES + 1),
        "parallelism": cluster.hosts, "completions": cluster.hosts,
    }  # fmt: skip
    if several:
        spec["completionMode"] = "Indexed"
    resources = {"cpu": cluster.cpu, "memory": f"{job.limits.memory_mb}Mi"} | (
        {GPU: str(devices)} if devices else {}
    )
    signs = [str(job.out / name) for name in (HEARTBEAT, METRICS)]
    container = {
        "name": "trainer", "image": cluster.image, "workingDir": FOLDER,
        "command": command(job, path, trainer, name=name, hosts=cluster.hosts, devices=devices),
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - where libraries keep what they compile
        "resources": {"limits": resources, "requests": dict(resources)},
        "volumeMounts": [
            {"name": "shared", "mountPath": str(cluster.mount)}, {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            {"name": "memory", "mountPath": "/dev/shm"},  # noqa: S108
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "livenessProbe": {
            "exec": {"command": ["python", "-c", _SILENT, f"{job.limits.heartbeat_s:g}", *signs]},
            "initialDelaySeconds": int(job.limits.heartbeat_s), "periodSeconds": 30, "timeoutSeconds": 10,
        },
    }  # fmt: skip
    pod: dict[str, Any] = {
        "restartPolicy": "Never", "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "fsGroup": USER,
                            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": cluster.claim}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "memory", "emptyDir": {"medium": "Memory"}},
        ],
    }  # fmt: skip
    if several:
        pod["subdomain"] = name
    if devices:
        pod["tolerations"] = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
    labels = _labels(name)
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": _metadata(name, cluster),
        "spec": {**spec, "template": template},
    }  # fmt: skip


def _service(name: str, cluster: Cluster) -> dict[str, Any]:
    """By it torchrun's hosts find the first one, also before it is ready."""
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": _metadata(name, cluster),
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": _labels(name),
                 "ports": [{"name": "rendezvous", "port": PORT}]},
    }  # fmt: skip


def _metadata(name: str, cluster: Cluster) -> dict[str, Any]:
    return {"name": name, "labels": _labels(name)} | (
        {"namespace": cluster.namespace} if cluster.namespace else {}
    )


def _labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "warrant-trainer", "app.kubernetes.io/instance": name}


def _read(value: Any, kind: str, where: str) -> Any:
    """A value as the client's model `kind` has it, down to its leaves."""
    from kubernetes.client import models

    if kind.startswith("List["):
        _expect(value, list, where)
        return [_read(one, kind[5:-1], f"{where}[{place}]") for place, one in enumerate(value)]
    if kind.startswith("Dict["):
        _expect(value, dict, where)
        inner = kind[5:-1].split(", ", 1)[1]
        return {name: _read(one, inner, f"{where}.{name}") for name, one in value.items()}
    plain: dict[str, Any] = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}
    if kind in plain:
        _expect(value, plain[kind], where)
        return value
    _expect(value, dict, where)
    model = getattr(models, kind)
    named = {spelled: name for name, spelled in model.attribute_map.items()}
    if strange := sorted(set(value) - set(named)):
        raise BadInput(f"{where}: Kubernetes knows no {', '.join(strange)} here")
    parts = {
        named[spelled]: _read(one, model.openapi_types[named[spelled]], f"{where}.{spelled}")
        for spelled, one in value.items()
    }
    try:
        return model(**parts)
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from None


def _expect(value: Any, kind: Any, where: str) -> None:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise BadInput(f"{where}: {value!r} is of another type than Kubernetes takes here")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

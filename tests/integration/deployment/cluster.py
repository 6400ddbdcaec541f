"""An API server of Kubernetes for Deployments, on a real port, with its controller. It can be told to be awkward.

Its schemas and parameters are those of the published OpenAPI document (release 1.37) as the official client carries
them: `V1Deployment` with all it refers to, required fields kept, and no field that the document does not name. What
the document does not say is written here from the API's documentation: merge keys of lists (`MERGE_KEYS`), what may not
change, the conflict of a `resourceVersion`, the counters of a rollout. It grants what `deploy/kubernetes/role.yaml`
grants.
"""

from __future__ import annotations

import copy
import inspect
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import yaml
from jsonschema import Draft202012Validator

from backend.deployment.targets.kubernetes import KubernetesTarget, Naming

NAMESPACE: Final = "models"
TOKEN: Final = "of the worker's account"
ROLE: Final = Path(__file__).resolve().parents[3] / "deploy/kubernetes/role.yaml"
PATH: Final = re.compile(r"/apis/apps/v1/namespaces/([^/]+)/deployments/([^/]+)")
MERGE_KEYS: Final = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "ports": "containerPort",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "conditions": "type",
}


NAMING: Final = Naming(NAMESPACE, "{model}", "{model}-canary", "model")


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class Cluster:
    """`effects`: the key of every patch that took, by Deployment. `answers`: statuses given before anything else."""

    url: str = ""
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    effects: dict[str, list[str]] = field(default_factory=dict)
    rollouts: dict[str, list[str]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    retry_after_s: float | None = None
    cut_before: int = 0  # connections cut before anything is done
    cut_after: int = 0  # connections cut after the patch took
    away: bool = False
    refused: int = 0  # connections that were cut, for whatever reason
    lag: int = 0  # readings until the controller has seen a change
    busy: int = 0  # readings until its pods are there, after that
    stuck: set[str] = field(default_factory=set)  # versions whose pods never come
    meddle: int = 0  # times that somebody else changes the object just before a patch
    grants: bool = True
    left: dict[str, list[int]] = field(default_factory=dict)  # what remains of lag and busy
    lock: threading.RLock = field(default_factory=threading.RLock)
    _version: int = 100

    def add(self, name: str, version: int, *, replicas: int = 10, **spec: Any) -> None:
        labels = {"app": name}
        container = {
            "name": "model",
            "image": "registry.example/toy:base",
            "env": [{"name": "WARRANT_VERSION", "value": str(version)}, {"name": "THREADS", "value": "2"}],
            "ports": [{"containerPort": 8600}],
        }
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [container, {"name": "proxy", "image": "proxy:1"}]},
        }
        found = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "generation": 1,
                         "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec},
            "status": {},
        }  # fmt: skip
        check(found)
        self.objects[name] = found
        self._settle(found)

    def read(self, name: str) -> dict[str, Any]:
        found = self.objects.get(name)
        if found is None:
            raise Refusal(404, f'deployments.apps "{name}" not found')
        self._control(found)
        return found

    def patch(self, name: str, patch: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
        before = self.read(name)
        if self.meddle and not dry_run:
            self.meddle -= 1
            before["metadata"].setdefault("annotations", {})["else"] = str(self.meddle)
            before["metadata"]["resourceVersion"] = self._next()
        told = patch.get("metadata", {}).get("resourceVersion")
        if told is not None and told != before["metadata"]["resourceVersion"]:
            raise Refusal(409, f'Operation cannot be fulfilled on deployments.apps "{name}": the object has been '
                               "modified; please apply your changes to the latest version and try again")  # fmt: skip
        after = merge(before, patch)
        after["status"] = before["status"]
        for part in ("name", "namespace", "uid", "generation", "creationTimestamp"):
            if after["metadata"].get(part) != before["metadata"].get(part):
                raise Refusal(422, f"metadata.{part}: Invalid value: field is immutable")
        check(after)
        if after["spec"]["selector"] != before["spec"]["selector"]:
            raise Refusal(422, "spec.selector: Invalid value: field is immutable")
        if after == before or dry_run:
            return after
        if after["spec"] != before["spec"]:
            after["metadata"]["generation"] += 1
            self.left[name] = [self.lag, self.busy]
        after["metadata"]["resourceVersion"] = self._next()
        if after["spec"]["template"] != before["spec"]["template"]:
            self.rollouts.setdefault(name, []).append(version_of(after))
        key = after["metadata"].get("annotations", {}).get("warrant/key")
        if key != before["metadata"].get("annotations", {}).get("warrant/key"):
            self.effects.setdefault(name, []).append(str(key))
        self.objects[name] = after
        return after

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _control(self, found: dict[str, Any]) -> None:
        """One look of the controller of Deployments."""
        name = found["metadata"]["name"]
        left = self.left.get(name)
        if left is None:
            return
        if left[0] > 0:
            left[0] -= 1
            return
        status = found["status"]
        status["observedGeneration"] = found["metadata"]["generation"]
        if version_of(found) in self.stuck and found["spec"]["replicas"]:
            late = "ReplicaSet has timed out progressing"
            status |= {"updatedReplicas": 1, "unavailableReplicas": 1}
            status["conditions"] = [condition("Progressing", "False", "ProgressDeadlineExceeded", late)]
            return
        if left[1] > 0:
            left[1] -= 1
            status["updatedReplicas"] = found["spec"]["replicas"] // 2
            status["conditions"] = [
                condition("Progressing", "True", "ReplicaSetUpdated", "ReplicaSet is progressing")
            ]
            return
        del self.left[name]
        self._settle(found)

    def _settle(self, found: dict[str, Any]) -> None:
        pods = found["spec"]["replicas"]
        found["status"] = {
            "observedGeneration": found["metadata"]["generation"], "replicas": pods, "updatedReplicas": pods,
            "readyReplicas": pods, "availableReplicas": pods,
            "conditions": [condition("Progressing", "True", "NewReplicaSetAvailable", "it has progressed")],
        }  # fmt: skip


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def version_of(found: dict[str, Any]) -> str:
    variables = found["spec"]["template"]["spec"]["containers"][0]["env"]
    return str(next(one["value"] for one in variables if one["name"] == "WARRANT_VERSION"))


def merge(before: Any, patch: Any, name: str = "") -> Any:
    """A strategic merge: objects by field, lists by their merge key where they have one, null takes away."""
    if isinstance(patch, dict) and isinstance(before, dict):
        made = copy.deepcopy(before)
        for part, value in patch.items():
            if part.startswith("$"):
                raise Refusal(400, f"directive {part} is not known to the double")
            if value is None:
                made.pop(part, None)
            else:
                made[part] = merge(before.get(part), value, part)
        return made
    if isinstance(patch, dict):
        return merge({}, patch, name)
    if isinstance(patch, list) and name in MERGE_KEYS:
        key, made_list = MERGE_KEYS[name], copy.deepcopy(before or [])
        for one in patch:
            if key not in one:
                raise Refusal(400, f"map: {one} does not contain declared merge key: {key}")
            place = next((place for place, has in enumerate(made_list) if has[key] == one[key]), None)
            if place is None:
                made_list.append(merge({}, one))
            else:
                made_list[place] = merge(made_list[place], one)
        return made_list
    return copy.deepcopy(patch)


@cache
def schema() -> Draft202012Validator:
    from kubernetes.client import V1Deployment

    return Draft202012Validator(_without_null(V1Deployment.model_json_schema(by_alias=True)))


def _without_null(part: Any) -> Any:
    """The client's models take null for what is optional; in the document, and after a merge, there is none."""
    if isinstance(part, list):
        return [_without_null(one) for one in part]
    if not isinstance(part, dict):
        return part
    kept = [one for one in part.get("anyOf", []) if one != {"type": "null"}]
    if len(kept) == 1:
        part = {name: value for name, value in part.items() if name not in ("anyOf", "default")} | kept[0]
    return {name: _without_null(value) for name, value in part.items()}


@cache
def parameters(method: str) -> frozenset[str]:
    """The query parameters that the document gives the call."""
    from kubernetes.client import AppsV1Api

    call = {"GET": "read_namespaced_deployment", "PATCH": "patch_namespaced_deployment"}[method]
    names = [
        name for name in inspect.signature(getattr(AppsV1Api, call)).parameters if not name.startswith("_")
    ]
    own = {"self", "name", "namespace", "body", "async_req"}
    return frozenset(
        re.sub(r"_(\w)", lambda found: found[1].upper(), name) for name in names if name not in own
    )


def check(found: dict[str, Any]) -> None:
    """Against the published schema, and what Kubernetes checks besides."""
    problem = next(iter(schema().iter_errors(found)), None)
    if problem is not None:
        unknown = problem.validator == "additionalProperties"
        raise Refusal(400 if unknown else 422, f"{problem.json_path}: {problem.message}")
    if found["spec"]["replicas"] < 0:
        raise Refusal(422, "spec.replicas: Invalid value: must be greater than or equal to 0")
    for container in found["spec"]["template"]["spec"]["containers"]:
        if not container.get("image"):
            raise Refusal(422, "spec.template.spec.containers[0].image: Required value")
        for one in container.get("env", []):
            if "value" in one and "valueFrom" in one:
                raise Refusal(
                    422, "env.valueFrom: Invalid value: may not be specified when `value` is not empty"
                )


def granted(verb: str, name: str) -> bool:
    """By the Role that is shipped."""
    documents = list(yaml.safe_load_all(ROLE.read_text()))
    rules = next(one for one in documents if one["kind"] == "Role")["rules"]
    return any(
        verb in rule["verbs"] and "deployments" in rule["resources"] and name in rule["resourceNames"]
        for rule in rules
    )


def kubernetes_target(made: Cluster, folder: Path, *, token: str = TOKEN, **options: Any) -> KubernetesTarget:
    """The target as the settings would make it, on the official client, with short pauses."""
    from kubernetes import client, config

    configuration = client.Configuration()
    path = write_kubeconfig(made, folder / "kubeconfig", token=token)
    config.load_kube_config(str(path), client_configuration=configuration)
    configuration.retries = 0
    naming = options.pop("naming", NAMING)
    quick: dict[str, Any] = {"pauses_s": (0.01, 0.01, 0.01), "poll_s": 0.0}
    return KubernetesTarget(client.AppsV1Api(client.ApiClient(configuration)), naming, **quick | options)


@contextmanager
def cluster() -> Iterator[Cluster]:
    made = Cluster()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve("get")

        def do_PATCH(self) -> None:
            self._serve("patch")

        def _serve(self, verb: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with made.lock:
                if made.away or made.cut_before:
                    made.cut_before -= not made.away
                    self._cut()
                    return
                try:
                    status, document = 200, self._answer_to(verb, body)
                except Refusal as refusal:
                    status, document = refusal.status, {
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                        "message": refusal.message, "code": refusal.status,
                    }  # fmt: skip
                if verb == "patch" and status == 200 and made.cut_after and "dryRun" not in self.path:
                    made.cut_after -= 1
                    self._cut()
                    return
                content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if status == 429 and made.retry_after_s is not None:
                self.send_header("Retry-After", str(made.retry_after_s))
            self.end_headers()
            self.wfile.write(content)

        def _answer_to(self, verb: str, body: bytes) -> dict[str, Any]:
            split = urlsplit(self.path)
            query = {
                name: values[0] for name, values in parse_qs(split.query, keep_blank_values=True).items()
            }
            made.requests.append((verb, split.path, query))
            if made.answers:
                status = made.answers.pop(0)
                raise Refusal(status, f"{status} as the test wants")
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise Refusal(401, "Unauthorized")
            found = PATH.fullmatch(split.path)
            if found is None:
                raise Refusal(404, "the server could not find the requested resource")
            namespace, name = found.groups()
            if namespace != NAMESPACE or not made.grants or not granted(verb, name):
                raise Refusal(
                    403, f'deployments.apps "{name}" is forbidden: User cannot {verb} it in {namespace}'
                )
            if unknown := set(query) - parameters(self.command):
                raise Refusal(400, f"unknown parameters {sorted(unknown)}")
            if verb == "get":
                return made.read(name)
            if self.headers.get("Content-Type") != "application/strategic-merge-patch+json":
                raise Refusal(415, "the body of the request was in an unknown format")
            if query.get("dryRun", "All") != "All" or query.get("fieldValidation") != "Strict":
                raise Refusal(400, f"invalid parameters {query}")
            return made.patch(name, json.loads(body), dry_run="dryRun" in query)

        def _cut(self) -> None:
            made.refused += 1
            self.close_connection = True
            self.connection.close()

        def log_message(self, *_: Any) -> None:
            """A test is quiet."""

        def finish(self) -> None:
            try:
                super().finish()
            except (OSError, ValueError):
                return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_kubeconfig(made: Cluster, path: Path, *, token: str = TOKEN) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "double",
        "contexts": [{"name": "double", "context": {"cluster": "double", "user": "worker"}}],
        "clusters": [{"name": "double", "cluster": {"server": made.url}}],
        "users": [{"name": "worker", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path

"""deploy/kubernetes: valid for the stated version of Kubernetes, restricted, true to the code. Without a cluster."""

from __future__ import annotations

import functools
import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import kustomize
from tests.kustomize import Manifest, build, containers, documents, pod_of
from tests.unit.test_packaging import refused_command, settings_given

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import kubernetes_validate

ROOT = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
VERSION = "1.35"
FOLDERS = ("foundation", "upgrade", "base", "overlays/production", "overlays/gpu")
WHOLE = "overlays/gpu"


@functools.cache
def _text(folder: str) -> str:
    return json.dumps(build(ROOT / folder))


def build_of(folder: str) -> list[Manifest]:
    """A copy of one's own: building takes a while."""
    found: list[Manifest] = json.loads(_text(folder))
    return found


def of_kind(folder: str, *kinds: str) -> list[Manifest]:
    return [one for one in build_of(folder) if one["kind"] in kinds]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    listed = all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", ()))
    return wanted and listed


def labels_of(manifest: Manifest) -> dict[str, str]:
    pod = pod_of(manifest)
    assert pod is not None
    found: dict[str, str] = pod["metadata"]["labels"]
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_is_valid_for_the_stated_version(folder: str) -> None:
    for one in build_of(folder):
        kubernetes_validate.validate(one, VERSION, strict=True)


def test_a_field_that_does_not_exist_would_be_found() -> None:
    wrong = of_kind("base", "Deployment")[0]
    wrong["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_every_file_is_used_and_valid() -> None:
    used = {(ROOT / "role.yaml").resolve()}
    for folder in FOLDERS:
        said = yaml.safe_load((ROOT / folder / "kustomization.yaml").read_text())
        names = [*said.get("resources", ()), *(each["path"] for each in said.get("patches", ()))]
        used |= {(ROOT / folder / name).resolve() for name in names}
    for path in ROOT.rglob("*.yaml"):
        if path.name != "kustomization.yaml":
            assert path.resolve() in used, f"no kustomization names {path}"
    for one in documents(ROOT / "role.yaml"):
        kubernetes_validate.validate(one, VERSION, strict=True)


def test_the_page_of_operations_names_the_version() -> None:
    assert f"Kubernetes {VERSION}" in (ROOT.parents[1] / "docs" / "operations.md").read_text()
    enforced = documents(ROOT / "foundation" / "namespace.yaml")[0]["metadata"]["labels"]
    assert enforced["pod-security.kubernetes.io/enforce-version"] == f"v{VERSION}"


@pytest.mark.parametrize("folder", ["upgrade", WHOLE])
def test_every_pod_is_restricted(folder: str) -> None:
    """The profile `restricted` of the pod security standards, and more: a root that cannot be written, no token."""
    pods = of_kind(folder, "Deployment", "Job")
    assert pods
    for one in pods:
        pod = pod_of(one)
        assert pod is not None
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] >= 10_000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert {kind for each in spec["volumes"] for kind in each if kind != "name"} <= {
            "persistentVolumeClaim", "secret", "emptyDir",
        }  # fmt: skip
        for each in containers(one):
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert {"cpu", "memory"} <= set(each["resources"]["requests"])
            assert "memory" in each["resources"]["limits"]
            assert not each["image"].endswith(":latest")


def test_what_pods_name_is_there() -> None:
    built = [*build_of(WHOLE), *of_kind("upgrade", "Job")]
    names = {(one["kind"], one["metadata"]["name"]) for one in built}
    for one in built:
        pod = pod_of(one)
        if pod is None:
            continue
        assert ("ServiceAccount", pod["spec"]["serviceAccountName"]) in names
        for each in containers(one):
            assert {("ConfigMap", source["configMapRef"]["name"]) for source in each["envFrom"]} <= names
            assert {mount["name"] for mount in each["volumeMounts"]} == {
                volume["name"] for volume in pod["spec"]["volumes"]
            }
        claims = [
            volume["persistentVolumeClaim"]
            for volume in pod["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        ]
        assert all(("PersistentVolumeClaim", claim["claimName"]) in names for claim in claims)


def test_no_account_has_a_right_or_a_token() -> None:
    built = build_of(WHOLE)
    assert not [one for one in built if "Role" in one["kind"]]
    accounts = [one for one in built if one["kind"] == "ServiceAccount"]
    assert accounts and all(one["automountServiceAccountToken"] is False for one in accounts)


def test_services_budgets_and_the_autoscaler_find_their_pods() -> None:
    built = build_of(WHOLE)
    deployments = {one["metadata"]["name"]: one for one in built if one["kind"] == "Deployment"}
    for one in built:
        if one["kind"] == "Service":
            found = [
                each
                for each in deployments.values()
                if selects({"matchLabels": one["spec"]["selector"]}, labels_of(each))
            ]
            assert len(found) == 1
            ports = {port["name"]: port["containerPort"] for port in containers(found[0])[0]["ports"]}
            assert all(ports[port["targetPort"]] == port["port"] for port in one["spec"]["ports"])
        if one["kind"] == "PodDisruptionBudget":
            found = [
                each for each in deployments.values() if selects(one["spec"]["selector"], labels_of(each))
            ]
            assert len(found) == 1
            scaled = found[0]["spec"].get("replicas") is None
            assert scaled or found[0]["spec"]["replicas"] > one["spec"]["minAvailable"]
        if one["kind"] == "HorizontalPodAutoscaler":
            target = deployments[one["spec"]["scaleTargetRef"]["name"]]
            assert "replicas" not in target["spec"], "each apply would take the autoscaler's number back"
            assert "cpu" in containers(target)[0]["resources"]["requests"]
        if one["kind"] == "Ingress":
            assert "affinity" not in str(one["metadata"]["annotations"])


def test_nothing_is_reached_that_is_not_listed() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in of_kind(WHOLE, "NetworkPolicy")}
    assert policies["warrant-nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    pods = [labels_of(one) for one in [*of_kind(WHOLE, "Deployment"), *of_kind("upgrade", "Job")]]
    for name, policy in policies.items():
        assert any(selects(policy["podSelector"], labels) for labels in pods), f"{name} is about no pod"
    outside = policies["warrant-outside"]["egress"][0]["to"][0]["ipBlock"]
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(outside["except"])


def test_pods_are_asked_what_they_answer() -> None:
    from backend.serving import gateway

    answered = set(re.findall(r'"(/[a-z]+)"', Path(gateway.__file__).read_text()))
    for one in of_kind(WHOLE, "Deployment"):
        container = containers(one)[0]
        probes = [
            container[name]
            for name in ("startupProbe", "livenessProbe", "readinessProbe")
            if name in container
        ]
        assert len(probes) == (3 if "ports" in container else 0)
        assert {probe["httpGet"]["path"] for probe in probes if "httpGet" in probe} <= answered


@pytest.mark.parametrize("folder", ["upgrade", WHOLE])
def test_commands_and_settings_are_those_of_this_release(folder: str) -> None:
    for one in of_kind(folder, "Deployment", "Job"):
        for container in containers(one):
            assert refused_command(container["args"]) is None
    given = documents(ROOT / "foundation" / "settings.yaml")[0]["data"]
    assert settings_given(given) == set()
    keys = {Path(value).name for name, value in given.items() if name.endswith("_FILE")}
    assert keys == {"database-url", "oidc-client-secret"}


def test_workers_make_backups_and_they_alone_have_the_key() -> None:
    given = documents(ROOT / "foundation" / "settings.yaml")[0]["data"]
    for one in of_kind(WHOLE, "Deployment"):
        (container,), pod = containers(one), pod_of(one)
        assert pod is not None
        mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        own = {each["name"]: each["value"] for each in container.get("env", ())}
        assert settings_given(own) == set()
        mine = one["metadata"]["name"] == "warrant-worker"
        assert (given["WARRANT_BACKUP_FOLDER"] in mounts) is mine
        assert ("WARRANT_BACKUP_KEY_FILE" in own) is mine
        secrets = {each["secret"]["secretName"] for each in volumes.values() if "secret" in each}
        assert ("warrant-backups" in secrets) is mine
        if mine:
            key = volumes[mounts[str(Path(own["WARRANT_BACKUP_KEY_FILE"]).parent)]]["secret"]
            assert key == {"secretName": "warrant-backups", "defaultMode": 0o440}
            folder = volumes[mounts[given["WARRANT_BACKUP_FOLDER"]]]["persistentVolumeClaim"]
            assert folder == {"claimName": "warrant-backups"}


def test_no_network_of_the_cluster_may_be_reached_by_an_address_that_somebody_wrote_down() -> None:
    given = documents(ROOT / "foundation" / "settings.yaml")[0]["data"]
    assert given["WARRANT_REACHABLE_NETWORKS"] == ""


def test_the_overlay_changes_what_it_says() -> None:
    base, built = (
        {one["metadata"]["name"]: one for one in of_kind(name, "Deployment")}
        for name in ("base", "overlays/production")
    )
    assert base["warrant-console"]["spec"]["replicas"] == 2
    assert built["warrant-console"]["spec"]["replicas"] == 3
    assert "replicas" not in built["warrant-gateway"]["spec"]
    assert containers(built["warrant-worker"])[0]["resources"]["requests"]["memory"] == "8Gi"
    assert containers(built["warrant-worker"])[0]["args"] == ["worker"]
    assert containers(built["warrant-console"])[0]["image"] == "registry.example.org/warrant:0.1.0"


def test_a_patch_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: []\npatches: [{path: a.yaml}]\n")
    (tmp_path / "a.yaml").write_text("{apiVersion: v1, kind: Service, metadata: {name: a}}")
    with pytest.raises(kustomize.Unsupported, match="which is not there"):
        build(tmp_path)

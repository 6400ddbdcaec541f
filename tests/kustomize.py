"""What `kustomize build` makes of our folders, as far as they use it: resources, namespace, images, merged patches.

Raises `Unsupported` for anything else, so that nobody writes what is not tried here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
KNOWN = {"apiVersion", "kind", "namespace", "resources", "images", "patches"}
CLUSTER_WIDE = {"Namespace"}


class Unsupported(Exception):
    """A kustomization says what is not followed here."""


def documents(path: Path) -> list[Manifest]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


def key_of(manifest: Manifest) -> tuple[str, str, str]:
    return manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]


def merge(base: Any, patch: Any) -> Any:
    """A strategic merge: objects by key, lists of named objects by name, null takes away, all else is replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        merged = dict(base)
        for key, value in patch.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = merge(base.get(key), value)
        return merged
    if _is_named(base) and _is_named(patch):
        by_name = {one["name"]: one for one in patch}
        known = [merge(one, by_name.pop(one["name"], {})) for one in base]
        return [*known, *by_name.values()]
    return patch


def _is_named(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and "name" in one for one in value)
    )


def build(folder: Path) -> list[Manifest]:
    """Every object of a kustomization. Raises for a name that is there twice, or a patch of nothing."""
    said = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := set(said) - KNOWN:
        raise Unsupported(f"{folder}: {', '.join(sorted(unknown))}")
    found: dict[tuple[str, str, str], Manifest] = {}
    for name in said.get("resources", ()):
        path = (folder / name).resolve()
        for one in build(path) if path.is_dir() else documents(path):
            if key_of(one) in found:
                raise Unsupported(f"{folder}: {key_of(one)} is there twice")
            found[key_of(one)] = one
    for each in said.get("patches", ()):
        if set(each) != {"path"}:
            raise Unsupported(f"{folder}: a patch that is no file")
        for patch in documents(folder / each["path"]):
            if key_of(patch) not in found:
                raise Unsupported(f"{folder}: a patch of {key_of(patch)}, which is not there")
            found[key_of(patch)] = merge(found[key_of(patch)], patch)
    for one in found.values():
        if one["kind"] not in CLUSTER_WIDE and "namespace" in said:
            one["metadata"]["namespace"] = said["namespace"]
        for container in containers(one):
            container["image"] = _renamed(container["image"], said.get("images", ()))
    return list(found.values())


def _renamed(image: str, images: Any) -> str:
    name, _, tag = image.partition(":")
    for one in images:
        if one["name"] == name:
            return f"{one.get('newName', name)}:{one.get('newTag', tag)}"
    return image


def pod_of(manifest: Manifest) -> Manifest | None:
    """The pod that a Deployment or a Job makes."""
    found: Manifest | None = manifest.get("spec", {}).get("template")
    return found if manifest["kind"] in ("Deployment", "Job") else None


def containers(manifest: Manifest) -> list[Manifest]:
    pod = pod_of(manifest)
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]] if pod else []

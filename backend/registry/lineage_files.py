"""Where data and features of a version came from, read from the files of the tools that keep them: DVC and Feast.

    dvc.lock, *.dvc           what a pipeline read and wrote, or one tracked file: path, digest, size
    feature_store.yaml        a Feast project: its registry and provider
    *.json                    a Feast registry as `feast registry-dump` prints it: feature views and services

Nothing is fetched and nothing is executed. A file is refused with line and reason where it is not what it says it is.
https://dvc.org/doc/user-guide/project-structure/dvcyaml-files#dvclock-file, https://docs.feast.dev
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final, Literal

import rfc8785
import yaml

from backend.canonical import canonical_json
from backend.errors import BadInput
from backend.governance.yaml_places import line_of
from backend.governance.yaml_text import LONGEST, read_yaml

MOST: Final = 500  # sources of one file
LONGEST_NAME: Final = 500
_DIGEST: Final = re.compile(r"[0-9a-f]{16,128}(\.dir)?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
Kind = Literal["dvc", "feast"]


@dataclass(frozen=True)
class Source:
    """One thing that a version came from, as a file names it."""

    kind: Kind
    name: str  # a path, or the name of a feature view
    role: str  # dependency | output | tracked | project | feature view | feature service
    digest: str  # md5:<hex>, or sha256:<hex> of its definition
    details: dict[str, Any] = field(default_factory=dict)


def read_lineage(name: str, data: bytes) -> list[Source]:
    """The sources that a file names. Raises `BadInput` with line and reason."""
    base = PurePosixPath(name.replace("\\", "/")).name
    if len(data) > LONGEST:
        raise BadInput(f"{base}: it has {len(data):,} bytes; {LONGEST:,} are read", field="file")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{base}: byte {error.start} is no UTF-8", field="file") from error
    if base == "dvc.lock" or base.endswith(".dvc"):
        file = _File(base, text, _yaml(base, text))
        found = list(_dvc_lock(file) if base == "dvc.lock" else _dvc_file(file))
    elif base in ("feature_store.yaml", "feature_store.yml"):
        found = [_feature_store(_File(base, text, _yaml(base, text)))]
    elif base.endswith(".json"):
        found = list(_feast_dump(_File(base, text, _json(base, text))))
    elif base.endswith(".db"):
        raise BadInput(
            f"{base}: a Feast registry is read as JSON: `feast registry-dump > registry.json`", field="file"
        )
    else:
        raise BadInput(
            f"{base}: no file of DVC (dvc.lock, *.dvc) or Feast (feature_store.yaml, the JSON of `feast "
            "registry-dump`)",
            field="file",
        )
    if not found:
        raise BadInput(f"{base}: it names nothing that a version could come from", field="file")
    if len(found) > MOST:
        raise BadInput(f"{base}: it names {len(found):,} sources; {MOST} of a file are kept", field="file")
    return found


@dataclass(frozen=True)
class _File:
    name: str
    text: str
    document: Any

    def refuse(self, reason: str, *path: object) -> BadInput:
        place = ".".join(map(str, path)) or "document"
        line = 1 if self.name.endswith(".json") else line_of(self.text, path)
        return BadInput(f"{self.name}, line {line}: {place}: {reason}", field="file", line=line)

    def mapping(self, value: Any, *path: object) -> Mapping[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.refuse("a mapping is wanted here", *path)
        return value

    def listing(self, value: Any, *path: object) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.refuse("a list is wanted here", *path)
        return value

    def words(self, value: Any, *path: object) -> str:
        if (
            not isinstance(value, str)
            or not value.strip()
            or len(value) > LONGEST_NAME
            or _CONTROL.search(value)
        ):
            raise self.refuse(f"text of 1 to {LONGEST_NAME} characters is wanted here", *path)
        return value


def _yaml(name: str, text: str) -> Any:
    try:
        return read_yaml(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise BadInput(f"{name}, line {line}: {error.problem or error}", field="file", line=line) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"{name}: it is no YAML: {' '.join(str(error).split())}", field="file") from error


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(
            f"{name}, line {error.lineno}: {error.msg}", field="file", line=error.lineno
        ) from error
    except RecursionError as error:
        raise BadInput(f"{name}: it is nested too deeply", field="file") from error


def _dvc_lock(file: _File) -> Iterator[Source]:
    """Every path of every stage once: an output of one stage is often what the next one reads."""
    stages = file.mapping(file.mapping(file.document).get("stages"), "stages")
    seen: set[tuple[str, str]] = set()
    for stage, told in stages.items():
        parts = file.mapping(told, "stages", stage)
        for key, role in (("deps", "dependency"), ("outs", "output")):
            for number, entry in enumerate(file.listing(parts.get(key), "stages", stage, key)):
                found = _entry(file, entry, role, {"stage": stage}, "stages", stage, key, number)
                if found is not None and (found.name, found.digest) not in seen:
                    seen.add((found.name, found.digest))
                    yield found


def _dvc_file(file: _File) -> Iterator[Source]:
    """One tracked file or folder; an imported one names repository and revision."""
    document = file.mapping(file.document)
    origin: dict[str, Any] = {}
    for number, entry in enumerate(file.listing(document.get("deps"), "deps")):
        told = file.mapping(entry, "deps", number)
        if "repo" in told:
            repo = file.mapping(told["repo"], "deps", number, "repo")
            for key, name in (("url", "repository"), ("rev_lock", "revision")):
                if key in repo:
                    origin[name] = file.words(repo[key], "deps", number, "repo", key)
    for number, entry in enumerate(file.listing(document.get("outs"), "outs")):
        found = _entry(file, entry, "tracked", origin, "outs", number)
        if found is not None:
            yield found


def _entry(file: _File, entry: Any, role: str, more: Mapping[str, Any], *path: object) -> Source | None:
    """None: DVC does not cache it, so it has no digest."""
    told = file.mapping(entry, *path)
    name = file.words(told.get("path"), *path, "path")
    algorithm = told.get("hash", "md5")
    if algorithm not in ("md5", "etag", "checksum"):
        raise file.refuse("the hash is md5, etag or checksum", *path, "hash")
    value = told.get(algorithm)
    if value is None:
        return None
    digest = file.words(value, *path, algorithm)
    if algorithm == "md5" and not _DIGEST.fullmatch(digest):
        raise file.refuse(f"{digest[:40]!r} is no digest", *path, algorithm)
    details = dict(more)
    for key, kept in (("size", "bytes"), ("nfiles", "files")):
        if key in told:
            if not isinstance(told[key], int) or isinstance(told[key], bool) or told[key] < 0:
                raise file.refuse("a whole number from 0 is wanted here", *path, key)
            details[kept] = told[key]
    return Source("dvc", name, role, f"{algorithm}:{digest}", details)


def _feature_store(file: _File) -> Source:
    document = file.mapping(file.document)
    registry = document.get("registry")
    if isinstance(registry, dict):
        registry = registry.get("path")
    details = {
        "registry": file.words(registry, "registry") if registry is not None else None,
        "provider": file.words(document["provider"], "provider") if "provider" in document else None,
    }
    name = file.words(document.get("project"), "project")
    digest = f"sha256:{hashlib.sha256(file.text.encode()).hexdigest()}"
    return Source(
        "feast", name, "project", digest, {key: one for key, one in details.items() if one is not None}
    )


def _feast_dump(file: _File) -> Iterator[Source]:
    """Feature views and services with the digest of their definition; when they were last applied is no part of it."""
    document = file.mapping(file.document)
    project = document.get("project")
    for key, role in (
        ("featureViews", "feature view"), ("onDemandFeatureViews", "feature view"),
        ("streamFeatureViews", "feature view"), ("featureServices", "feature service"),
    ):  # fmt: skip
        for number, entry in enumerate(file.listing(document.get(key), key)):
            spec = file.mapping(file.mapping(entry, key, number).get("spec"), key, number, "spec")
            name = file.words(spec.get("name"), key, number, "spec", "name")
            features = [
                file.words(
                    file.mapping(one, key, number, "spec", "features").get("name"), key, number, "features"
                )
                for one in file.listing(spec.get("features"), key, number, "spec", "features")
                if isinstance(one, dict) and "name" in one
            ]
            details: dict[str, Any] = {"features": features[:100]} if features else {}
            if isinstance(project, str):
                details["project"] = project[:LONGEST_NAME]
            try:
                digest = f"sha256:{hashlib.sha256(canonical_json(dict(spec))).hexdigest()}"
            except (rfc8785.CanonicalizationError, RecursionError) as error:
                raise file.refuse(f"it has no canonical form: {error}", key, number, "spec") from error
            yield Source("feast", name, role, digest, details)

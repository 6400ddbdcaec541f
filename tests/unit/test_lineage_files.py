"""What files of DVC and Feast say of where data came from; what is malformed is refused with line and reason."""

from __future__ import annotations

import json

import pytest

from backend.errors import BadInput
from backend.registry.lineage_files import MOST, read_lineage

LOCK = """schema: '2.0'
stages:
  prepare:
    cmd: python prepare.py
    deps:
    - path: data/raw.csv
      hash: md5
      md5: 5d41402abc4b2a76b9719d911017c592
      size: 1024
    outs:
    - path: data/train
      hash: md5
      md5: 7d793037a0760186574b0282f2f435e7.dir
      size: 2048
      nfiles: 3
  train:
    cmd: python train.py
    deps:
    - path: data/train
      md5: 7d793037a0760186574b0282f2f435e7.dir
    outs:
    - path: metrics.json
      md5: 9e107d9d372bb6826bd81d3542a419d6
"""


def said(name: str, text: str | bytes) -> str:
    with pytest.raises(BadInput) as refused:
        read_lineage(name, text if isinstance(text, bytes) else text.encode())
    return refused.value.message


def test_a_lock_names_each_path_once_with_digest_and_size() -> None:
    found = read_lineage("some/where/dvc.lock", LOCK.encode())
    assert [(one.name, one.role, one.digest) for one in found] == [
        ("data/raw.csv", "dependency", "md5:5d41402abc4b2a76b9719d911017c592"),
        ("data/train", "output", "md5:7d793037a0760186574b0282f2f435e7.dir"),
        ("metrics.json", "output", "md5:9e107d9d372bb6826bd81d3542a419d6"),
    ]
    assert found[1].details == {"stage": "prepare", "bytes": 2048, "files": 3}


def test_an_imported_file_names_repository_and_revision() -> None:
    text = """
deps:
- path: data.csv
  repo: {url: "https://git.example/data", rev_lock: 0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c}
outs:
- {md5: 5d41402abc4b2a76b9719d911017c592, size: 5, path: data.csv}
"""
    (one,) = read_lineage("data.csv.dvc", text.encode())
    assert one.details["repository"] == "https://git.example/data"
    assert one.details["revision"].startswith("0f1e2d")


def test_feast_names_project_views_and_services() -> None:
    store = b"project: flights\nregistry: data/registry.db\nprovider: local\n"
    (project,) = read_lineage("feature_store.yaml", store)
    assert (project.name, project.details) == (
        "flights",
        {"registry": "data/registry.db", "provider": "local"},
    )
    dump = {
        "project": "flights",
        "featureViews": [
            {
                "spec": {"name": "delays", "features": [{"name": "recent"}]},
                "meta": {"lastUpdatedTimestamp": "x"},
            }
        ],
        "featureServices": [{"spec": {"name": "v1", "features": [{"featureViewName": "delays"}]}}],
    }
    found = read_lineage("registry.json", json.dumps(dump).encode())
    assert [(one.name, one.role) for one in found] == [("delays", "feature view"), ("v1", "feature service")]
    assert found[0].details == {"features": ["recent"], "project": "flights"}
    dump["featureViews"][0]["meta"] = {"lastUpdatedTimestamp": "y"}  # type: ignore[index]
    assert read_lineage("registry.json", json.dumps(dump).encode())[0].digest == found[0].digest


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LOCK.replace("size: 1024", "size: -1"), "line 9: stages.prepare.deps.0.size: a whole number"),
        (LOCK.replace("5d41402abc4b2a76b9719d911017c592", "../../etc/passwd"), "line 8: stages.prepare.deps.0.md5"),
        (LOCK.replace("- path: data/raw.csv", "- way: x"), "line 6: stages.prepare.deps.0.path: text of 1"),
        (LOCK.replace("stages:", "stages: []\nother:"), "line 2: stages: a mapping"),
        ("a: &x [1]\nb: *x\n", "line 2: write out what *x refers to"),
        ("a: 1\na: 2\n", "line 2: the key 'a' is there twice"),
        ("a: !!python/object/apply:os.system [id]\n", "line 1: could not determine a constructor"),
        ("[" * 60 + "]" * 60, "nested deeper"),
        ("a: [1\n", "line 2"),
        ("stages: {}\n", "it names nothing"),
        ("", "line 1: document: a mapping"),
    ],
)  # fmt: skip
def test_a_hostile_or_malformed_lock_is_refused_with_its_line(text: str, reason: str) -> None:
    told = said("dvc.lock", text)
    assert reason in told, told
    assert told.startswith("dvc.lock")


def test_other_files_sizes_and_bytes_are_refused() -> None:
    assert "200,000 are read" in said("dvc.lock", b"x" * 200_001)
    assert "is no UTF-8" in said("dvc.lock", b"\xff\xfe")
    assert "registry-dump" in said("registry.db", b"\x00")
    assert "no file of DVC" in said("features.py", "import os")
    assert "line 1" in said("registry.json", "{")
    assert "nested too deeply" in said("registry.json", "[" * 100_000)
    assert "text of 1" in said("registry.json", '{"featureViews": [{"spec": {"name": "a\\u0000b"}}]}')
    assert "no canonical form" in said(
        "registry.json", '{"featureViews": [{"spec": {"name": "a", "x": NaN}}]}'
    )
    outs = "\n".join(f"- {{path: p{n}, md5: {n:032x}a}}" for n in range(MOST + 1))
    assert f"{MOST} of a file are kept" in said("x.dvc", f"outs:\n{outs}\n")

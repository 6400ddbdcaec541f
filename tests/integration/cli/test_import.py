"""`warrant import`: from a real registry to an inventory, and what the rules say of a move made in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.registry.conftest import empty_mlflow, mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["empty_mlflow", "mlflow"]
ROOT = Path(__file__).parents[3]


def warrant(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backend.cli", "import", *words],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip


def document(*words: str) -> Any:
    done = warrant(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_registry_is_imported_and_its_moves_are_reported(mlflow: MlflowClient, tmp_path: Path) -> None:
    for name in ("flights", "taxis"):
        mlflow.create_registered_model(name)
        for _ in range(2):
            mlflow.create_model_version(name, "s3://m")
        mlflow.set_registered_model_alias(name, "champion", "1")
    first = document("mlflow", "--tier", "medium")
    assert (first["models"], first["versions"], first["new_models"], first["moves"]) == (2, 4, 2, 0)
    assert first["watched"] is True
    assert first["gaps"]["no model card"] == 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.set_registered_model_alias("flights", "champion", "2")
    again = document("mlflow")
    assert (again["new_models"], again["new_versions"], again["moves"]) == (0, 0, 1)
    told = warrant("report")
    assert told.returncode == 0
    assert told.stdout.startswith(
        "1 of 1 move would have been refused, by these rules: medium tier 1 (approval 1)"
    )
    assert "flights  champion -> version 2  refused" in told.stdout
    assert document("report", "--since", "2999-01-01T00:00:00Z")["total"] == 0
    for words in (("report", "--since", "yesterday"), ("mlflow", "--uri", f"sqlite:///{tmp_path}/none.db"),
                  ("mlflow", "--tier", "harmless")):  # fmt: skip
        refused = warrant(*words)
        assert refused.returncode == 2
        assert refused.stderr.startswith("warrant: bad input: ")
        assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "none.db").exists()

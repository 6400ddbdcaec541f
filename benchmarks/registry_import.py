"""`warrant import mlflow` of a real local registry, and one look of the job that finds moved aliases."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.figures import Figure, figure

MODELS: Final = 500
VERSIONS_EACH: Final = 2
# A program of its own: MLflow's import warns, and settings of this process stay as they are.
MAKE: Final = """
import sys, warnings
warnings.simplefilter("ignore")
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
client = MlflowClient(sys.argv[1], sys.argv[1])
experiment = client.create_experiment("trained")
for number in range(int(sys.argv[2])):
    name = f"model-{number:04d}"
    client.create_registered_model(name, tags={"team": f"team {number % 7}"})
    for version in range(int(sys.argv[3])):
        run = client.create_run(experiment, tags={"mlflow.user": "somebody"}).info
        metrics = [Metric(f"metric_{one}", 0.5 + one / 100, 0, 0) for one in range(5)]
        client.log_batch(run.run_id, metrics, [Param(f"parameter_{one}", str(one)) for one in range(10)])
        client.create_model_version(name, f"{run.artifact_uri}/model", run.run_id)
    client.set_registered_model_alias(name, "champion", "1")
"""
LOOK: Final = """
import sys, time, warnings
warnings.simplefilter("ignore")
from backend.registry.mlflow_reading import open_registry, read_aliases
client = open_registry(sys.argv[1])
read_aliases(client, "model-0000")
begun = time.perf_counter()
assert len(read_aliases(client)) == int(sys.argv[2])
print(time.perf_counter() - begun)
"""


def measure() -> list[Figure]:
    """The whole command from its start, first and again, and the reading of every alias."""
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        _python(folder, "-c", MAKE, uri, str(MODELS), str(VERSIONS_EACH))
        _python(folder, "-m", "backend.cli", "db", "upgrade")
        first, again = (
            _timed(folder, "-m", "backend.cli", "import", "mlflow", "--uri", uri) for _ in range(2)
        )
        look = float(_python(folder, "-c", LOOK, uri, str(MODELS)))
    rows = MODELS * VERSIONS_EACH
    return [
        figure("registry_import", first, "s", rows=rows, target=300),
        figure("registry_import_again", again, "s", rows=rows, target=300),
        figure("registry_aliases", look, "s", rows=MODELS, target=10),
    ]


def _timed(folder: str, *arguments: str) -> float:
    begun = time.perf_counter()
    _python(folder, *arguments)
    return time.perf_counter() - begun


def _python(folder: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, text=True,
        cwd=Path(__file__).resolve().parents[1], env={**os.environ, "WARRANT_HOME": f"{folder}/home"},
    )  # fmt: skip
    return done.stdout

"""What the gateway tells Prometheus: names by its conventions, what versions said, and the GPUs of the host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from backend import clock
from backend.observations.schema import Task
from backend.serving.board import Serving
from backend.serving.gpu import GpuCollector
from backend.serving.metrics import GatewayMetrics
from backend.serving.predictor import Predictor, Scored
from backend.serving.record import Target
from backend.serving.requests import Instance
from tests.requirements import require

SMI = """#!/bin/sh
echo "0, NVIDIA H100 80GB HBM3, 37, 1024, 81559, 41, 123.45"
echo "1, NVIDIA H100 80GB HBM3, 0, 0, 81559, 30, [N/A]"
"""


def serving(role: str = "champion", task: Task = "binary") -> Serving:
    target = Target("toy", 1, 3, role, 0.5, "", "", {})
    features: dict[str, Any] = {"hour": "numeric", "carrier": "categorical"}
    return Serving(target, Predictor(object(), digest="", load_s=0), features, task, clock.now())


def value(metrics: GatewayMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"environment": "production", **labels})


def test_nulls_and_predictions_are_counted() -> None:
    metrics = GatewayMetrics("production")
    rows = [Instance(str(n), {"hour": 1.0} if n % 2 else {}, None, b"") for n in range(10)]
    scored = [Scored(n / 10, "1" if n >= 5 else "0") for n in range(10)]
    metrics.count_scored(serving(), rows, scored)
    metrics.count_scored(serving("shadow"), rows, scored)
    of = {"model": "toy", "version": "3"}
    assert value(metrics, "warrant_feature_rows_total", model="toy") == 10
    assert value(metrics, "warrant_feature_nulls_total", model="toy", feature="hour") == 5
    assert value(metrics, "warrant_feature_nulls_total", model="toy", feature="carrier") == 10
    for role in ("champion", "shadow"):
        assert value(metrics, "warrant_predicted_class_total", **of, role=role, prediction="1") == 5
        assert value(metrics, "warrant_prediction_score_bucket", **of, role=role, le="0.3") == 4


def test_predictions_of_a_regression_are_values() -> None:
    metrics = GatewayMetrics("production")
    rows = [Instance(str(n), {}, None, b"") for n in range(3)]
    metrics.count_scored(
        serving(task="regression"), rows, [Scored(None, each) for each in ("-20", "0.5", "1e9")]
    )
    of = {"model": "toy", "version": "3", "role": "champion"}
    assert value(metrics, "warrant_prediction_value_bucket", **of, le="-10.0") == 1
    assert value(metrics, "warrant_prediction_value_bucket", **of, le="1e+06") == 2
    assert value(metrics, "warrant_prediction_value_count", **of) == 3


def test_names_follow_the_conventions_of_prometheus() -> None:
    metrics = GatewayMetrics("production")
    metrics.count_scored(serving(), [Instance("1", {}, None, b"")], [Scored(0.4, "0")])
    said = subprocess.run(
        [require("promtool"), "check", "metrics"],
        input=generate_latest(metrics.registry),
        capture_output=True,
        check=False,
    )
    # prometheus_client adds `_created`, which promtool takes for a name of ours.
    complaints = [
        line for line in (said.stdout + said.stderr).decode().splitlines() if line.startswith("warrant_")
    ]
    assert complaints == []


def test_gpus_are_read_where_there_are_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    registry = CollectorRegistry()
    collector = GpuCollector(registry=registry)
    of = {"gpu": "0", "name": "NVIDIA H100 80GB HBM3"}
    assert registry.get_sample_value("warrant_gpu_utilisation_ratio", of) == pytest.approx(0.37)
    assert registry.get_sample_value("warrant_gpu_memory_used_bytes", of) == 1 << 30
    assert registry.get_sample_value("warrant_gpu_power_watts", of) == 123.45
    assert registry.get_sample_value("warrant_gpu_power_watts", {**of, "gpu": "1"}) is None
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    collector.refresh()
    assert registry.get_sample_value("warrant_gpu_utilisation_ratio", of) is None


def test_a_host_without_gpu_exports_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    registry = CollectorRegistry()
    GpuCollector(registry=registry)
    assert list(registry.collect()) == []

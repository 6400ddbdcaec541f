"""The tabular network on a GPU: 5 million rows of 50 columns drawn from the flights, `make bench-gpu`.

The same network on two CPU cores gives the peer's rows a second; fp32 on the same GPU gives that of bf16.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from benchmarks.figures import Figure, figure, not_measured
from benchmarks.trainers import LIMITS, TARGET, TORCH
from jobs.trainers.contract import Column, TrainingJob
from jobs.trainers.devices import gpus
from jobs.trainers.supervise import supervise

ROWS: Final = 5_000_000
VALID_ROWS: Final = 200_000
COLUMNS: Final = 50
CPU_ROWS: Final = 200_000
EPOCHS: Final = 3
# name -> (unit, target, whether more is better)
TARGETS: Final[dict[str, tuple[str, float | None, bool]]] = {
    "network on a GPU, rows a second": ("rows/s", None, True),
    "network on a GPU against two CPU cores": ("times", 20, True),
    "network on a GPU, bf16 against fp32": ("times", 1.5, True),
    "network on a GPU, share of an epoch that it is busy": ("%", 80, True),
    "network on a GPU, AUC of bf16 below fp32": ("AUC", 0.002, False),
}
NETWORK: Final[dict[str, Any]] = {
    "batch_size": 16_384, "hidden": [1024, 1024, 512], "embedding": 16, "patience": 0, "checkpoint_every_s": 3600.0,
    "log_every": 1_000_000,
}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    rows_per_s: float
    auc: float
    busy: float | None


def measure() -> list[Figure]:
    """Every figure, or the reason why there is none."""
    found = gpus()
    python = Path(os.environ.get("WARRANT_TRAINER_PYTHON") or TORCH)
    if not found or not python.exists():
        reason = (
            "there is no GPU on this machine (nvidia-smi lists none)" if not found
            else "there is no PyTorch: run `make setup-torch`"
        )  # fmt: skip
        return [
            one
            for name, (unit, target, _) in TARGETS.items()
            for one in not_measured(name, unit, reason, target=target)
        ]
    with tempfile.TemporaryDirectory() as folder:
        columns = write_rows(Path(folder), ROWS, VALID_ROWS)
        single = _train(Path(folder), columns, python, "fp32", "gpu")
        half = _train(Path(folder), columns, python, "bf16", "gpu")
        small = Path(folder) / "small"
        small.mkdir()
        write_rows(small, CPU_ROWS, 20_000)
        slow = _train(small, columns, python, "fp32", "cpu")
    values = (
        half.rows_per_s, half.rows_per_s / slow.rows_per_s, half.rows_per_s / single.rows_per_s,
        None if half.busy is None else 100 * half.busy, max(0.0, single.auc - half.auc),
    )  # fmt: skip
    found_on = f"on {found[0].model}"
    return [
        figure(
            name, value, unit, rows=ROWS, target=target, more_is_better=more, reason=found_on,
            peer=None if place else "two CPU cores", peer_value=None if place else slow.rows_per_s,
        )
        for place, ((name, (unit, target, more)), value) in enumerate(zip(TARGETS.items(), values, strict=True))
    ]  # fmt: skip


def write_rows(folder: Path, rows: int, valid: int) -> list[Column]:
    """Flights drawn with replacement; each further column is one of theirs, blurred, until there are fifty."""
    from jobs.demo import flights

    known = flights.build_flights()
    known = known[known["label"].notna()].reset_index(drop=True)
    rng = np.random.default_rng(7)
    columns: list[Column] = []
    for name, count in (("train", rows), ("valid", valid)):
        drawn = rng.integers(0, len(known), count)
        held: dict[str, Any] = {TARGET: known[TARGET].to_numpy(dtype="int8")[drawn]}
        columns = []
        for position in range(COLUMNS):
            source = flights.FEATURES[position % len(flights.FEATURES)]
            blurred = position >= len(flights.FEATURES)
            if source in flights.CATEGORICAL:
                codes, texts = pd.factorize(known[source])
                taken = codes[drawn]
                if blurred:
                    taken = np.where(rng.random(count) < 0.2, rng.integers(0, len(texts), count), taken)
                held[f"f{position}"] = pd.Categorical.from_codes(taken, categories=texts)
                columns.append(Column(f"f{position}", "category"))
                continue
            values = known[source].to_numpy(dtype="float32")
            noise = rng.normal(0, float(np.nanstd(values)) * 0.3, count) if blurred else 0.0
            held[f"f{position}"] = (values[drawn] + noise).astype("float32")
            columns.append(Column(f"f{position}", "number"))
        pd.DataFrame(held).to_parquet(folder / f"{name}.parquet")
    return columns


def _train(folder: Path, columns: list[Column], python: Path, precision: str, device: Any) -> Trained:
    epochs = EPOCHS if device == "gpu" else 1
    job = TrainingJob(
        "benchmark-gpu", "tabular_network", "binary", TARGET, tuple(columns), folder / "train.parquet",
        folder / "valid.parquet", folder / f"{device}-{precision}", device=device, limits=LIMITS,
        parameters={**NETWORK, "precision": precision, "max_epochs": epochs, "threads": 2 if device == "cpu" else 0},
    )  # fmt: skip
    busy = _Busy()
    if device == "gpu":
        busy.start()
    outcome = supervise(job, should_stop=lambda: False, on_progress=lambda _: None, python=python)
    busy.stop.set()
    if outcome.result is None:
        raise RuntimeError(outcome.message)
    lines = [json.loads(line) for line in (job.out / "metrics.jsonl").read_text().splitlines()]
    speeds = [line["metrics"]["rows_per_s"] for line in lines if "rows_per_s" in line["metrics"]]
    return Trained(speeds[-1], outcome.result.metrics["roc_auc"], busy.share())


class _Busy(threading.Thread):
    """Samples the load of the first GPU five times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self._seen: list[float] = []

    def run(self) -> None:
        while not self.stop.wait(0.2):
            said = subprocess.run(
                ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"],
                capture_output=True, text=True, timeout=5, check=False,
            ).stdout  # fmt: skip
            if said.strip().isdigit():
                self._seen.append(float(said))

    def share(self) -> float | None:
        """Between the first and the last sample in which it computed at all: reading rows comes before."""
        worked = [place for place, load in enumerate(self._seen) if load > 0]
        if not worked:
            return None
        return float(np.mean(self._seen[worked[0] : worked[-1] + 1])) / 100

"""A network for tables on PyTorch and Lightning. Needs an environment with both: WARRANT_TRAINER_PYTHON."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from backend.serving.portable import NETWORK, WEIGHTS, Encoder, probabilities
from jobs.trainers.base import Parameter, Trainer, register
from jobs.trainers.contract import BadJob, TrainingJob
from jobs.trainers.data import Rows, read_sets
from jobs.trainers.devices import visible_gpus
from jobs.trainers.run import Run
from jobs.trainers.scores import scores

PROGRAM: Final = Path(__file__).with_name("__main__.py").resolve()
TOLERANCE: Final = 2e-5  # single precision, summed in another order

PARAMETERS: Final = {
    "max_epochs": Parameter(25, "most passes over the training rows", 1, 10_000),
    "batch_size": Parameter(1024, "rows of a batch on each device", 1),
    "accumulate": Parameter(1, "batches of one optimiser step", 1, 4096),
    "learning_rate": Parameter(1e-3, "of AdamW, after its warm-up", 1e-8, 1),
    "weight_decay": Parameter(1e-4, "of AdamW", 0, 1),
    "hidden": Parameter([256, 128], "sizes of the dense layers"),
    "embedding": Parameter(8, "numbers that stand for one feature", 1, 1024),
    "bins": Parameter(15, "bins of a number, each with as many training rows", 1, 1024),
    "dropout": Parameter(0.1, "share of a layer that is left out in training", 0, 0.95),
    "patience": Parameter(5, "ends after so many epochs without a better validation loss; 0: never", 0),
    "precision": Parameter(
        "auto", "auto: bf16 where the GPU has it, else fp32", choices=("auto", "fp32", "bf16", "fp16")
    ),
    "devices": Parameter(1, "processes on this host, each with a GPU of its own where there are", 1, 64),
    "rows_on": Parameter(
        "auto",
        "auto: on the device when the rows fit, else streamed",
        choices=("auto", "resident", "streamed"),
    ),
    "log_every": Parameter(50, "optimiser steps between two lines of metrics within an epoch", 1),
    "checkpoint_every_s": Parameter(30.0, "seconds between two checkpoints; each epoch ends with one too", 0),
    "threads": Parameter(0, "threads on the CPU; 0: one a core", 0, 1024),
}


def train(run: Run) -> None:
    warnings.filterwarnings("ignore", module=r"lightning.*")
    import torch

    from jobs.trainers.network.loop import Loop, fabric_for
    from jobs.trainers.network.model import TabularNetwork, bins_of
    from jobs.trainers.network.rows import DeviceRows

    job, chosen = run.job, run.parameters
    hidden = chosen["hidden"]
    if not all(isinstance(size, int) and 0 < size <= 65_536 for size in hidden):
        raise BadJob(f"parameters.hidden: has to be a list of sizes, got {json.dumps(hidden)[:80]}")
    if job.device != "cpu" and not torch.cuda.is_available() and (job.device == "gpu" or visible_gpus()):
        run.go_without_gpu("PyTorch")
    fabric = fabric_for(job, chosen)
    fabric.launch()
    run.device = "gpu" if fabric.device.type == "cuda" else "cpu"
    sets = read_sets(job)
    run.beat()
    encoder = sets.encoder(job)
    centre, scale = _standard(sets.train, job)

    def on_device(rows: Rows) -> DeviceRows:
        numbers, codes = encoder.encode(rows.frame)
        run.beat()
        target = (
            ((rows.target - centre) / scale).astype("float32") if job.task == "regression" else rows.target
        )
        weight = None if rows.weight is None else rows.weight / rows.weight.mean()
        return DeviceRows(numbers, codes, target, weight, fabric.device, where=chosen["rows_on"])

    learned, held_out = on_device(sets.train), on_device(sets.valid)
    torch.manual_seed(job.seed)
    low, inverse = bins_of(encoder.encode(sets.train.frame.head(200_000))[0], chosen["bins"], seed=job.seed)
    network = TabularNetwork(
        low, inverse, [len(column.categories) for column in encoder.categories],
        outputs=len(sets.classes) if job.task == "multiclass" else 1, embedding=chosen["embedding"],
        hidden=hidden, dropout=chosen["dropout"],
    )  # fmt: skip
    run.beat()
    loop = Loop(run, fabric, network, learned, held_out, unit=scale)
    loop.run()
    if run.device == "gpu":
        run.device_seconds = loop.at.trained_s * fabric.world_size
        run.device_peak_memory_mb = torch.cuda.max_memory_allocated() / (1 << 20)
    if not run.leads:
        return
    answers = _plain_answers(network, encoder, sets.valid, job) * scale + centre
    answer = answers[:, 0] if job.task == "regression" else _chances(answers, job)
    _publish(run, network, encoder, sets.valid, answer, sets.classes, (centre, scale), rows=len(sets.train))


def _standard(rows: Rows, job: TrainingJob) -> tuple[float, float]:
    """Mean and spread of a regression's target; a classifier's answers stay as they are."""
    if job.task != "regression":
        return 0.0, 1.0
    return float(np.mean(rows.target)), float(np.std(rows.target)) or 1.0


def _chances(answers: np.ndarray, job: TrainingJob) -> np.ndarray:
    return probabilities(answers[:, 0] if job.task == "binary" else answers)


def _plain_answers(network: Any, encoder: Encoder, rows: Rows, job: TrainingJob) -> np.ndarray:
    """The best network's answers on the host in single precision: what the artefact has to give."""
    import torch

    network = network.to("cpu").float().eval()
    numbers, codes = encoder.encode(rows.frame)
    with torch.no_grad():
        parts = [
            network(
                torch.from_numpy(numbers[start : start + 8192]), torch.from_numpy(codes[start : start + 8192])
            )
            for start in range(0, len(numbers), 8192)
        ]
    found: np.ndarray = torch.cat(parts).numpy().astype("float64")
    return found


def _publish(
    run: Run,
    network: Any,
    encoder: Encoder,
    valid: Rows,
    answer: np.ndarray,
    classes: Sequence[str],
    standard: tuple[float, float],
    *,
    rows: int,
) -> None:
    from safetensors.torch import save

    from jobs.trainers.mlmodel import check_portable, write_portable
    from jobs.trainers.network.model import exported

    job = run.job
    described = {"layers": len(run.parameters["hidden"]), "centre": standard[0], "scale": standard[1]}
    data = {
        NETWORK: (json.dumps(described, indent=1) + "\n").encode(),
        WEIGHTS: save(exported(network.state_dict())),
    }
    run.publish(
        lambda draft: write_portable(draft, job, encoder, classes, data, format_="network"),
        scores(job.task, valid.target, answer, valid.weight),
        {"train": rows, "valid": len(valid)},
        libraries=("torch", "lightning", "safetensors"),
        check=lambda draft: check_portable(draft, valid.frame, answer, tolerance=TOLERANCE),
    )


def _launched(python: Path, job: Path, chosen: Mapping[str, Any]) -> Sequence[str] | None:
    """Several processes on this host by torchrun; None: one, started as any trainer."""
    if chosen["devices"] == 1:
        return None
    return (
        str(python), "-P", "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
        "--max-restarts", "0",
        "--nproc-per-node", str(chosen["devices"]), str(PROGRAM), str(job),
    )  # fmt: skip


def _memory_mb(rows: int, job: TrainingJob, chosen: Mapping[str, Any]) -> float:
    """Of one device: its context, the weights with their optimiser, and a batch forward and backward. The rows are
    streamed where they do not fit, unless the job wants them resident."""
    columns = len(job.columns)
    width = columns * chosen["embedding"]
    sizes = [width, *chosen["hidden"]]
    weights = columns * (chosen["bins"] + 1) * chosen["embedding"] + sum(
        before * after for before, after in pairwise(sizes)
    )
    batch = chosen["batch_size"] * (columns * (chosen["bins"] + 1) * 4 + sum(sizes) * 4) * 4
    resident = rows * (columns * 4 + 8) if chosen["rows_on"] == "resident" else 0
    return float((weights * 16 + batch + resident) / (1 << 20) + 700)


TRAINER = register(
    Trainer(
        "tabular_network",
        "Tabular network (PyTorch, Lightning)",
        train,
        PARAMETERS,
        torch=True,
        gpu=True,
        memory_mb=_memory_mb,
        command=_launched,
    )
)

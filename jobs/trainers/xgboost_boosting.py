"""XGBoost's histogram trees, on the CPU or on a GPU by CUDA. Categories are split as categories."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from backend.serving.portable import BOOSTER, Encoder, feature_types, probabilities
from jobs.trainers.base import Parameter, Trainer, register
from jobs.trainers.contract import TrainingJob
from jobs.trainers.data import Rows, Sets, read_sets
from jobs.trainers.mlmodel import check_portable, write_portable
from jobs.trainers.run import Run
from jobs.trainers.scores import scores

PARAMETERS: Final = {
    "rounds": Parameter(600, "most rounds of boosting", 1, 100_000),
    "learning_rate": Parameter(0.06, "how much each tree counts", 1e-6, 10),
    "max_depth": Parameter(6, "deepest tree; 0: no bound", 0, 64),
    "min_child_weight": Parameter(5.0, "least weight of a leaf", 0),
    "reg_lambda": Parameter(1.0, "shrinks leaves", 0),
    "subsample": Parameter(0.9, "share of the rows of each tree", 0.01, 1),
    "colsample_bytree": Parameter(0.8, "share of the columns of each tree", 0.01, 1),
    "max_bin": Parameter(256, "bins of a number", 2, 65_536),
    "early_stopping_rounds": Parameter(
        40, "ends after so many rounds without a better validation loss; 0: never", 0
    ),
    "checkpoint_every": Parameter(50, "rounds between two checkpoints", 1),
    "threads": Parameter(0, "threads; 0: one a core", 0, 1024),
}
TOLERANCE: Final = 1e-5  # single precision, summed in another order


@dataclass
class _State:
    booster: Any
    rounds: int = 0
    best: float = math.inf
    best_at: int = 0


def train(run: Run) -> None:
    import xgboost

    job, chosen = run.job, run.parameters
    sets = read_sets(job)
    run.beat()
    encoder = sets.encoder(job)
    learned = _matrix(sets.train, encoder)
    run.beat()
    held_out = _matrix(sets.valid, encoder, reference=learned)
    run.beat()
    settings = _settings(job, chosen, sets)
    state = run.restore(lambda content: _read(content, settings)) or _State(
        xgboost.Booster(settings, cache=[learned, held_out])
    )
    run.device = _device_of(state.booster)
    if settings["device"] != "cpu" and run.device == "cpu":
        run.go_without_gpu("XGBoost")
        settings["device"] = "cpu"
    patience = chosen["early_stopping_rounds"]
    begun = time.monotonic()
    while state.rounds < chosen["rounds"] and not (patience and state.rounds - state.best_at >= patience):
        state.booster.update(learned, state.rounds)
        state.rounds += 1
        measured = _measured(state.booster, held_out, state.rounds)
        if measured["valid_loss"] < state.best:
            state.best, state.best_at = measured["valid_loss"], state.rounds
        run.log(state.rounds, measured, steps=chosen["rounds"])
        if state.rounds % chosen["checkpoint_every"] == 0:
            written = _written(state)
            run.save(state.rounds, written)
            if job.deterministic:  # go on from where a resumed run would: it sums the trees anew
                state = _read(written, settings)
    run.device_seconds = time.monotonic() - begun if run.device == "gpu" else 0.0
    _publish(run, state, sets, encoder)


def _matrix(rows: Rows, encoder: Encoder, reference: Any = None) -> Any:
    import xgboost

    return xgboost.QuantileDMatrix(
        encoder.matrix(rows.frame), rows.target, weight=rows.weight, feature_types=feature_types(encoder),
        enable_categorical=True, ref=reference,
    )  # fmt: skip


def _settings(job: TrainingJob, chosen: Mapping[str, Any], sets: Sets) -> dict[str, Any]:
    from jobs.trainers.devices import visible_gpus

    goals: dict[str, dict[str, Any]] = {
        "binary": {"objective": "binary:logistic", "eval_metric": "logloss"},
        "multiclass": {
            "objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": len(sets.classes),
        },
        "regression": {"objective": "reg:squarederror", "eval_metric": "rmse"},
    }  # fmt: skip
    names = (
        "learning_rate", "max_depth", "min_child_weight", "reg_lambda", "subsample", "colsample_bytree", "max_bin",
    )  # fmt: skip
    return {
        **goals[job.task],
        **{name: chosen[name] for name in names},
        "tree_method": "hist",
        "device": "cuda" if job.device == "gpu" or (job.device != "cpu" and visible_gpus()) else "cpu",
        "seed": job.seed,
        "seed_per_iteration": True,  # a resumed run draws the rows that an uninterrupted one would
        "nthread": 1 if job.deterministic else chosen["threads"],
        "verbosity": 1,
    }


def _device_of(booster: Any) -> str:
    """What it trains on: where there is no GPU that it can use, XGBoost takes the processor and warns."""
    used = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    return "cpu" if used == "cpu" else "gpu"


def _measured(booster: Any, held_out: Any, rounds: int) -> dict[str, float]:
    """`eval` gives "[0]\\tvalid-logloss:0.61"."""
    return {"valid_loss": float(booster.eval(held_out, "valid", rounds - 1).rsplit(":", 1)[1])}


def _written(state: _State) -> bytes:
    """A line of JSON, then the booster in XGBoost's exact binary form."""
    head = {"rounds": state.rounds, "best": state.best, "best_at": state.best_at}
    return json.dumps(head).encode() + b"\n" + bytes(state.booster.save_raw("ubj"))


def _read(content: bytes, settings: Mapping[str, Any]) -> _State:
    import xgboost

    head, _, model = content.partition(b"\n")
    booster = xgboost.Booster(dict(settings), model_file=bytearray(model))
    return _State(booster, **json.loads(head))


def _publish(run: Run, state: _State, sets: Sets, encoder: Encoder) -> None:
    import xgboost

    job = run.job
    best = state.booster[: state.best_at] if run.parameters["early_stopping_rounds"] else state.booster
    rows = xgboost.DMatrix(
        encoder.matrix(sets.valid.frame), feature_types=feature_types(encoder), enable_categorical=True
    )
    margins = np.asarray(best.predict(rows, output_margin=job.task != "regression"), dtype="float64")
    answer = margins if job.task == "regression" else probabilities(margins)
    best.set_param({"device": "cpu"})

    def write(draft: Path) -> None:
        model = bytes(best.save_raw("json"))
        write_portable(draft, job, encoder, sets.classes, {BOOSTER: model}, format_="xgboost")

    run.publish(
        write,
        {**scores(job.task, sets.valid.target, answer, sets.valid.weight), "best_round": state.best_at},
        {"train": len(sets.train), "valid": len(sets.valid)},
        libraries=("xgboost",),
        check=lambda draft: check_portable(draft, sets.valid.frame, answer, tolerance=TOLERANCE),
    )


def _memory_mb(rows: int, job: TrainingJob, chosen: Mapping[str, Any]) -> float:
    """One byte a bin up to 256 bins, two above, gradients and positions, and XGBoost's own working memory."""
    width = 1 if chosen["max_bin"] <= 256 else 2
    return rows * (len(job.columns) * width * 2 + 32) / (1 << 20) + 600


TRAINER = register(Trainer("xgboost_boosting", "XGBoost", train, PARAMETERS, gpu=True, memory_mb=_memory_mb))

"""The trainers that a retraining may name: a row for each file of `jobs/trainers/`, which no console imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from backend.errors import BadInput
from backend.monitoring.columns import Task

PROGRAM_TRAINER: Final = "command"
ALL_TASKS: Final[tuple[Task, ...]] = ("binary", "multiclass", "regression")


@dataclass(frozen=True)
class Trainer:
    """example   parameters with which it is offered"""

    name: str
    title: str
    explanation: str
    devices: tuple[str, ...]
    tasks: tuple[Task, ...]
    example: dict[str, Any]


TRAINERS: Final = (
    Trainer(
        "sklearn_boosting", "Gradient boosting, scikit-learn", "Boosted trees on the processor.", ("cpu",), ALL_TASKS,
        {"max_iter": 200, "learning_rate": 0.08},
    ),
    Trainer(
        "xgboost_boosting", "Gradient boosting, XGBoost", "Boosted trees on the processor or a GPU.", ("cpu", "gpu"),
        ALL_TASKS, {"rounds": 300, "learning_rate": 0.08},
    ),
    Trainer(
        "tabular_network", "Tabular network, PyTorch", "Embeddings and a deep network; made for a GPU.", ("cpu", "gpu"),
        ALL_TASKS, {"max_epochs": 20, "batch_size": 4096},
    ),
    Trainer(
        PROGRAM_TRAINER, "A program of your own", "A program that the worker's settings name.", ("cpu", "gpu"),
        ALL_TASKS, {"program": "nightly"},
    ),
)  # fmt: skip


def trainer_of(name: str) -> Trainer:
    """`BadInput` that names the trainers there are."""
    found = next((one for one in TRAINERS if one.name == name), None)
    if found is None:
        raise BadInput(
            f"trainer: there is no {name!r}; write one of {', '.join(one.name for one in TRAINERS)}",
            field="trainer",
        )
    return found

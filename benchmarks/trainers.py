"""AUC of each built-in trainer on US Census and flights, beside plain scikit-learn HistGradientBoosting.

Rows are split by time, 70 % to learn from, 15 % to stop by, 15 % that nothing saw; the AUC is of the last. The peer has
scikit-learn's defaults and the same training rows.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from benchmarks.figures import Figure, figure, not_measured
from jobs.trainers.base import Trainer, trainers
from jobs.trainers.contract import Column, Limits, TrainingJob
from jobs.trainers.supervise import supervise

WITHIN: Final = 0.01
PEER: Final = "scikit-learn HistGradientBoosting"
TORCH: Final = Path(".venv-torch/bin/python").absolute()
LIMITS: Final = Limits(wall_s=3600, memory_mb=12_000, heartbeat_s=600)
TARGET: Final = "label"


def measure() -> list[Figure]:
    """AUC and seconds of each trainer on both sets."""
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, frame, columns in _sets():
            place = Path(folder) / name
            place.mkdir()
            parts = _split(frame, place, columns)
            peer = _peer(parts, columns)
            for trainer in trainers().values():
                if trainer.name != "command":
                    found += _measured(
                        name, trainer, place, columns, parts["test"], peer, len(parts["train"])
                    )
    return found


def python_of(trainer: Trainer) -> Path:
    """The environment that `make setup-torch` makes, for those that need it."""
    return TORCH if trainer.torch and TORCH.exists() else Path(sys.executable)


def _sets() -> list[tuple[str, pd.DataFrame, list[Column]]]:
    from jobs.demo import census, flights

    return [
        (
            name,
            frame,
            [Column(one, "category" if one in made.CATEGORICAL else "number") for one in made.FEATURES],
        )
        for name, made, frame in (
            ("census", census, census.build_census()),
            ("flights", flights, flights.build_flights()),
        )
    ]


def _split(frame: pd.DataFrame, place: Path, columns: Sequence[Column]) -> dict[str, pd.DataFrame]:
    known = frame[frame["label"].notna()].sort_values("data_ts", kind="stable")[
        [*(column.name for column in columns), TARGET]
    ]
    first, second = int(len(known) * 0.7), int(len(known) * 0.85)
    parts = {"train": known[:first], "valid": known[first:second], "test": known[second:]}
    for name, part in parts.items():
        part.to_parquet(place / f"{name}.parquet")
    return parts


def _peer(parts: dict[str, pd.DataFrame], columns: Sequence[Column]) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    def typed(part: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {
                column.name: pd.Categorical(part[column.name], categories=known[column.name])
                if column.type == "category"
                else part[column.name]
                for column in columns
            }
        )

    known = {
        one.name: sorted(parts["train"][one.name].dropna().unique())
        for one in columns
        if one.type == "category"
    }
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=7)
    model.fit(typed(parts["train"]), parts["train"][TARGET])
    return float(roc_auc_score(parts["test"][TARGET] == "1", model.predict_proba(typed(parts["test"]))[:, 1]))


def _measured(
    name: str,
    trainer: Trainer,
    place: Path,
    columns: Sequence[Column],
    test: pd.DataFrame,
    peer: float,
    rows: int,
) -> list[Figure]:
    from sklearn.metrics import roc_auc_score

    from backend.serving.loader import load_estimator

    job = TrainingJob(
        f"benchmark-{name}", trainer.name, "binary", TARGET, tuple(columns), place / "train.parquet",
        place / "valid.parquet", place / trainer.name, limits=LIMITS,
    )  # fmt: skip
    began = time.perf_counter()
    outcome = supervise(job, should_stop=lambda: False, on_progress=lambda _: None, python=python_of(trainer))
    seconds = time.perf_counter() - began
    what = f"AUC on {name}, {trainer.name}"
    if outcome.artefact is None:
        return not_measured(what, "AUC", outcome.message, target=round(peer - WITHIN, 4))
    chances = load_estimator(outcome.artefact).predict_proba(test[[column.name for column in columns]])[:, 1]
    auc = float(roc_auc_score(test[TARGET] == "1", chances))
    target = round(peer - WITHIN, 4)
    return [
        figure(what, auc, "AUC", rows=rows, target=target, more_is_better=True, peer=PEER, peer_value=peer),
        figure(f"training on {name}, {trainer.name}", seconds, "s", rows=rows),
    ]

"""scikit-learn's histogram gradient boosting: ordinal codes for categories, then trees. Runs on the CPU.

Trained in chunks with `warm_start`, which gives the same trees as one pass; after each chunk the validation rows are
scored and a checkpoint is written.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from backend.errors import BadInput
from backend.serving.portable import as_number, as_text
from jobs.trainers.base import Parameter, Trainer, register
from jobs.trainers.contract import TrainingJob
from jobs.trainers.data import Rows, Sets, read_sets
from jobs.trainers.mlmodel import CHECKED_ROWS, same_answers, settled_skops, write_description
from jobs.trainers.run import Run
from jobs.trainers.scores import scores

MODEL_FILE: Final = "model.skops"
# Most categories of a column that the trees can tell apart; rarer ones are one together.
MOST_CATEGORIES: Final = 250
TRUSTED_TYPES: Final = (
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
)
PARAMETERS: Final = {
    "max_iter": Parameter(300, "most trees (of each class)", 1, 100_000),
    "learning_rate": Parameter(0.06, "how much each tree counts", 1e-6, 10),
    "max_leaf_nodes": Parameter(31, "most leaves of a tree", 2, 65_536),
    "min_samples_leaf": Parameter(50, "fewest rows of a leaf", 1),
    "l2_regularization": Parameter(1.0, "shrinks leaves", 0),
    "max_bins": Parameter(255, "bins of a number", 2, 255),
    "early_stopping_rounds": Parameter(
        30, "ends after so many trees without a better validation loss; 0: never", 0
    ),
    "checkpoint_every": Parameter(20, "trees between two checkpoints", 1),
    "threads": Parameter(0, "threads of the trees; 0: one a core", 0, 1024),
}


@dataclass
class _State:
    """What a checkpoint holds."""

    pipeline: Any = None
    trees: int = 0
    best: float = math.inf
    best_at: int = 0
    history: list[float] = field(default_factory=list)


def train(run: Run) -> None:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    job, chosen = run.job, run.parameters
    sets = read_sets(job)
    run.beat()
    inputs = _input(sets.train.frame, job), _input(sets.valid.frame, job)
    run.beat()
    state = run.restore(_read) or _State(pipeline=_pipeline(job, chosen))
    with threadpool_limits(limits=chosen["threads"] or None, user_api="openmp"):
        while not _finished(state, chosen):
            _grow(
                state,
                inputs[0],
                sets.train,
                min(state.trees + chosen["checkpoint_every"], chosen["max_iter"]),
            )
            run.beat()
            found = scores(
                job.task, sets.valid.target, _answer(state.pipeline, inputs[1], job), sets.valid.weight
            )
            loss = found["rmse" if job.task == "regression" else "log_loss"]
            if loss < state.best:
                state.best, state.best_at = loss, state.trees
            run.log(
                state.trees,
                {f"valid_{name}": value for name, value in found.items()},
                steps=chosen["max_iter"],
            )
            run.save(state.trees, _written(state))
        _publish(run, state, sets, inputs[1])


def _finished(state: _State, chosen: dict[str, Any]) -> bool:
    patience = chosen["early_stopping_rounds"]
    return state.trees >= chosen["max_iter"] or bool(patience and state.trees - state.best_at >= patience)


def _grow(state: _State, frame: pd.DataFrame, rows: Rows, trees: int) -> None:
    """Fit the encoder once and continue the trees up to `trees`."""
    encode, boost = (step for _, step in state.pipeline.steps)
    first = state.trees == 0
    encoded = encode.fit_transform(frame) if first else encode.transform(frame)
    boost.set_params(max_iter=trees)
    boost.fit(encoded, rows.target, sample_weight=rows.weight)
    state.trees = trees


def _pipeline(job: TrainingJob, chosen: dict[str, Any]) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    categories = [column.name for column in job.columns if column.type == "category"]
    numbers = [column.name for column in job.columns if column.type != "category"]
    encode = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        max_categories=MOST_CATEGORIES,
    )
    kind = HistGradientBoostingRegressor if job.task == "regression" else HistGradientBoostingClassifier
    names = ("learning_rate", "max_leaf_nodes", "min_samples_leaf", "l2_regularization", "max_bins")
    boost = kind(
        **{name: chosen[name] for name in names},
        categorical_features=list(range(len(categories))) or None,
        random_state=job.seed,
        early_stopping=False,
        warm_start=True,
    )
    columns = ColumnTransformer(
        [("category", encode, categories), ("number", "passthrough", numbers)],
        verbose_feature_names_out=False,
    )
    return Pipeline([("encode", columns), ("boost", boost)])


def _input(frame: pd.DataFrame, job: TrainingJob) -> pd.DataFrame:
    """As the gateway gives it: text or missing, float or missing, in the order of the job's columns."""
    return pd.DataFrame(
        {
            column.name: as_text(frame[column.name]).astype("object")
            if column.type == "category"
            else as_number(frame[column.name])
            for column in job.columns
        },
        index=frame.index,
    )


def _answer(pipeline: Any, frame: pd.DataFrame, job: TrainingJob) -> np.ndarray:
    answer: np.ndarray = (
        pipeline.predict(frame) if job.task == "regression" else pipeline.predict_proba(frame)
    )
    return answer


def _written(state: _State) -> bytes:
    """A line of JSON, then the pipeline as skops."""
    import skops.io

    head = {"trees": state.trees, "best": state.best, "best_at": state.best_at}
    return json.dumps(head).encode() + b"\n" + bytes(skops.io.dumps(state.pipeline))


def _read(content: bytes) -> _State:
    import skops.io

    head, _, model = content.partition(b"\n")
    return _State(pipeline=skops.io.loads(model, trusted=list(TRUSTED_TYPES)), **json.loads(head))


def _publish(run: Run, state: _State, sets: Sets, frame: pd.DataFrame) -> None:
    import skops.io
    from sklearn import __version__ as installed

    job, pipeline = run.job, state.pipeline
    boost = pipeline.steps[-1][1]
    boost.set_params(warm_start=False)
    if job.task != "regression":
        boost.classes_ = np.array(
            sets.classes, dtype=object
        )  # the gateway answers with the labels' own texts
    answer = _answer(pipeline, frame, job)

    def write(draft: Path) -> None:
        (draft / MODEL_FILE).write_bytes(settled_skops(skops.io.dumps(pipeline)))
        sklearn = {
            "pickled_model": MODEL_FILE,
            "serialization_format": "skops",
            "skops_trusted_types": list(TRUSTED_TYPES),
            "sklearn_version": installed,
        }
        function = {
            "loader_module": "mlflow.sklearn",
            "model_path": MODEL_FILE,
            "predict_fn": "predict" if job.task == "regression" else "predict_proba",
        }
        write_description(
            draft, job, {"python_function": function, "sklearn": sklearn}, ("scikit-learn", "skops")
        )

    def check(draft: Path) -> None:
        needed = skops.io.get_untrusted_types(file=draft / MODEL_FILE)
        if strange := [name for name in needed if name not in TRUSTED_TYPES]:
            raise BadInput(f"the model holds {', '.join(strange)}, which no gateway would load")
        loaded = skops.io.load(draft / MODEL_FILE, trusted=list(TRUSTED_TYPES))
        same_answers(_answer(loaded, frame.head(CHECKED_ROWS), job), answer[:CHECKED_ROWS], tolerance=0.0)

    run.device_seconds = 0.0
    run.publish(
        write,
        scores(job.task, sets.valid.target, answer, sets.valid.weight),
        {"train": len(sets.train), "valid": len(sets.valid)},
        libraries=("scikit-learn", "skops"),
        check=check,
    )


TRAINER = register(Trainer("sklearn_boosting", "scikit-learn gradient boosting", train, PARAMETERS))

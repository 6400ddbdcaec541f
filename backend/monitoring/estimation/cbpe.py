"""Classifiers without labels: NannyML's CBPE (confidence-based performance estimation).

Calibrated scores say how many predictions are right in expectation, so the confusion matrix follows from the scores
alone. It holds while P(label | score) is as in the reference: a change of the concept is invisible to it.

Several classes with a probability for each: NannyML's own multiclass CBPE. With the predicted class's probability
alone, whether the prediction is right is itself a binary outcome with that probability, and accuracy is its mean:
NannyML's binary CBPE of "right", in which every row is predicted to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec
from backend.monitoring.estimation._core import METRICS_OF, MIN_REFERENCE
from backend.monitoring.estimation.library import chunker, in_chunks, quiet, run
from backend.monitoring.estimation.loading import load
from backend.monitoring.performance import read_classes
from backend.monitoring.performance._core import read_categories, read_numbers
from backend.monitoring.performance.measurement import probability_columns

if TYPE_CHECKING:
    import pandas as pd

_OUTPUTS = ("score", "prediction")
_LIBRARY_NAMES = {"macro_f1": "f1", "macro_precision": "precision", "macro_recall": "recall"}


@dataclass(frozen=True)
class BinaryCbpe:
    """CBPE of a binary classifier. The prepared rows are score (float), prediction and label (0/1 integers)."""

    spec: ModelSpec
    estimator: Any
    names: Mapping[str, str]

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(_OUTPUTS)

    def prepare(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, Any, str | None]:
        prepared, usable = prepare_binary(self.spec, rows, labelled=False)
        return prepared, usable, None

    def figures(self, prepared: pd.DataFrame, chunk: Any) -> Mapping[int, Mapping[str, Sequence[float]]]:
        return run(self.estimator, prepared, chunk, self.names)


@dataclass(frozen=True)
class RightCbpe:
    """CBPE of whether the predicted class is right. The prepared rows are score, prediction (1) and label (right)."""

    estimator: Any
    names: Mapping[str, str]

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(_OUTPUTS)

    def prepare(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, Any, str | None]:
        prepared, usable = prepare_right(rows, labelled=False)
        return prepared, usable, None

    def figures(self, prepared: pd.DataFrame, chunk: Any) -> Mapping[int, Mapping[str, Sequence[float]]]:
        return run(self.estimator, prepared, chunk, self.names)


@dataclass(frozen=True)
class MulticlassCbpe:
    """CBPE of a classifier of several classes. The prepared rows are p0, p1, ... by class, prediction and label."""

    estimator: Any
    names: Mapping[str, str]
    columns: Mapping[str, str]

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(("prediction", *self.columns.values()))

    def prepare(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, Any, str | None]:
        prepared, usable = prepare_multiclass(self.columns, rows, labelled=False)
        return prepared, usable, None

    def figures(self, prepared: pd.DataFrame, chunk: Any) -> Mapping[int, Mapping[str, Sequence[float]]]:
        return run(self.estimator, prepared, chunk, self.names)


def fit_binary(spec: ModelSpec, reference: pd.DataFrame) -> tuple[BinaryCbpe, int]:
    """Fit on reference rows in time order; rows without score, prediction or label are left out.

    Returns the estimator and the rows it was fitted on. Raises `BadInput` when fewer than 500 rows remain or all
    labels are of one class.
    """
    frame, _ = prepare_binary(spec, reference, labelled=True)
    _probabilities(reference["score"])
    enough(len(frame))
    if frame["label"].nunique() < 2:
        raise BadInput("all labels of the reference are of one class; an estimator needs both")
    names = _names(METRICS_OF["binary"])
    return BinaryCbpe(spec, _fit(frame, "classification_binary", "score", names), names), len(frame)


def fit_multiclass(spec: ModelSpec, reference: pd.DataFrame) -> tuple[MulticlassCbpe | RightCbpe, int]:
    """As `fit_binary`. Without probabilities of at least three classes: of whether the predicted class is right.

    Raises `BadInput` too where there is not even a score, or some class has a probability and no rows.
    """
    columns = probability_columns(spec, reference)
    if len(columns) < 3:
        return _fit_right(reference)
    frame, _ = prepare_multiclass(columns, reference, labelled=True)
    enough(len(frame))
    missing = sorted(set(columns) - set(frame["label"]))
    if missing:
        raise BadInput(f"no label of the reference is {missing[0]!r}; an estimator needs rows of every class")
    outputs = {kind: f"p{place}" for place, kind in enumerate(columns)}
    names = _names(METRICS_OF["multiclass"])
    estimator = _fit(frame, "classification_multiclass", outputs, names)
    return MulticlassCbpe(estimator, names, columns), len(frame)


def _fit_right(reference: pd.DataFrame) -> tuple[RightCbpe, int]:
    if "score" not in reference.columns:
        raise BadInput(
            "an estimator for several classes needs the probability of the predicted class (column score), or of "
            "each class (`classes` in the spec, or columns score_<class>); there are neither"
        )
    frame, _ = prepare_right(reference, labelled=True)
    _probabilities(reference["score"])
    enough(len(frame))
    if frame["label"].nunique() < 2:
        raise BadInput(
            "every prediction of the reference is right, or every one wrong; an estimator needs both"
        )
    names = {"accuracy": "accuracy"}
    return RightCbpe(_fit(frame, "classification_binary", "score", names), names), len(frame)


def prepare_binary(spec: ModelSpec, rows: pd.DataFrame, *, labelled: bool) -> tuple[pd.DataFrame, Any]:
    """Columns score, prediction and label of the rows that have them, and the mask (n,) of these rows."""
    import pandas as pd

    outputs = _OUTPUTS if "prediction" in rows.columns else ("score",)
    _require(rows, (*outputs, *(("label",) if labelled else ())))
    score = read_numbers(rows["score"])
    columns: dict[str, Any] = {"score": score}
    if "prediction" in rows.columns:
        columns["prediction"] = read_classes(rows["prediction"], spec.positive, "prediction")
    else:
        columns["prediction"] = (score >= spec.cutoff).astype(np.float64)
    if labelled:
        columns["label"] = read_classes(rows["label"], spec.positive, "label")
    usable = np.logical_and.reduce([np.isfinite(values) for values in columns.values()])
    usable &= (score >= 0) & (score <= 1)
    kept = pd.DataFrame({name: values[usable] for name, values in columns.items()})
    return kept.astype({name: "int64" for name in kept.columns if name != "score"}), usable


def prepare_right(rows: pd.DataFrame, *, labelled: bool) -> tuple[pd.DataFrame, Any]:
    """Columns score, prediction (always 1) and label (1 where the predicted class is the true one), and the mask."""
    import pandas as pd

    _require(rows, (*_OUTPUTS, *(("label",) if labelled else ())))
    score = read_numbers(rows["score"])
    guess, guessed = read_categories(rows["prediction"])
    usable = np.isfinite(score) & (score >= 0) & (score <= 1) & (guess >= 0)
    columns: dict[str, Any] = {"score": score, "prediction": np.ones(len(rows), dtype=np.int64)}
    if labelled:
        truth, names = read_categories(rows["label"])
        usable &= truth >= 0
        place = {name: code for code, name in enumerate(guessed)}
        same = np.array([*(place.get(name, -2) for name in names), -2], dtype=np.int64)
        columns["label"] = (guess == same[truth]).astype(np.int64)
    return pd.DataFrame({name: values[usable] for name, values in columns.items()}), usable


def prepare_multiclass(
    columns: Mapping[str, str], rows: pd.DataFrame, *, labelled: bool
) -> tuple[pd.DataFrame, Any]:
    """Columns p0, p1, ..., prediction and label of the rows that have them all, of classes with a probability."""
    import pandas as pd

    _require(rows, (*columns.values(), "prediction", *(("label",) if labelled else ())))
    found: dict[str, Any] = {
        f"p{place}": read_numbers(rows[name], name) for place, name in enumerate(columns.values())
    }
    usable = np.logical_and.reduce([np.isfinite(p) for p in found.values()])
    for name in ("prediction", "label")[: 1 + labelled]:
        codes, kinds = read_categories(rows[name])
        known = np.array([kind in columns for kind in kinds] + [False])
        usable &= known[codes]
        found[name] = np.array([*kinds, ""], dtype=object)[codes]
    return pd.DataFrame({name: values[usable] for name, values in found.items()}), usable


def enough(rows: int) -> None:
    if rows < MIN_REFERENCE:
        raise BadInput(f"the reference has {rows} labelled rows; an estimator needs {MIN_REFERENCE}")


def _fit(frame: pd.DataFrame, problem: str, outputs: Any, names: Mapping[str, str]) -> Any:
    with quiet():
        library = load("confidence_based", "CBPE")
        estimator = library.estimator(
            y_pred_proba=outputs,
            y_pred="prediction",
            y_true="label",
            problem_type=problem,
            metrics=list(names.values()),
            chunker=chunker(library),
        )
        estimator.fit(in_chunks(frame))
    return estimator


def _names(metrics: Sequence[str]) -> dict[str, str]:
    return {name: _LIBRARY_NAMES.get(name, name) for name in metrics}


def _probabilities(score: Any) -> None:
    """Raises `BadInput` where scores lie outside 0 to 1: they are then no probabilities, and left-outs no accident."""
    numbers = read_numbers(score)
    outside = np.isfinite(numbers) & ((numbers < 0) | (numbers > 1))
    if outside.any():
        raise BadInput(
            f"{int(outside.sum())} scores of the reference are not probabilities between 0 and 1, which the "
            "estimator reads"
        )


def _require(rows: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if name not in rows.columns:
            raise BadInput(f"the data have no column {name!r}, which the estimator reads")

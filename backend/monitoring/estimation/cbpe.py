"""Classifiers without labels: NannyML's CBPE (confidence-based performance estimation).

Calibrated scores say how many predictions are right in expectation, so the confusion matrix follows from the scores
alone. It holds while P(label | score) is as in the reference: a change of the concept is invisible to it.
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

    def prepare(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, Any, str | None]:
        prepared, usable = prepare_binary(self.spec, rows, labelled=False)
        return prepared, usable, None

    def figures(self, prepared: pd.DataFrame, chunk: Any) -> Mapping[int, Mapping[str, Sequence[float]]]:
        return run(self.estimator, prepared, chunk, self.names)


@dataclass(frozen=True)
class MulticlassCbpe:
    """CBPE of a classifier of several classes. The prepared rows are p0, p1, ... by class, prediction and label."""

    spec: ModelSpec
    estimator: Any
    names: Mapping[str, str]
    columns: Mapping[str, str]

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
    enough(len(frame))
    if frame["label"].nunique() < 2:
        raise BadInput("all labels of the reference are of one class; an estimator needs both")
    estimator = _fit(spec, frame, "classification_binary", "score")
    return BinaryCbpe(spec, estimator, _names(spec)), len(frame)


def fit_multiclass(spec: ModelSpec, reference: pd.DataFrame) -> tuple[MulticlassCbpe, int]:
    """As `fit_binary`. Raises `BadInput` too where there are no probabilities of at least three classes."""
    columns = probability_columns(spec, reference)
    if len(columns) < 3:
        found = "two classes are a binary task" if len(columns) == 2 else "there are none"
        raise BadInput(
            "an estimator for several classes needs a probability for each class "
            f"(`classes` in the spec, or columns score_<class>); {found}"
        )
    frame, _ = prepare_multiclass(columns, reference, labelled=True)
    enough(len(frame))
    missing = sorted(set(columns) - set(frame["label"]))
    if missing:
        raise BadInput(f"no label of the reference is {missing[0]!r}; an estimator needs rows of every class")
    outputs = {kind: f"p{place}" for place, kind in enumerate(columns)}
    estimator = _fit(spec, frame, "classification_multiclass", outputs)
    return MulticlassCbpe(spec, estimator, _names(spec), columns), len(frame)


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
    kept = pd.DataFrame({name: values[usable] for name, values in columns.items()})
    return kept.astype({name: "int64" for name in kept.columns if name != "score"}), usable


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


def _fit(spec: ModelSpec, frame: pd.DataFrame, problem: str, outputs: Any) -> Any:
    with quiet():
        from nannyml import CBPE

        estimator = CBPE(
            y_pred_proba=outputs,
            y_pred="prediction",
            y_true="label",
            problem_type=problem,
            metrics=list(_names(spec).values()),
            chunker=chunker(),
        )
        estimator.fit(in_chunks(frame))
    return estimator


def _names(spec: ModelSpec) -> dict[str, str]:
    return {name: _LIBRARY_NAMES.get(name, name) for name in METRICS_OF[spec.task]}


def _require(rows: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if name not in rows.columns:
            raise BadInput(f"the data have no column {name!r}, which the estimator reads")

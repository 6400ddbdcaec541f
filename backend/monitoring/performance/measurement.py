"""From the rows of a window to its realised performance, by the task of the spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec, Task
from backend.monitoring.performance._core import (
    Codes,
    Floats,
    Metric,
    Performance,
    class_name,
    column_of,
    completeness,
    read_categories,
    read_numbers,
)
from backend.monitoring.performance.binary import binary_metrics, read_binary
from backend.monitoring.performance.multiclass import Outcomes, multiclass_metrics
from backend.monitoring.performance.registry import PRIMARY
from backend.monitoring.performance.regression import regression_metrics
from backend.monitoring.performance.value import Costs, value_metrics

SCORE_PREFIX = "score_"


class Measured(Protocol):
    """The rows of a window, read once; `metrics` of all of them, or of the rows of an index."""

    @property
    def rows(self) -> int: ...

    def known(self, index: Codes | None = None) -> int: ...

    def metrics(self, index: Codes | None = None) -> Mapping[str, Metric]: ...


def measure(spec: ModelSpec, rows: pa.Table | pd.DataFrame, *, will_not_come: int = 0) -> Performance:
    """Realised performance of the rows of one window, every metric of the spec's task.

    rows    columns score, prediction, label; those that the task does not need may be missing.
            multiclass: a probability column for each class where the model has them (`probability_columns`)
    will_not_come   rows whose label is known never to come; their labels are null

    Raises `BadInput` on labels that the task cannot read. No rows, no labels, one class, infinite scores: metrics
    without value that say why.
    """
    read = read_rows(spec, rows)
    return performance_of(read, None, will_not_come=will_not_come)


def performance_of(
    read: Measured, index: Codes | None, *, will_not_come: int, rows: int | None = None
) -> Performance:
    """The performance of some of the rows (None: all).

    rows    of the window, where the index leaves out those that play no part in a metric; None: as many as it has
    """
    count = rows if rows is not None else read.rows if index is None else int(index.size)
    known = read.known(index)
    return Performance(
        metrics=read.metrics(index),
        rows=count,
        known=known,
        will_not_come=will_not_come,
        label_completeness=completeness(known, count, will_not_come),
    )


def read_rows(spec: ModelSpec, rows: pa.Table | pd.DataFrame) -> Measured:
    """The rows as arrays of the spec's task."""
    return _READERS[spec.task](spec, rows)


def primary_metric(spec: ModelSpec, rows: pa.Table | pd.DataFrame) -> str:
    """What a model is judged by: macro AUC for several classes with probabilities, else its task's `PRIMARY`."""
    if spec.task == "multiclass" and len(probability_columns(spec, rows)) > 1:
        return "roc_auc"
    return PRIMARY[spec.task]


def probability_columns(spec: ModelSpec, rows: pa.Table | pd.DataFrame) -> dict[str, str]:
    """{class: column} of the probability columns: the spec's `classes`, else the rows' columns `score_<class>`.

    Raises `BadInput` where the spec names a column that is not there.
    """
    names = [str(name) for name in (rows.column_names if isinstance(rows, pa.Table) else rows.columns)]
    if not spec.classes:
        features = {column.name for column in spec.features}
        return {
            name.removeprefix(SCORE_PREFIX): name
            for name in names
            if name.startswith(SCORE_PREFIX) and name not in features and len(name) > len(SCORE_PREFIX)
        }
    for kind, name in spec.classes:
        if name not in names:
            raise BadInput(f"classes.{kind}: the data have no column {name!r}")
    return {class_name(kind): name for kind, name in spec.classes}


@dataclass(frozen=True)
class _Binary:
    score: Floats
    prediction: Floats
    label: Floats
    costs: Costs

    @property
    def rows(self) -> int:
        return int(self.label.size)

    def known(self, index: Codes | None = None) -> int:
        return int((~np.isnan(self.label if index is None else self.label[index])).sum())

    def metrics(self, index: Codes | None = None) -> Mapping[str, Metric]:
        p, hat, y = self.score, self.prediction, self.label
        if index is not None:
            p, hat, y = p[index], hat[index], y[index]
        found = binary_metrics(p, hat, y)
        if not self.costs:
            return found
        label, prediction = (np.nan_to_num(values, nan=-1).astype(np.int64) for values in (y, hat))
        return {**found, **value_metrics(self.costs, label, prediction, ("0", "1"))}


@dataclass(frozen=True)
class _Multiclass:
    outcomes: Outcomes
    costs: Costs

    @property
    def rows(self) -> int:
        return int(self.outcomes.label.size)

    def known(self, index: Codes | None = None) -> int:
        label = self.outcomes.label
        return int(((label if index is None else label[index]) >= 0).sum())

    def metrics(self, index: Codes | None = None) -> Mapping[str, Metric]:
        rows = self.outcomes if index is None else self.outcomes.take(index)
        found = multiclass_metrics(rows)
        if not self.costs:
            return found
        return {**found, **value_metrics(self.costs, rows.label, rows.prediction, rows.names)}


@dataclass(frozen=True)
class _Regression:
    prediction: Floats
    label: Floats
    quantile: float

    @property
    def rows(self) -> int:
        return int(self.label.size)

    def known(self, index: Codes | None = None) -> int:
        return int((~np.isnan(self.label if index is None else self.label[index])).sum())

    def metrics(self, index: Codes | None = None) -> Mapping[str, Metric]:
        guess, label = self.prediction, self.label
        if index is not None:
            guess, label = guess[index], label[index]
        return regression_metrics(guess, label, quantile=self.quantile)


def _read_binary(spec: ModelSpec, rows: pa.Table | pd.DataFrame) -> Measured:
    label = _labels(rows)
    arrays = read_binary(
        column_of(rows, "score"), column_of(rows, "prediction"), label,
        cutoff=spec.cutoff, positive=spec.positive,
    )  # fmt: skip
    return _Binary(*arrays, spec.costs)


def _read_multiclass(spec: ModelSpec, rows: pa.Table | pd.DataFrame) -> Measured:
    label, found = read_categories(_labels(rows))
    columns = probability_columns(spec, rows)
    names = list(dict.fromkeys([*columns, *found]))
    probabilities = {
        names.index(kind): read_numbers(column_of(rows, name), name) for kind, name in columns.items()
    }
    score, prediction = column_of(rows, "score"), column_of(rows, "prediction")
    if prediction is not None:
        guess, guessed = read_categories(prediction)
        names = list(dict.fromkeys([*names, *guessed]))
        guess = _translate(guess, guessed, names)
    else:
        guess = _likeliest(probabilities, label.size)
    return _Multiclass(
        Outcomes(
            names=tuple(names),
            score=np.full(label.size, np.nan) if score is None else read_numbers(score),
            prediction=guess,
            label=_translate(label, found, names),
            probabilities=probabilities,
        ),
        spec.costs,
    )


def _read_regression(spec: ModelSpec, rows: pa.Table | pd.DataFrame) -> Measured:
    label = read_numbers(_labels(rows), "label")
    prediction = column_of(rows, "prediction")
    prediction = column_of(rows, "score") if prediction is None else prediction
    guess = np.full(label.size, np.nan) if prediction is None else read_numbers(prediction, "prediction")
    return _Regression(guess, label, spec.quantile)


def _labels(rows: pa.Table | pd.DataFrame) -> Any:
    label = column_of(rows, "label")
    return pa.nulls(len(rows)) if label is None else label


def _translate(codes: Codes, found: tuple[str, ...], names: list[str]) -> Codes:
    place = np.array([names.index(name) for name in found] + [-1], dtype=np.int64)
    return place[codes]


def _likeliest(probabilities: Mapping[int, Floats], rows: int) -> Codes:
    """Where no class was predicted: the class with the highest probability, −1 where there is none."""
    if not probabilities:
        return np.full(rows, -1, dtype=np.int64)
    stacked = np.stack([np.nan_to_num(p, nan=-np.inf) for p in probabilities.values()], axis=1)
    best = np.asarray(list(probabilities), dtype=np.int64)[stacked.argmax(axis=1)]
    return np.where(np.isneginf(stacked.max(axis=1)), -1, best)


_READERS: Mapping[Task, Callable[[ModelSpec, pa.Table | pd.DataFrame], Measured]] = {
    "binary": _read_binary,
    "multiclass": _read_multiclass,
    "regression": _read_regression,
}

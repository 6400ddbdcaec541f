"""Regressions without labels: NannyML's DLE (direct loss estimation).

One LightGBM for each metric learns the loss of a row from its features and prediction, on the reference. It holds
while that relation does: a change of the concept is invisible to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.errors import BadInput
from backend.monitoring.columns import Column, ModelSpec
from backend.monitoring.estimation._core import METRICS_OF
from backend.monitoring.estimation.cbpe import enough
from backend.monitoring.estimation.library import chunker, in_chunks, quiet, run
from backend.monitoring.estimation.loading import load
from backend.monitoring.performance._core import column_of, read_categories, read_numbers

if TYPE_CHECKING:
    import pandas as pd

# LightGBM's defaults, made repeatable: it otherwise chooses between two ways of summing by timing them. One thread:
# the values are the same, and on a busy machine several threads wait for each other (measured: eight times slower).
PARAMETERS: Mapping[str, Any] = {
    "n_jobs": 1,
    "deterministic": True,
    "force_col_wise": True,
    "random_state": 0,
    "verbose": -1,
}


@dataclass(frozen=True)
class Dle:
    """DLE of a regression. The prepared rows are f0, f1, ... by feature, prediction and label.

    Features are renamed because LightGBM refuses some characters in names.
    """

    spec: ModelSpec
    estimator: Any
    names: Mapping[str, str]

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(("prediction", *(column.name for column in self.spec.features)))

    def prepare(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, Any, str | None]:
        gone = [column.name for column in self.spec.features if column.name not in rows.columns]
        prepared, usable = prepare_regression(self.spec, rows, labelled=False)
        note = f"without the column{'s' if len(gone) > 1 else ''} {', '.join(gone)}" if gone else None
        return prepared, usable, note

    def figures(self, prepared: pd.DataFrame, chunk: Any) -> Mapping[int, Mapping[str, Sequence[float]]]:
        return run(self.estimator, prepared, chunk, self.names)


FIT_ROWS = 100_000
"""More reference rows are thinned evenly in time: the trees no longer gain from them, and a job waits."""


def fit_dle(spec: ModelSpec, reference: pd.DataFrame) -> tuple[Dle, int]:
    """Fit on reference rows in time order; rows without prediction or label are left out.

    Returns the estimator and the usable rows. Raises `BadInput` when there are fewer than 500, or a feature is not
    there.
    """
    for column in spec.features:
        if column.name not in reference.columns:
            raise BadInput(f"the reference has no column {column.name!r}, which the estimator reads")
    frame, _ = prepare_regression(spec, reference, labelled=True)
    enough(len(frame))
    rows = len(frame)
    if rows > FIT_ROWS:
        frame = frame.iloc[np.arange(FIT_ROWS) * rows // FIT_ROWS].reset_index(drop=True)
    with quiet():
        library = load("direct_loss_estimation", "DLE")
        estimator = library.estimator(
            feature_column_names=[f"f{place}" for place in range(len(spec.features))],
            y_pred="prediction",
            y_true="label",
            metrics=list(METRICS_OF["regression"]),
            hyperparameters=dict(PARAMETERS),
            chunker=chunker(library),
        )
        estimator.fit(in_chunks(frame))
    return Dle(spec, estimator, {name: name for name in METRICS_OF["regression"]}), rows


def prepare_regression(spec: ModelSpec, rows: pd.DataFrame, *, labelled: bool) -> tuple[pd.DataFrame, Any]:
    """Features, prediction and label of the rows that have a prediction (and label), and the mask (n,) of these.

    A feature that is missing, not a number or infinite is missing to the estimator, as LightGBM reads it.
    """
    import pandas as pd

    outputs: dict[str, Any] = {}
    for name in ("prediction", "label")[: 1 + labelled]:
        if name not in rows.columns:
            raise BadInput(f"the data have no column {name!r}, which the estimator reads")
        outputs[name] = read_numbers(rows[name], name)
    usable = np.logical_and.reduce([np.isfinite(values) for values in outputs.values()])
    found = {f"f{place}": _feature(column, rows)[usable] for place, column in enumerate(spec.features)}
    found |= {name: values[usable] for name, values in outputs.items()}
    return pd.DataFrame(found), usable


def _feature(column: Column, rows: pd.DataFrame) -> Any:
    values = column_of(rows, column.name)
    if column.kind == "categorical":
        if values is None:
            return np.full(len(rows), None, dtype=object)
        codes, names = read_categories(values)
        return np.array([*names, None], dtype=object)[codes]
    if values is None:
        return np.full(len(rows), np.nan)
    try:
        numbers = read_numbers(values, column.name)
    except BadInput:  # the column turned to text: what can be read as a number still is
        import pandas as pd

        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)

"""How much each column matters to a model, and what its drift does to performance.

Importance comes from the version's stored SHAP summary; where there is none, from a surrogate: a gradient-boosted
model of the reference's scores from its features, with permutation importance (Breiman 2001) on held-out rows.

The effect of a column's drift reweights the reference's labelled rows so that the column's cells have the window's
shares, and measures again: what would the metric be if nothing but this column's mix had changed? It needs
counts only: `CellLosses` of the reference once, a stored profile of every window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.monitoring.cells import Codes, Floats, Mask, PlacedColumn, build_matrix
from backend.monitoring.columns import Column
from backend.monitoring.counterfactual import one_thread
from backend.monitoring.outcomes import Outcomes, measure, worse_by

ROWS = 20_000
HELD_OUT = 0.3
HELD_OUT_ROWS = 4_000
REPEATS = 2
SEED = 20_240


@dataclass(frozen=True)
class Importance:
    """A column's part in the model's output.

    share    of all columns' importance, 0 to 1
    if_lost  points of the metric by which the reference would be worse if the column said nothing (surrogate only,
             and with labels); None when unknown
    """

    column: str
    share: float
    if_lost: float | None = None


@dataclass(frozen=True)
class Importances:
    """Largest first. `source` is "shap" or "surrogate"; `fit` the surrogate's R² on held-out rows."""

    columns: tuple[Importance, ...]
    source: str
    rows: int = 0
    fit: float | None = None
    reason: str | None = None

    @property
    def shares(self) -> dict[str, float]:
        return {one.column: one.share for one in self.columns}

    @property
    def if_lost(self) -> dict[str, float]:
        return {one.column: one.if_lost for one in self.columns if one.if_lost is not None}


def share_shap(mean_abs: Mapping[str, float]) -> Importances:
    """Importance from stored SHAP summaries, {column: mean |SHAP|}."""
    finite = {name: abs(v) for name, v in mean_abs.items() if np.isfinite(v)}
    return Importances(_ranked(finite, {}), "shap", reason=None if any(finite.values()) else "all are zero")


def fit_importance(
    placed: Mapping[str, PlacedColumn],
    columns: Sequence[Column],
    output: Any,
    *,
    outcomes: Outcomes | None = None,
    rows: int = ROWS,
) -> Importances:
    """Importance without the model: a surrogate of its output, permuted column by column.

    placed     the reference's rows
    output     (n,) score, predicted number, or predicted class
    outcomes   the same rows with labels: `if_lost` is then known for the metrics that scores decide

    Deterministic; at most `rows` rows are used. Too few rows, or an output that never changes, give shares of
    zero and the reason.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    names = [column.name for column in columns]
    target, known = _target(output)
    index = np.flatnonzero(known)
    if index.size < 100 or not names:
        return _nothing(names, f"{index.size} rows with an output; 100 are needed")
    if not np.ptp(target[index], axis=0).any():
        return _nothing(names, "the output never changes, so no column can matter")
    random = np.random.default_rng(SEED)
    index = random.permutation(index)[:rows]
    matrix, categories = build_matrix(placed, columns)
    x, y = matrix[index], target[index]
    cut = min(int(index.size * HELD_OUT), HELD_OUT_ROWS)
    held, rest = slice(0, cut), slice(cut, None)
    x, categories = _without_empty(x, categories, rest)
    base = np.zeros((cut, y.shape[1]))
    changed = np.zeros((len(names), REPEATS, cut, y.shape[1]))
    shuffles = [random.permutation(cut) for _ in range(REPEATS)]
    for out in range(y.shape[1]):
        model = HistGradientBoostingRegressor(
            max_iter=60,
            max_leaf_nodes=15,
            early_stopping=False,
            random_state=0,
            categorical_features=categories,
        )
        with one_thread():
            model.fit(x[rest], y[rest, out])
            base[:, out] = model.predict(x[held])
            for at in range(len(names)):
                for repeat, order in enumerate(shuffles):
                    moved = x[held].copy()
                    moved[:, at] = moved[order, at]
                    changed[at, repeat, :, out] = model.predict(moved)
    error = float(((base - y[held]) ** 2).sum())
    spread = float(((y[held] - y[held].mean(axis=0)) ** 2).sum())
    growth = ((changed - y[held]) ** 2).sum(axis=(2, 3)).mean(axis=1) - error
    raw = dict(zip(names, np.sqrt(np.maximum(growth, 0.0) / cut), strict=True))
    lost: dict[str, float] = {}
    if outcomes is not None and outcomes.usable[index[held]].any():
        place = np.cumsum(outcomes.usable) - 1
        both = outcomes.usable[index[held]]
        at_rows = place[index[held][both]]
        for at, name in enumerate(names):
            loss = _loss(outcomes, at_rows, base[both], changed[at, 0][both])
            if loss is not None:
                lost[name] = max(loss, 0.0)
    fit = 1 - error / spread if spread > 0 else None
    return Importances(_ranked(raw, lost), "surrogate", int(index.size), fit)


def _loss(outcomes: Outcomes, rows: Codes, before: Floats, after: Floats) -> float | None:
    """How much worse the metric is on these rows when the surrogate's answer is `after` in place of `before`.

    before, after  (n, outputs). The output moves by the surrogate's difference: scores as they are; errors of a
    regression in both directions alike, as the sign of an error is chance; an answer of several classes that
    changes counts as wrong. None where the metric is undefined or has no such reading (rmse and the like).
    """
    metric, truth = outcomes.metric, outcomes.outcome[rows]
    if metric == "mae":
        moved = np.maximum(truth, np.abs(after - before)[:, 0])
        return float(moved.mean() - truth.mean())
    if metric == "accuracy" and before.shape[1] > 1:
        return float((truth * (after.argmax(axis=1) != before.argmax(axis=1))).mean())
    if metric not in ("roc_auc", "log_loss", "brier"):
        return None
    point = outcomes.point[rows]
    shifted = point + (after - before)[:, 0]
    if metric != "roc_auc":
        shifted = np.clip(shifted, 0.001, 0.999)
    now, then = measure(metric, shifted, truth, 1 - truth), measure(metric, point, truth, 1 - truth)
    return None if now is None or then is None else worse_by(metric, then, now)


def _target(output: Any) -> tuple[Floats, Mask]:
    """The output as numbers (n, outputs), one column for each of the ten commonest classes, and which rows have it."""
    import pandas as pd

    series = pd.Series(output).reset_index(drop=True)
    if pd.api.types.is_bool_dtype(series.dtype) or pd.api.types.is_numeric_dtype(series.dtype):
        values = np.asarray(series.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan))
        known = np.isfinite(values)
        return np.where(known, values, 0.0)[:, None], known
    common = series.value_counts().index[:10]
    table = np.column_stack(
        [(series == value).to_numpy(dtype=np.float64) for value in common] or [np.zeros(len(series))]
    )
    return table, series.notna().to_numpy()


def _without_empty(x: Floats, categories: list[bool], rest: slice) -> tuple[Floats, list[bool]]:
    """Columns without any value are held at zero, which a tree model can read."""
    empty: Mask = np.asarray(np.isnan(x[rest]).all(axis=0))
    x = x.copy()
    x[:, empty] = 0.0
    return x, [category and not bare for category, bare in zip(categories, empty.tolist(), strict=True)]


def _ranked(raw: Mapping[str, float], lost: Mapping[str, float]) -> tuple[Importance, ...]:
    total = sum(raw.values())
    listed = [Importance(n, float(v / total) if total > 0 else 0.0, lost.get(n)) for n, v in raw.items()]
    return tuple(sorted(listed, key=lambda one: (-one.share, one.column)))


def _nothing(names: Sequence[str], reason: str) -> Importances:
    return Importances(_ranked(dict.fromkeys(names, 0.0), {}), "surrogate", reason=reason)

"""What the reference's behaviour would give on the window's inputs.

Reference rows are weighted by the density ratio w(x) = p_window(x) / p_reference(x), estimated by a classifier that
tells the two apart from the features alone. The metric on the weighted rows is corrected by one step along its
influence function φ, whose regression m(x) = E[φ | x] is fitted on the reference:

    C = metric(reference, w) + mean of m over the window − weighted mean of m over the reference

For mean metrics this is the doubly robust (AIPW) estimator: right when either w or m is. Both are fitted on other
rows than those they are used on (cross-fitting, Chernozhukov et al. 2018). The model's output is not among x: a
model that answers differently on equal inputs behaves differently, its inputs have not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.monitoring.cells import Floats, Mask
from backend.monitoring.outcomes import Outcomes, gradient, measure

FOLDS = 3
FIT_ROWS = 10_000
LARGE = 15_000
MOST_WEIGHT = 30.0
SEED = 7


@dataclass(frozen=True)
class Inputs:
    """The features of both sides as a tree model reads them, (n, columns) with NaN, and which are categories."""

    reference: Floats
    window: Floats
    categories: tuple[bool, ...]


class Expectation:
    """Fits E[target | x] on the reference and gives it for both sides; one instance per split."""

    def __init__(self, inputs: Inputs, folds: Any) -> None:
        self.inputs, self.folds = inputs, folds

    def of(self, target: Floats) -> tuple[Floats, Floats]:
        """(reference rows,), each from fits on other rows, and (window rows,), the mean of all fits."""
        if not self.inputs.reference.shape[1]:
            mean = float(target.mean())
            return np.full(target.size, mean), np.full(self.inputs.window.shape[0], mean)
        return _regress(self.inputs, target, self.folds)


@dataclass(frozen=True)
class Counterfactual:
    """C and what it was made of.

    value      the metric, or None when it is undefined on the weighted rows
    weights    (reference rows,) mean 1
    effective  reference rows that carry the weights, (Σ w)² / Σ w²
    on_reference, on_window   influence of each row on C; their squares add up to its variance
    unlike     (window rows,) rows such as the reference hardly has
    """

    value: float | None
    weights: Floats
    effective: float
    on_reference: Floats
    on_window: Floats
    unlike: Mask
    expectation: Expectation

    def expect(self, target: Floats) -> Floats:
        """What the reference gives on inputs like each window row's, of a quantity known for its own rows.

        E[target | x] plus the weighted mean of what it misses on the reference.
        """
        here, there = self.expectation.of(target)
        return there + float(self.weights @ (target - here)) / max(float(self.weights.sum()), 1e-300)


def imagine_reference(
    reference: Outcomes, inputs: Inputs, window_weights: Floats, *, augment: bool = True
) -> Counterfactual:
    """The reference's behaviour on the window's inputs.

    reference        its rows with output and label, in the order of `inputs.reference`
    window_weights   (window rows,) how much each counts, mean 1
    """
    rows, others = reference.known, inputs.window.shape[0]
    folds = np.random.default_rng(SEED).permutation(rows) % FOLDS
    weights, unlike = _density_ratio(inputs, window_weights, folds)
    y = reference.outcome
    a, b = weights * y / rows, weights * (1 - y) / rows
    plain = measure(reference.metric, reference.point, a, b)
    effective = float(weights.sum() ** 2 / max((weights**2).sum(), 1e-300))
    nothing, expectation = np.zeros(others), Expectation(inputs, folds)
    if plain is None:
        return Counterfactual(None, weights, effective, np.zeros(rows), nothing, unlike, expectation)
    one, zero = gradient(reference.metric, reference.point, a, b)
    influence = y * one + (1 - y) * zero
    if not augment:
        return Counterfactual(
            plain, weights, effective, weights * influence / rows, nothing, unlike, expectation
        )
    here, there = expectation.of(influence)
    shares = window_weights / max(window_weights.sum(), 1e-300)
    middle = float(shares @ there)
    value = plain + middle - float(weights @ here) / rows
    return Counterfactual(
        value, weights, effective, weights * (influence - here) / rows, shares * (there - middle), unlike,
        expectation,
    )  # fmt: skip


def _density_ratio(inputs: Inputs, window_weights: Floats, folds: Any) -> tuple[Floats, Mask]:
    """w of each reference row, fitted on the other folds; and the window rows unlike the reference."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows, others = inputs.reference.shape[0], inputs.window.shape[0]
    if not inputs.reference.shape[1]:
        return np.ones(rows), np.zeros(others, dtype=bool)
    random = np.random.default_rng(SEED + 1)
    parts = random.permutation(others) % FOLDS
    odds, of_window = np.zeros(rows), np.zeros(others)
    with one_thread():
        for fold in range(FOLDS):
            ours = _some(random, np.flatnonzero(folds != fold))
            theirs = _some(random, np.flatnonzero((parts != fold) & (window_weights > 0)))
            x = np.vstack([inputs.reference[ours], inputs.window[theirs]])
            x, categories, empty = _readable(x, inputs.categories)
            side = np.repeat([0, 1], [ours.size, theirs.size])
            mass = np.concatenate([np.ones(ours.size), window_weights[theirs]])
            mass[side == 1] *= ours.size / max(mass[side == 1].sum(), 1e-300)
            model = HistGradientBoostingClassifier(**_settings(side.size), categorical_features=categories)
            model.fit(x, side, sample_weight=mass)
            odds[folds == fold] = _odds(model, _cleared(inputs.reference[folds == fold], empty))
            of_window[parts == fold] = _odds(model, _cleared(inputs.window[parts == fold], empty))
    weights = np.minimum(odds, MOST_WEIGHT)
    return weights / max(weights.mean(), 1e-300), of_window >= MOST_WEIGHT


def one_thread() -> Any:
    """A context in which fits use one thread: waiting for each other on a busy machine costs more than it gives."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(1)


def _odds(model: Any, x: Floats) -> Floats:
    if not len(x):
        return np.zeros(0)
    chance = np.clip(model.predict_proba(x)[:, 1], 1e-4, 1 - 1e-4)
    return np.asarray(chance / (1 - chance))


def _regress(inputs: Inputs, target: Floats, folds: Any) -> tuple[Floats, Floats]:
    """E[target | x] for reference rows, fitted on the other folds, and for window rows, the mean of all fits."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    random = np.random.default_rng(SEED + 2)
    here, there = np.zeros(inputs.reference.shape[0]), np.zeros(inputs.window.shape[0])
    scale = float(target.std()) or 1.0
    with one_thread():
        for fold in range(FOLDS):
            chosen = _some(random, np.flatnonzero(folds != fold))
            x, categories, empty = _readable(inputs.reference[chosen], inputs.categories)
            model = HistGradientBoostingRegressor(**_settings(chosen.size), categorical_features=categories)
            model.fit(x, target[chosen] / scale)
            if (folds == fold).any():
                here[folds == fold] = model.predict(_cleared(inputs.reference[folds == fold], empty)) * scale
            there += model.predict(_cleared(inputs.window, empty)) * scale / FOLDS
    return here, there


def _settings(rows: int) -> dict[str, Any]:
    return {
        "max_iter": 50,
        "learning_rate": 0.08,
        "max_leaf_nodes": 5 if rows < LARGE else 8,  # small trees: what they miss, the other fit corrects
        "min_samples_leaf": max(20, rows // 200),
        "l2_regularization": 1.0,
        "early_stopping": False,
        "random_state": 0,
    }


def _some(random: np.random.Generator, index: Any) -> Any:
    return index if index.size <= FIT_ROWS else random.choice(index, FIT_ROWS, replace=False)


def _readable(x: Floats, categories: tuple[bool, ...]) -> tuple[Floats, list[bool], Mask]:
    """Columns without any value are held at zero, which a tree model can read."""
    empty: Mask = np.asarray(np.isnan(x).all(axis=0))
    kinds = [category and not bare for category, bare in zip(categories, empty.tolist(), strict=True)]
    return _cleared(x, empty), kinds, empty


def _cleared(x: Floats, empty: Mask) -> Floats:
    return np.where(empty, 0.0, x)

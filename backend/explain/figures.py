"""Figures of many explanations: importance with intervals, drift of attributions, cohorts side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Z: Final = 1.959963984540054
LEAST_OF_COHORT: Final = 20
DRAWS: Final = 2000
MOVED: Final = 0.90
"""NDCG below which the order of columns counts as moved, as Amazon SageMaker Clarify's monitor has it."""


def mean_sizes(columns: Sequence[str], values: Floats) -> list[dict[str, Any]]:
    """Mean |SHAP| of each column over rows (n, columns) with its standard error; None for fewer than two rows."""
    if not len(values):
        return []
    size = np.abs(values)
    mean = size.mean(axis=0)
    se = size.std(axis=0, ddof=1) / np.sqrt(len(size)) if len(size) > 1 else None
    return [
        {"column": name, "mean_abs": float(mean[place]), "se": None if se is None else float(se[place])}
        for place, name in enumerate(columns)
    ]


def with_intervals(sizes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same with `low` and `high`, 95 %, largest first. Normal: a mean of many rows."""
    found = []
    for one in sizes:
        half = None if one.get("se") is None else Z * float(one["se"])
        mean = float(one["mean_abs"])
        interval = {
            "low": None if half is None else max(0.0, mean - half),
            "high": None if half is None else mean + half,
        }
        found.append({"column": one["column"], "mean_abs": mean, **interval})
    return sorted(found, key=lambda one: (-one["mean_abs"], one["column"]))


def ndcg(reference: Mapping[str, float], now: Mapping[str, float]) -> float | None:
    """How well the order of columns now keeps the reference's: Σ a_i / log2(i + 1) over the columns in their order now,
    a_i the reference's attribution, by the same sum in the reference's own order. 1: the same order.

    As Amazon SageMaker Clarify defines feature attribution drift (Nigenda et al. 2022, arXiv:2111.13657), which alerts
    below 0.90. None where nothing moves the reference's output.
    """
    names = [name for name in reference if name in now]
    at_best = _gain(sorted((reference[name] for name in names), reverse=True))
    if at_best <= 0:
        return None
    order = sorted(names, key=lambda name: (-now[name], name))
    return _gain([reference[name] for name in order]) / at_best


def ndcg_interval(
    reference: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> tuple[float, float]:
    """The 95 % interval of `ndcg` of two `mean_sizes`: quantiles over draws, of a fixed seed, of each mean from a
    normal distribution with its standard error, one column apart from the others. It holds the value itself, which
    draws around two equal orders never reach.
    """
    names = [one["column"] for one in reference if any(two["column"] == one["column"] for two in now)]
    first, second = ({one["column"]: one for one in sizes} for sizes in (reference, now))
    draw = np.random.default_rng(0)

    def drawn(sizes: Mapping[str, Mapping[str, Any]]) -> Floats:
        mean = np.array([float(sizes[name]["mean_abs"]) for name in names])
        se = np.array([float(sizes[name].get("se") or 0.0) for name in names])
        return np.maximum(draw.normal(mean, se, (DRAWS, len(names))), 0.0)

    weight = 1 / np.log2(np.arange(len(names)) + 2)
    gains, order = drawn(first), np.argsort(-drawn(second), axis=1, kind="stable")
    best = (-np.sort(-gains, axis=1)) @ weight
    kept = np.take_along_axis(gains, order, axis=1) @ weight
    low, high = np.quantile(kept[best > 0] / best[best > 0], (0.025, 0.975))
    value = ndcg(*({name: float(sizes[name]["mean_abs"]) for name in names} for sizes in (first, second)))
    return min(float(low), value or 0.0), max(float(high), value or 0.0)


def _gain(values: Sequence[float]) -> float:
    return sum(value / float(np.log2(place + 2)) for place, value in enumerate(values))


def ranks(sizes: Mapping[str, float]) -> dict[str, int]:
    """1 for the largest."""
    order = sorted(sizes, key=lambda name: (-sizes[name], name))
    return {name: place for place, name in enumerate(order, start=1)}


def rank_changes(reference: Mapping[str, float], now: Mapping[str, float]) -> list[dict[str, Any]]:
    """Each common column's rank before and now, the farthest moved first."""
    names = [name for name in reference if name in now]
    before, after = (ranks({name: given[name] for name in names}) for given in (reference, now))
    found = [
        {"column": name, "before": before[name], "now": after[name], "moved": before[name] - after[name]}
        for name in names
    ]
    return sorted(found, key=lambda one: (-abs(one["moved"]), one["now"]))


def cohort_differences(
    columns: Sequence[str], values: Floats, member: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Mean SHAP of each column in a cohort less that of the other rows, with a 95 % interval (Welch's standard error),
    the largest difference first. Empty where either side has fewer than `LEAST_OF_COHORT` rows.
    """
    inside, outside = values[member], values[~member]
    if min(len(inside), len(outside)) < LEAST_OF_COHORT:
        return []
    difference = inside.mean(axis=0) - outside.mean(axis=0)
    half = Z * np.sqrt(inside.var(axis=0, ddof=1) / len(inside) + outside.var(axis=0, ddof=1) / len(outside))
    found = [
        {
            "column": name, "inside": float(inside[:, place].mean()), "outside": float(outside[:, place].mean()),
            "difference": float(difference[place]), "low": float(difference[place] - half[place]),
            "high": float(difference[place] + half[place]),
        }
        for place, name in enumerate(columns)
    ]  # fmt: skip
    return sorted(found, key=lambda one: (-abs(one["difference"]), one["column"]))


def interacting(values: Floats, inputs: Floats, place: int) -> int | None:
    """The column whose value explains most of what is left of a column's SHAP values at equal values of its own.

    Rows are put into bins of equal value of the column; within bins, the squared correlation of SHAP value and the
    other column's value. None where no other column varies.
    """
    own, effect = inputs[:, place], values[:, place]
    known = np.isfinite(own)
    edges = np.unique(np.quantile(own[known], np.linspace(0, 1, 11))) if known.any() else np.array([0.0])
    bins = np.where(known, np.searchsorted(edges, own), -1)
    left = _within(effect, bins)
    best: tuple[float, int | None] = (0.0, None)
    for other in range(values.shape[1]):
        if other == place:
            continue
        given = np.where(np.isfinite(inputs[:, other]), inputs[:, other], np.nan)
        filled = np.where(np.isnan(given), np.nanmean(given) if np.isfinite(given).any() else 0.0, given)
        moved = _within(filled, bins)
        spread = float(np.sqrt((left**2).sum() * (moved**2).sum()))
        strength = abs(float((left * moved).sum())) / spread if spread > 0 else 0.0
        best = max(best, (strength, other), key=lambda one: one[0])
    return best[1]


def _within(values: Floats, bins: NDArray[Any]) -> Floats:
    """Values less the mean of their bin."""
    _, place = np.unique(bins, return_inverse=True)
    sums = np.bincount(place, weights=values)
    found: Floats = values - (sums / np.bincount(place))[place]
    return found

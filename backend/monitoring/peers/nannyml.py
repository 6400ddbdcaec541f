"""NannyML's univariate statistics (0.13, `drift/univariate/methods.py`), with its bins and thresholds.

Types: numbers are continuous, text and truth values categories, whatever their distinct values. Only NaN is
dropped. The default threshold is mean + 3 standard deviations (ddof 0) of the statistic over the reference's own ten
chunks, in file order, each compared with the whole reference it is part of; χ² alerts at p < 0.05 instead.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from backend.monitoring.columns import Kind
from backend.monitoring.peers._core import PeerResult, PeerStatistic, register

Numbers = npt.NDArray[np.float64]
Fitted = Callable[[pd.Series], float]
"""The statistic of one column against the reference that it was fitted on."""

CHUNKS = 10
EXACT_BELOW = 10_000
BINS = 10_000
CHI2_P = 0.05


def infer_kind(column: pd.Series) -> Kind | str:
    if column.dtype.name in ("object", "string", "str", "category", "bool"):
        return "categorical"
    if pd.api.types.is_numeric_dtype(column):
        return "numeric"
    return f"NannyML does not look at columns of type {column.dtype.name}"


def clean(column: pd.Series) -> pd.Series:
    return column[~column.isna()].reset_index(drop=True).infer_objects()


def _shares(
    reference: pd.Series, kind: Kind
) -> tuple[Numbers, Callable[[pd.Series], tuple[Numbers, Numbers]]]:
    """The reference's shares, and a function that puts another column beside them, what is outside in one more."""
    if kind == "numeric":
        edges = np.histogram_bin_edges(reference.astype("float64"), bins="doane")
        then = np.histogram(reference, bins=edges)[0] / len(reference)
    else:
        counted = reference.value_counts(sort=False)
        then = counted.to_numpy() / len(reference)

    def beside(data: pd.Series) -> tuple[Numbers, Numbers]:
        if kind == "numeric":
            now = np.histogram(data, bins=edges)[0] / len(data)
        else:
            now = data.value_counts(sort=False).reindex(counted.index, fill_value=0).to_numpy() / len(data)
        leftover = 1 - np.sum(now)
        if leftover > 0:
            return np.append(then, 0.0), np.append(now, leftover)
        return then, now

    return then, beside


def fit_jensen_shannon(reference: pd.Series, kind: Kind) -> Fitted:
    _, beside = _shares(reference, kind)
    return lambda data: float(jensenshannon(*beside(data), base=2))


def fit_hellinger(reference: pd.Series, kind: Kind) -> Fitted:
    _, beside = _shares(reference, kind)

    def calculate(data: pd.Series) -> float:
        r, c = beside(data)
        return float(np.sqrt(np.sum((np.sqrt(r) - np.sqrt(c)) ** 2)) / np.sqrt(2))

    return calculate


def fit_l_infinity(reference: pd.Series, kind: Kind) -> Fitted:
    then = reference.value_counts(normalize=True)
    return lambda data: float(then.sub(data.value_counts(normalize=True), fill_value=0).abs().max())


def fit_chi2(reference: pd.Series, kind: Kind) -> Fitted:
    return lambda data: chi2(reference, data)[0]


def chi2(reference: pd.Series, data: pd.Series) -> tuple[float, float]:
    """Statistic and p of `chi2_contingency`, with Yates' correction where there is one degree of freedom."""
    sides = [side.value_counts().loc[lambda v: v != 0] for side in (reference, data)]
    found = chi2_contingency(pd.concat(sides, axis=1).fillna(0))
    return float(found[0]), float(found[1])


def fit_kolmogorov_smirnov(reference: pd.Series, kind: Kind) -> Fitted:
    if len(reference) < EXACT_BELOW:
        return lambda data: float(ks_2samp(reference, data)[0])
    edges = np.linspace(np.min(reference), np.max(reference), BINS + 1)
    then = np.cumsum(np.histogram(reference, edges)[0] / len(reference))

    def calculate(data: pd.Series) -> float:
        below = len(data[data < edges[0]]) / len(data)
        now = below + np.cumsum(np.histogram(data, edges)[0] / len(data))
        return float(np.max(np.abs(then - now)))

    return calculate


def fit_wasserstein(reference: pd.Series, kind: Kind) -> Fitted:
    if len(reference) < EXACT_BELOW:
        return lambda data: float(wasserstein_distance(reference, data))
    counts, edges = np.histogram(reference, bins=BINS)
    then, width, low, high = np.cumsum(counts / len(reference)), edges[1] - edges[0], edges[0], edges[-1]

    def calculate(data: pd.Series) -> float:
        # NannyML's own sums beyond the reference's range, its "n + 1" included.
        smaller, bigger = data[data < low].to_numpy(), data[data > high].to_numpy()
        amount_smaller = (smaller.size + 1) / len(data) if smaller.size else 0.0
        amount_bigger = (bigger.size + 1) / len(data) if bigger.size else 0.0
        x, y = _cumulative(np.concatenate((smaller, [low])))
        term_smaller = np.sum(y[:-1] * np.diff(x)) * amount_smaller
        x, y = _cumulative(np.concatenate(([high], bigger)))
        term_bigger = np.sum((1 - y)[:-1] * np.diff(x)) * amount_bigger
        now = np.cumsum(np.histogram(data, bins=edges)[0] / len(data)) + amount_smaller
        return float(np.sum(np.abs(then - now) * width) + term_smaller + term_bigger)

    return calculate


def _cumulative(values: Numbers) -> tuple[Numbers, Numbers]:
    x, counts = np.unique(values, return_counts=True)
    return x, np.cumsum(counts) / values.size


_BOTH: tuple[Kind, ...] = ("numeric", "categorical")
FITS: dict[str, tuple[Callable[[pd.Series, Kind], Fitted], tuple[Kind, ...], float | None, str]] = {
    "jensen_shannon": (fit_jensen_shannon, _BOTH, None, "base-2 distance; Doane's bins of the reference and one more"),
    "hellinger": (fit_hellinger, _BOTH, None, "‖√r − √c‖ / √2; bins as for Jensen-Shannon"),
    "l_infinity": (fit_l_infinity, ("categorical",), None, "largest change of one category's share"),
    "wasserstein": (fit_wasserstein, ("numeric",), None, "in the column's unit; 10,000 bins from 10,000 rows on"),
    "kolmogorov_smirnov": (fit_kolmogorov_smirnov, ("numeric",), 1.0, "D; 10,000 bins from 10,000 reference rows on"),
    "chi2": (fit_chi2, ("categorical",), None, "`scipy.stats.chi2_contingency`"),
}  # fmt: skip
"""{name: (fit, kinds, upper limit of the threshold, formula)}."""


def default_threshold(fitted: Fitted, reference: pd.Series, limit: float | None) -> float:
    """Mean + 3 standard deviations over the reference's chunks of n // 10 rows, the remainder as one more."""
    size = len(reference) // CHUNKS
    if size < 1:
        raise ValueError("the reference has fewer than ten rows to make chunks of")
    values = []
    for start in range(0, len(reference), size):
        chunk = clean(reference.iloc[start : start + size])
        values.append(fitted(chunk) if len(chunk) else math.nan)
    found = float(np.nanmean(values) + 3 * np.nanstd(values))
    return found if limit is None else min(found, limit)


def compute(name: str, reference: pd.Series, current: pd.Series, kind: Kind | None = None) -> PeerResult:
    """What NannyML reports for two raw columns, the current one as a single chunk; `name` is one of `FITS`."""
    found: Kind | str = kind or infer_kind(reference)
    then, now = clean(reference), clean(current)
    sizes = (len(then), len(now))

    def without(reason: str) -> PeerResult:
        return PeerResult(None, None, None, *sizes, reason)

    fit, kinds, limit, _ = FITS[name]
    if found not in ("numeric", "categorical"):
        return without(found)
    if found not in kinds:
        return without(f"NannyML's {name} is not for a column that it takes as {found}")
    for side, rows in (("reference", sizes[0]), ("current", sizes[1])):
        if rows == 0:
            return without(f"the {side} column has no values, for which NannyML has no number")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            fitted = fit(then, found)
            value = fitted(now)
            if name == "chi2":
                p = chi2(then, now)[1]
                return PeerResult(value, CHI2_P, p < CHI2_P, *sizes, None, f"alert on p {p:.3g} < {CHI2_P}")
            threshold = default_threshold(fitted, reference, limit)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        return without(f"NannyML's {name} fails here: {' '.join(str(error).split())[:120]}")
    if math.isnan(value):
        return PeerResult(None, threshold, None, *sizes, f"NannyML's {name} is NaN here")
    return PeerResult(value, threshold, bool(value > threshold), *sizes)


for _name, (_fit, _kinds, _limit, _formula) in FITS.items():
    register(
        PeerStatistic(
            name=f"nannyml:{_name}",
            library="nannyml",
            title=f"NannyML's {_name.replace('_', ' ')}",
            applies_to=_kinds,
            rule="drift when its p < 0.05"
            if _name == "chi2"
            else "drift when above mean + 3 std of the reference's chunks",
            formula=_formula,
            compute=partial(compute, _name),
        )
    )

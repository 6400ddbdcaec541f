"""Evidently's statistics (0.7, `legacy/calculations/stattests`), with its cleaning, types, bins and thresholds.

Cleaning: ±inf becomes NaN and NaN is dropped, on each side alone. Types: a float is numeric; a whole number with at
most 10 distinct values, text and truth values are categories; text with more than half distinct values is "text",
which has no distribution test here. Several of these numbers are p-values: smaller is more drift.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.spatial.distance import jensenshannon as js_distance

from backend.monitoring.columns import Kind
from backend.monitoring.peers._core import PeerResult, PeerStatistic, register

Numbers = npt.NDArray[np.float64]
Test = Callable[[pd.Series, pd.Series, Kind], float]

CATEGORY_LIMIT = 10
PERMUTATIONS = 1000


def clean(column: pd.Series) -> pd.Series:
    """Without NaN, None and infinite values."""
    if pd.api.types.is_float_dtype(column):
        column = column.replace([-np.inf, np.inf], np.nan)
    return column.dropna()


def infer_kind(column: pd.Series) -> Kind | str:
    """The kind that Evidently gives a column, or a reason why it has none that is tested here."""
    name = column.dtype.name
    if name.startswith("float"):
        return "numeric"
    if name.startswith("int"):
        return "categorical" if column.nunique() <= CATEGORY_LIMIT else "numeric"
    if name in ("bool", "category"):
        return "categorical"
    if name in ("object", "string", "str"):
        known = column.dropna()
        if not len(known):
            return "Evidently gives a column without values no type"
        if not (isinstance(known.iloc[0], str) and isinstance(known.iloc[-1], str)):
            return "Evidently gives this column no type that it tests"
        if known.nunique() > 0.5 * known.size:
            return "Evidently takes this column as free text"
        return "categorical"
    return f"Evidently does not test columns of type {name}"


def _counts(reference: pd.Series, current: pd.Series) -> tuple[Numbers, Numbers]:
    """Rows of each value of either side, (values,) each."""
    then, now = reference.value_counts(), current.value_counts()
    keys = then.index.union(now.index, sort=False)
    found = [np.asarray(side.reindex(keys, fill_value=0), dtype=np.float64) for side in (then, now)]
    return found[0], found[1]


def _binned(reference: pd.Series, current: pd.Series, kind: Kind, *, fill: bool) -> tuple[Numbers, Numbers]:
    """`get_binned_data`: Sturges' bins over both sides, or each value when the reference has 20 or fewer."""
    if kind == "numeric" and reference.nunique() > 20:
        edges = np.histogram_bin_edges(np.asarray(pd.concat([reference, current]).values), bins="sturges")
        found = [np.histogram(side, edges)[0] / len(side) for side in (reference, current)]
    else:
        counted = _counts(reference, current)
        found = [counted[0] / len(reference), counted[1] / len(current)]
    if fill:
        for share in found:
            least = share[share != 0].min()
            share[share == 0] = least / 10**6 if least <= 0.0001 else 0.0001
    return found[0], found[1]


def psi(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    r, c = _binned(reference, current, kind, fill=True)
    return float(np.sum((r - c) * np.log(r / c)))


def kl_div(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    return float(stats.entropy(*_binned(reference, current, kind, fill=True)))


def jensenshannon(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    return float(js_distance(*_binned(reference, current, kind, fill=False)))


def hellinger(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    if kind == "categorical":
        r, c = _counts(reference, current)
        overlap = float(np.sqrt(r / len(reference) * (c / len(current))).sum())
    else:
        values = list(set(reference.unique()) | set(current.unique()))
        edges = np.histogram_bin_edges(values, bins="sturges")
        width = (edges.max() - edges.min()) / (len(edges) - 1)
        r, c = (np.histogram(side.to_numpy(), bins=edges, density=True)[0] for side in (reference, current))
        overlap = float((np.sqrt(r * c) * width).sum())
    return math.sqrt(1 - min(max(overlap, 0.0), 1.0))


def wasserstein(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    norm = max(float(np.std(reference)), 0.001)
    return float(stats.wasserstein_distance(reference, current) / norm)


def ks(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    return float(stats.ks_2samp(reference, current)[1])


def chisquare(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    r, c = _counts(reference, current)
    return float(stats.chisquare(c, r * (len(current) / len(reference)))[1])


def z(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    values = sorted({*reference.unique(), *current.unique()})
    if len(values) == 1:
        return 1.0
    n = (len(reference), len(current))
    p = [float((side != values[0]).sum()) / len(side) for side in (reference, current)]
    pooled = (p[0] * n[0] + p[1] * n[1]) / (n[0] + n[1])
    score = (p[0] - p[1]) / np.sqrt(pooled * (1 - pooled) * (1 / n[0] + 1 / n[1]))
    return float(2 * (1 - stats.norm.cdf(np.abs(score))))


def tvd(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    """The p of 1,000 permutations with numpy's legacy generator at seed 0, the draws that Evidently makes."""
    codes, values = pd.factorize(pd.concat([reference, current]), use_na_sentinel=True)
    n, total = len(reference), np.bincount(codes, minlength=len(values))
    random = np.random.RandomState(0)

    def distance(counts: npt.NDArray[np.int64]) -> float:
        return float(0.5 * np.abs(counts / n - (total - counts) / len(current)).sum())

    observed = distance(np.bincount(codes[:n], minlength=len(values)))
    hits = 0
    for _ in range(PERMUTATIONS):
        chosen = random.permutation(codes.size)[:n]
        hits += distance(np.bincount(codes[chosen], minlength=len(values))) >= observed - 1e-12
    return hits / PERMUTATIONS


def anderson(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    return float(stats.anderson_ksamp([reference.to_numpy(), current.to_numpy()])[2])


def t_test(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    return float(stats.ttest_ind(reference, current)[1])


def mannw(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    return float(stats.mannwhitneyu(x=reference, y=current, alternative="less")[1])


def energy(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    return float(stats.energy_distance(reference, current))


def cramer_von_mises(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    return float(stats.cramervonmises_2samp(reference.to_numpy(), current.to_numpy()).pvalue)


def fisher_exact(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    if reference.nunique() > 2 or current.nunique() > 2:
        raise ValueError("needs two values at most on each side")
    if len(reference) != len(current):
        raise ValueError("needs as many current rows as reference rows")
    values = sorted({*reference.unique(), *current.unique()}, key=str)
    table = [
        [int((side == values[0]).sum()), int((side != values[0]).sum())] for side in (current, reference)
    ]
    return float(stats.fisher_exact(np.array(table))[1])


def g_test(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    r, c = _counts(reference, current)
    return float(stats.power_divergence(c, r, lambda_="log-likelihood")[1])


def epps_singleton(reference: pd.Series, current: pd.Series, kind: Kind) -> float:
    if stats.iqr(np.hstack((reference, current))) == 0:
        raise ValueError("needs values whose middle half varies")
    return float(stats.epps_singleton_2samp(reference, current)[1])


@dataclass(frozen=True)
class _Rule:
    """drifted when value <op> threshold."""

    test: Test
    op: Literal["<", "<=", ">", ">="]
    threshold: float
    kinds: tuple[Kind, ...]
    title: str
    formula: str

    def holds(self, value: float) -> bool:
        return bool({"<": value < self.threshold, "<=": value <= self.threshold,
                     ">": value > self.threshold, ">=": value >= self.threshold}[self.op])  # fmt: skip


_BOTH: tuple[Kind, ...] = ("numeric", "categorical")
_NUMBERS: tuple[Kind, ...] = ("numeric",)
_CATEGORIES: tuple[Kind, ...] = ("categorical",)
_BINS = "Sturges' bins over both sides together, or each value when the reference has at most 20"

RULES: dict[str, _Rule] = {
    "psi": _Rule(psi, ">=", 0.1, _BOTH, "PSI", f"Σ (r − c) ln(r / c); {_BINS}; zero shares as 0.0001"),
    "kl_div": _Rule(kl_div, ">=", 0.1, _BOTH, "Kullback-Leibler divergence", f"KL(r ‖ c) in nats; {_BINS}"),
    "jensenshannon": _Rule(jensenshannon, ">=", 0.1, _BOTH, "Jensen-Shannon distance", f"in nats; {_BINS}"),
    "hellinger": _Rule(hellinger, ">=", 0.1, _BOTH, "Hellinger distance", "Sturges' bins over the distinct values"),
    "wasserstein": _Rule(wasserstein, ">=", 0.1, _NUMBERS, "Wasserstein distance", "over max(std of reference, 0.001)"),
    "ks": _Rule(ks, "<=", 0.05, _NUMBERS, "Kolmogorov-Smirnov p", "`scipy.stats.ks_2samp`"),
    "chisquare": _Rule(chisquare, "<", 0.05, _CATEGORIES, "χ² p", "one-sample: the reference is taken as exact"),
    "z": _Rule(z, "<", 0.05, _CATEGORIES, "two-proportion Z p", "share of all values but the first in order"),
    "TVD": _Rule(tvd, "<", 0.1, _CATEGORIES, "total variation p", "1,000 permutations, seed 0; equal to about 0.01"),
    "anderson": _Rule(anderson, "<", 0.1, _NUMBERS, "Anderson-Darling p", "`scipy.stats.anderson_ksamp`"),
    "t_test": _Rule(t_test, "<", 0.05, _NUMBERS, "t p", "`scipy.stats.ttest_ind`, equal variances"),
    "mannw": _Rule(mannw, "<", 0.05, _NUMBERS, "Mann-Whitney p", "one-sided: the reference is less"),
    "ed": _Rule(energy, ">", 0.1, _NUMBERS, "energy distance", "`scipy.stats.energy_distance`"),
    "cramer_von_mises": _Rule(cramer_von_mises, "<=", 0.1, _NUMBERS, "Cramér-von Mises p", "asymptotic above 20 rows"),
    "fisher_exact": _Rule(fisher_exact, "<", 0.1, _CATEGORIES, "Fisher's exact p", "two values, equally many rows"),
    "g_test": _Rule(g_test, "<", 0.1, _CATEGORIES, "G p", "one-sample, equally many rows"),
    "es": _Rule(epps_singleton, "<", 0.05, _NUMBERS, "Epps-Singleton p", "`scipy.stats.epps_singleton_2samp`"),
}  # fmt: skip


def choose(reference: pd.Series, current: pd.Series, kind: Kind) -> str:
    """The test Evidently takes by itself, by the reference's rows and the distinct values of both (cleaned)."""
    distinct = pd.concat([reference, current]).nunique()
    if len(reference) > 1000:
        return "wasserstein" if kind == "numeric" and distinct > 5 else "jensenshannon"
    if kind == "numeric" and distinct > 5:
        return "ks"
    return "chisquare" if distinct > 2 else "z"


def compute(name: str, reference: pd.Series, current: pd.Series, kind: Kind | None = None) -> PeerResult:
    """What Evidently reports for two raw columns; `name` is one of `RULES`, or "default"."""
    found: Kind | str = kind or infer_kind(current)
    then, now = clean(reference), clean(current)
    sizes = (len(then), len(now))

    def without(reason: str) -> PeerResult:
        return PeerResult(None, None, None, *sizes, reason)

    if found not in ("numeric", "categorical"):
        return without(found)
    for side, rows in (("reference", sizes[0]), ("current", sizes[1])):
        if rows == 0:
            return without(f"the {side} column is empty after cleaning, which Evidently refuses")
    numeric = all(pd.api.types.is_numeric_dtype(side) for side in (then, now))
    if found == "numeric" and not numeric:
        return without("Evidently tests as numbers only columns that hold numbers")
    used = choose(then, now, found) if name == "default" else name
    rule = RULES[used]
    # Few numbers fall under a test for categories, whose values are as good as numbers.
    if found not in rule.kinds and name != "default":
        return without(f"Evidently's {used} is not for a column that it takes as {found}")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            value = rule.test(then, now, found)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        return without(f"Evidently's {used} fails here: {' '.join(str(error).split())[:120]}")
    if math.isnan(value):
        return PeerResult(None, rule.threshold, False, *sizes, f"Evidently's {used} is NaN here", used)
    return PeerResult(value, rule.threshold, rule.holds(value), *sizes, None, used)


for _name, _rule in RULES.items():
    register(
        PeerStatistic(
            name=f"evidently:{_name}",
            library="evidently",
            title=f"Evidently's {_rule.title}",
            applies_to=_rule.kinds,
            rule=f"drift when {_rule.op} {_rule.threshold}",
            formula=_rule.formula,
            compute=partial(compute, _name),
        )
    )
register(
    PeerStatistic(
        name="evidently:default",
        library="evidently",
        title="Evidently's default test",
        applies_to=_BOTH,
        rule="as the test that is taken",
        formula="up to 1,000 reference rows ks, chisquare or z; above wasserstein or jensenshannon",
        compute=partial(compute, "default"),
    )
)

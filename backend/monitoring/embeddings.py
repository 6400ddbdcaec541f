"""Embedding columns (lists of floats): whether their mean moved, whether a linear classifier tells window from
reference, and how many vectors are unusable. scikit-learn is imported inside functions: only jobs call these.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import gammaincinv

from backend.monitoring.evaluate import Point
from backend.monitoring.joint.base import FEWEST_BLOCKS, cut, rest_of
from backend.monitoring.joint.calibration import HeldOut
from backend.monitoring.joint.domain_classifier import null_variance
from backend.monitoring.joint.sample import Floats, Index
from backend.monitoring.thresholds import rate_limit

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.005
MIN_ROWS = 50
FOLDS = 5
MAX_ROWS = 20_000
MAX_CLASSIFIED = 2_000
SHIFT_FLOOR = 0.1
AUROC_FLOOR = 0.55
UNUSABLE_FLOOR = 0.02
STRENGTH = 1.0


@dataclass(frozen=True)
class Vectors:
    """A column of embeddings as read.

    values     (n, dimension): the usable vectors, in order
    places     (n,): their rows
    null       rows without a vector; broken: with NaN, infinity or something that is no number in it
    misfit     rows of another length, by length
    """

    rows: int
    dimension: int
    values: Floats
    places: Index
    null: int = 0
    broken: int = 0
    misfit: tuple[tuple[int, int], ...] = ()

    @property
    def unusable(self) -> int:
        return self.rows - len(self.values)

    @property
    def told(self) -> str:
        """What is wrong with the unusable ones, in words."""
        parts = [f"{self.null:,} missing"] if self.null else []
        parts += [f"{self.broken:,} with NaN or infinity"] if self.broken else []
        parts += [f"{count:,} of length {length}" for length, count in self.misfit]
        return ", ".join(parts) or "none"


@dataclass(frozen=True)
class FittedEmbedding:
    """A reference's embeddings. trace, trace_squared: of the covariance of standardised vectors, tr Σ and tr Σ²."""

    column: str
    reference: Vectors
    mean: Floats
    scale: Floats
    trace: float
    trace_squared: float
    between: float
    told_apart: HeldOut
    block_rows: int


def read_vectors(source: pa.Table | pd.DataFrame, column: str, dimension: int | None = None) -> Vectors:
    """A column of embeddings. `dimension` is the reference's; without it the most frequent length counts.

    Anything the column holds has a place: it may be absent, hold text, or vectors of many lengths.
    """
    rows = source.num_rows if isinstance(source, pa.Table) else len(source)
    nothing = Vectors(
        rows, dimension or 0, np.empty((0, dimension or 0)), np.empty(0, dtype=np.intp), null=rows
    )
    names = source.column_names if isinstance(source, pa.Table) else list(source.columns)
    if column not in names:
        return nothing
    lists = _lists(source, column)
    if lists is None:
        return Vectors(rows, nothing.dimension, nothing.values, nothing.places, broken=rows)
    lengths = pc.fill_null(pc.list_value_length(lists), -1).to_numpy(zero_copy_only=False)
    there = lengths >= 0
    if not there.any():
        return nothing
    sizes, counts = np.unique(lengths[there], return_counts=True)
    dimension = int(sizes[counts.argmax()]) if dimension is None else dimension
    fits = np.flatnonzero(lengths == dimension)
    flat = pc.list_flatten(lists.take(pa.array(fits)))
    values = flat.to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(fits), dimension)
    sound = np.isfinite(values).all(axis=1) & (np.abs(values) < 1e100).all(axis=1)
    misfit = tuple((int(s), int(c)) for s, c in zip(sizes, counts, strict=True) if s != dimension)
    return Vectors(
        rows=rows, dimension=dimension, values=values[sound], places=fits[sound], null=int((~there).sum()),
        broken=int((~sound).sum()), misfit=misfit,
    )  # fmt: skip


def fit_embedding(
    column: str, reference: Vectors, blocks: Sequence[Index] = (), *, min_rows: int = MIN_ROWS
) -> FittedEmbedding | str:
    """Learn a reference's embeddings, or say why they cannot be compared with.

    blocks  the rows of the reference's own windows, by index; ten equal stretches without
    """
    n = len(reference.values)
    usable: list[Index] = [np.flatnonzero(np.isin(reference.places, block)) for block in blocks]
    usable = [block for block in usable if len(block) >= min_rows]
    if len(usable) < FEWEST_BLOCKS:
        usable = cut(n, min_rows)
    if len(usable) < FEWEST_BLOCKS or reference.dimension == 0:
        return f"the reference has {n} usable vectors and {FEWEST_BLOCKS * min_rows} are needed"
    thin = _thinned(reference.values, MAX_ROWS)
    mean, scale = thin.mean(axis=0), thin.std(axis=0, ddof=1)
    scale[scale <= 1e-12 * np.maximum(np.abs(mean), 1.0)] = 1.0
    z = (reference.values - mean) / scale
    trace, trace_squared = _traces(_thinned(z, MAX_ROWS))
    excess = []
    for block in usable:
        shift = z[block].mean(axis=0) - z[rest_of(n, block)].mean(axis=0)
        excess.append(float(shift @ shift) - trace * (1 / len(block) + 1 / (n - len(block))))
    rows = min(MAX_CLASSIFIED, max(len(block) for block in usable))
    spaced = np.unique(np.linspace(0, len(usable) - 1, min(len(usable), 10)).round().astype(int))
    values, variances = [], []
    for block in (usable[place] for place in spaced):
        rest, held = _thinned(z[rest_of(n, block)], MAX_CLASSIFIED), _thinned(z[block], rows)
        values.append(_tell_apart(rest, held))
        variances.append(null_variance(len(rest), len(held)))
    return FittedEmbedding(
        column, reference, mean, scale, trace, trace_squared, max(float(np.mean(excess)), 0.0),
        HeldOut(np.array(values), np.array(variances)), rows,
    )  # fmt: skip


def compare_embedding(
    fitted: FittedEmbedding | str,
    column: str,
    window: Vectors,
    *,
    min_rows: int = MIN_ROWS,
    alpha: float = ALPHA,
) -> list[Point]:
    """Three points: `embedding_unusable` (quality), `embedding_shift` and `embedding_classifier` (drift).

    `window` must be read with the reference's dimension. Drift looks at the usable vectors alone.
    """
    if isinstance(fitted, str):
        return [
            _without(column, name, "inconclusive", fitted, 0, window.rows)
            for name in ("embedding_unusable", "embedding_shift", "embedding_classifier")
        ]
    points = [_judge_unusable(fitted, window, min_rows=min_rows, alpha=alpha)]
    n, m = len(fitted.reference.values), len(window.values)
    if m < min_rows:
        empty = window.rows == 0
        reason = (
            "the window has no rows"
            if empty
            else f"the window has {m} usable vectors and {min_rows} are needed"
        )
        if window.unusable:
            reason += f" (others: {window.told})"
        verdict: Literal["no_data", "inconclusive"] = "no_data" if empty else "inconclusive"
        return points + [
            _without(column, name, verdict, reason, n, m)
            for name in ("embedding_shift", "embedding_classifier")
        ]
    z = (window.values - fitted.mean) / fitted.scale
    return [*points, _judge_shift(fitted, z, alpha=alpha), _judge_classifier(fitted, z, alpha=alpha)]


def _judge_unusable(fitted: FittedEmbedding, window: Vectors, *, min_rows: int, alpha: float) -> Point:
    then, name, title = fitted.reference, "embedding_unusable", f"Unusable vectors of {fitted.column}"
    if window.rows < min_rows:
        verdict: Literal["no_data", "inconclusive"] = "inconclusive" if window.rows else "no_data"
        reason = (
            f"the window has {window.rows} rows and {min_rows} are needed"
            if window.rows
            else "the window has no rows"
        )
        return _without(fitted.column, name, verdict, reason, then.rows, window.rows)
    value, rate = window.unusable / window.rows, then.unusable / then.rows
    limit = max(rate + UNUSABLE_FLOOR, rate_limit(then.unusable, then.rows, window.rows, alpha=alpha))
    text = f"{title} from {rate:.1%} to {value:.1%} (limit {limit:.1%}), {window.rows:,} rows: {window.told}"
    details = {
        "reference_rate": rate, "null": window.null, "broken": window.broken, "dimension": then.dimension,
        "lengths": dict(window.misfit),
    }  # fmt: skip
    return _point(fitted.column, name, "quality", value, limit, text, then.rows, window.rows, details)


def _judge_shift(fitted: FittedEmbedding, z: Floats, *, alpha: float) -> Point:
    """‖Δ‖² of standardised means against its law under no change.

    Mean c·tr Σ and variance 2 c² tr Σ², c = 1/n + 1/m (Bai & Saranadasa 1996, Statistica Sinica 6), plus what the
    reference's own blocks differ by beyond that, in one direction at worst; a gamma law with both (Box 1954).
    """
    n, m = len(fitted.reference.values), len(z)
    shift = z.mean(axis=0) - (_mean_of(fitted))
    squared, c = float(shift @ shift), 1 / n + 1 / m
    noise = c * fitted.trace
    expected = noise + fitted.between
    variance = 2 * c * c * fitted.trace_squared + 2 * fitted.between**2
    shape = expected * expected / variance
    limit = float(gammaincinv(shape, 1 - alpha)) * expected / shape
    limit = max(limit, expected + SHIFT_FLOOR**2 * fitted.trace)
    value, threshold = math.sqrt(squared / noise), math.sqrt(limit / noise)
    effect = math.sqrt(max(squared - expected, 0.0) / fitted.trace)
    most = [int(i) for i in np.argsort(-np.abs(shift))[:5]]
    text = (
        f"Mean of {fitted.column} moved by {value:.2f} of its sampling noise (limit {threshold:.2f}), "
        f"{effect:.2f} of the spread, {m:,} vectors"
    )
    details = {"effect": effect, "dimensions": most}
    return _point(fitted.column, "embedding_shift", "drift", value, threshold, text, n, m, details)


def _judge_classifier(fitted: FittedEmbedding, z: Floats, *, alpha: float) -> Point:
    reference = _thinned((fitted.reference.values - fitted.mean) / fitted.scale, MAX_CLASSIFIED)
    window = _thinned(z, fitted.block_rows)
    half = fitted.told_apart.half_width(null_variance(len(reference), len(window)), alpha=2 * alpha)
    limit = max(fitted.told_apart.mean + half, AUROC_FLOOR)
    if limit > 0.98:
        reason = f"the reference's own windows can be told apart (AUROC {fitted.told_apart.mean:.2f})"
        return _without(fitted.column, "embedding_classifier", "inconclusive", reason, len(reference), len(z))
    value = _tell_apart(reference, window)
    text = f"Domain classifier AUROC of {fitted.column} {value:.3f} (limit {limit:.3f}), {len(z):,} vectors"
    details = {"usual": fitted.told_apart.mean, "rows_used": [len(reference), len(window)]}
    return _point(
        fitted.column,
        "embedding_classifier",
        "drift",
        value,
        limit,
        text,
        len(fitted.reference.values),
        len(z),
        details,
    )


def _tell_apart(reference: Floats, window: Floats) -> float:
    """AUROC of a logistic regression (L2, C = 1 / dimension) on standardised vectors, 5 folds in order, pooled."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    x, y = np.concatenate([reference, window]), np.repeat([0, 1], [len(reference), len(window)])
    predicted = np.zeros(len(y))
    for learned, tested in StratifiedKFold(n_splits=FOLDS).split(y, y):
        # Threads that wait for each other cost more than they give on matrices of this size.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")  # it may stop before it has converged, which ranks as well
            model = LogisticRegression(C=STRENGTH / x.shape[1], max_iter=100, class_weight="balanced")
            predicted[tested] = model.fit(x[learned], y[learned]).decision_function(x[tested])
    return float(roc_auc_score(y, predicted))


def _traces(z: Floats) -> tuple[float, float]:
    """tr Σ, and an unbiased tr Σ² (Bai & Saranadasa 1996), of rows (n, d)."""
    n = len(z)
    centred = z - z.mean(axis=0)
    gram = centred.T @ centred if z.shape[1] <= n else centred @ centred.T
    trace = float(np.trace(gram)) / (n - 1)
    squared = float((gram * gram).sum()) / (n - 1) ** 2
    factor = (n - 1) ** 2 / ((n + 1) * (n - 2))
    return max(trace, 1e-300), max(
        factor * (squared - trace * trace / (n - 1)), trace * trace / z.shape[1] * 1e-6
    )


def _mean_of(fitted: FittedEmbedding) -> Floats:
    return np.asarray((fitted.reference.values.mean(axis=0) - fitted.mean) / fitted.scale, dtype=np.float64)


def _thinned(values: Floats, limit: int) -> Floats:
    if len(values) <= limit:
        return values
    return values[np.linspace(0, len(values) - 1, limit).round().astype(np.intp)]


def _lists(source: pa.Table | pd.DataFrame, column: str) -> pa.Array | None:
    """The column as list<double>, or None when it is nothing of the kind."""
    try:
        if isinstance(source, pa.Table):
            found = source.column(column).combine_chunks()
        else:
            found = pa.array([_plain(value) for value in source[column]])
        if pa.types.is_null(found.type):
            return pa.array([None] * len(found), pa.list_(pa.float64()))
        return pc.cast(found, pa.list_(pa.float64()))
    except (pa.ArrowException, TypeError, ValueError):
        return None


def _plain(value: Any) -> npt.NDArray[np.float64] | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return np.asarray(value, dtype=np.float64)


def _point(
    column: str, statistic: str, family: Literal["drift", "quality"], value: float, limit: float, text: str,
    rows_reference: int, rows: int, details: dict[str, Any],
) -> Point:  # fmt: skip
    fired = value > limit
    return Point(
        column=column, statistic=statistic, family=family, value=value, threshold=limit,
        verdict="alarm" if fired else "ok", rows_reference=rows_reference, rows_current=rows, text=text,
        level="ticket" if fired else None, details=details,
    )  # fmt: skip


def _without(
    column: str,
    statistic: str,
    verdict: Literal["no_data", "inconclusive"],
    reason: str,
    rows_reference: int,
    rows: int,
) -> Point:
    return Point(
        column=column, statistic=statistic, family="quality" if statistic == "embedding_unusable" else "drift",
        value=None, threshold=None, verdict=verdict, rows_reference=rows_reference, rows_current=rows,
        text=f"{statistic.replace('_', ' ').capitalize()} of {column}: {reason}", reason=reason,
    )  # fmt: skip

"""Outlier rows: rows that an isolation forest, grown on the reference, cuts off early.

A row counts as an outlier when its score is above what 1 % of the reference's rows reach. A window is judged by its
share of such rows against the reference's. A tree is grown on 256 rows, so rows the forest has seen score as unseen
ones do: at 250, 1000 and 4000 reference rows the cutoff lets 1.2, 1.1 and 1.0 % of fresh rows through (measured).
Isolation forest: Liu, Ting & Zhou 2008, ICDM. scikit-learn is imported inside functions: only jobs call these.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.monitoring.evaluate import Point
from backend.monitoring.joint.sample import Floats, Index, Sample, missing_texts
from backend.monitoring.thresholds import Verdict, noise_limit, rate_limit

STATISTIC = "outlier_rows"
TITLE = "Outlier rows"
USUAL = 0.01
FLOOR = 0.01
ALPHA = 0.005
TREES = 100
SEED = 11
MAX_ROWS = 20_000
FEWEST = 5
SHOWN = 5
NAMED = 3
RARE = 0.02
REACH = 10.0


@dataclass(frozen=True)
class UnusualValue:
    """One value of a shown row. rarity: the share of reference rows at least as far out, or with this category."""

    column: str
    value: float | str
    rarity: float


@dataclass(frozen=True)
class OutlierRow:
    """One row worth a look. `values` are its rarest, rarest first; none when only their combination is unusual."""

    row: int
    id: str | None
    score: float
    values: tuple[UnusualValue, ...]

    @property
    def text(self) -> str:
        named = [
            f"{v.column} = {v.value if isinstance(v.value, str) else f'{v.value:g}'}" for v in self.values
        ]
        return ", ".join(named) or "an unusual combination of usual values"


@dataclass(frozen=True)
class Outliers:
    """What was found in a window: the judged share, and the rows that stand out most, worst first."""

    point: Point
    rows: tuple[OutlierRow, ...]


@dataclass(frozen=True)
class FittedOutliers:
    """A forest with its cutoff. hits of `rows` reference rows lie above it; `rates` are those of its own blocks."""

    forest: Any
    encoder: _Encoder
    cutoff: float
    hits: int
    rows: int
    rates: tuple[float, ...]
    reference: Sample


def fit_outliers(
    reference: Sample, blocks: Sequence[Index] = (), *, min_rows: int = 50
) -> FittedOutliers | str:
    """Grow a forest on the reference (rows in the order of time), or say why there is none.

    blocks  the rows of the reference's own windows; their rates widen the limit where days differ
    More than 20,000 rows are thinned evenly; the same reference gives the same forest.
    """
    usable = reference.only(reference.usable)
    if not usable.names:
        return "the reference has no column with a value"
    if reference.rows < FEWEST * min_rows:
        return f"the reference has {reference.rows} rows and {FEWEST * min_rows} are needed to tell outliers"
    encoder = _learn_encoder(usable)
    forest = _grow(usable, encoder)
    scores = _score(forest, encoder, usable)
    cutoff = float(np.quantile(scores, 1 - USUAL, method="higher"))
    rates = tuple(float((scores[block] > cutoff).mean()) for block in blocks if len(block) >= min_rows)
    hits = int((scores > cutoff).sum())
    return FittedOutliers(forest, encoder, cutoff, hits, reference.rows, rates, usable.thinned(MAX_ROWS))


def find_outliers(
    fitted: FittedOutliers | str,
    window: Sample,
    ids: Sequence[str] | None = None,
    *,
    min_rows: int = 50,
    alpha: float = ALPHA,
) -> Outliers:
    """Judge a window's share of outlier rows, and show a few.

    ids  of the window's rows, to find them again
    A column without a value in the window is left out of the judgement: its rows get the reference's median or mode.
    """
    if isinstance(fitted, str):
        return _without("inconclusive", fitted, 0, window.rows)
    if window.rows == 0:
        return _without("no_data", "the window has no rows", fitted.rows, 0)
    if not window.usable & set(fitted.encoder.fill):
        reason = "no column that the reference has values in has one in the window"
        return _without("inconclusive", reason, fitted.rows, window.rows)
    scores = _score(fitted.forest, fitted.encoder, window)
    over = np.flatnonzero(scores > fitted.cutoff)
    worst = over[np.argsort(-scores[over], kind="stable")[:SHOWN]]
    rows = tuple(
        OutlierRow(int(row), None if ids is None else str(ids[row]), float(scores[row]), values)
        for row, values in zip(worst, _explain(fitted.reference, window.take(worst)), strict=True)
    )
    if window.rows < min_rows:
        reason = f"the window has {window.rows} rows and {min_rows} are needed"
        return Outliers(_without("inconclusive", reason, fitted.rows, window.rows).point, rows)
    value, rate = len(over) / window.rows, fitted.hits / fitted.rows
    limit = max(
        rate + FLOOR,
        rate_limit(fitted.hits, fitted.rows, window.rows, alpha=alpha),
        noise_limit(fitted.rates) or 0.0,
    )
    fired = value > limit
    text = f"{TITLE} from {rate:.1%} to {value:.1%} (limit {limit:.1%}), {window.rows:,} rows"
    if fired and rows:
        text += f"; the most unusual: {rows[0].text}"
    details = {
        "reference_rate": rate,
        "rows": [{"row": row.row, "id": row.id, "score": row.score, "text": row.text} for row in rows],
    }
    point = Point(
        column=None, statistic=STATISTIC, family="quality", value=value, threshold=limit,
        verdict="alarm" if fired else "ok", rows_reference=fitted.rows, rows_current=window.rows, text=text,
        level="ticket" if fired else None, details=details,
    )  # fmt: skip
    return Outliers(point, rows)


@dataclass(frozen=True)
class _Encoder:
    """How rows become numbers: gaps are filled with the reference's median or mode, numbers measured in ranges of the
    reference from its least one and kept within reach (a forest reads 32-bit numbers), categories are the logarithm
    of their share; unseen ones have half a row's.

    ends  the reference's least and largest number of each numeric column
    """

    fill: Mapping[str, Any]
    ends: Mapping[str, tuple[float, float]]
    shares: Mapping[str, Mapping[str, float]]
    unseen: float

    def encode(self, sample: Sample) -> Floats:
        columns = [
            self._number(name, sample) if name in self.ends else self._share(name, sample)
            for name in self.fill
        ]
        return np.column_stack(columns)

    def _number(self, name: str, sample: Sample) -> Floats:
        numbers = sample.numeric.get(name, np.full(sample.rows, np.nan))
        low, high = self.ends[name]
        filled = np.where(np.isfinite(numbers), numbers, self.fill[name])
        with np.errstate(over="ignore"):  # by a tiny range; what is beyond reach is kept there anyway
            return np.asarray(np.clip((filled - low) / ((high - low) or 1.0), -REACH, 1 + REACH))

    def _share(self, name: str, sample: Sample) -> Floats:
        texts = sample.categorical.get(name, np.full(sample.rows, None, dtype=object))
        filled = np.where(missing_texts(texts), self.fill[name], texts).astype(str)
        values, codes = np.unique(filled, return_inverse=True)
        shares = np.array([self.shares[name].get(str(value), self.unseen) for value in values])
        return np.asarray(np.log(shares)[codes], dtype=np.float64)


def _learn_encoder(reference: Sample) -> _Encoder:
    fill: dict[str, Any] = {}
    ends: dict[str, tuple[float, float]] = {}
    shares: dict[str, dict[str, float]] = {}
    for name, numbers in reference.numeric.items():
        known = numbers[np.isfinite(numbers)]
        known = known if len(known) else np.zeros(1)
        fill[name], ends[name] = float(np.median(known)), (float(known.min()), float(known.max()))
    for name, texts in reference.categorical.items():
        shares[name] = category_shares(texts)
        fill[name] = max(shares[name], key=lambda value: shares[name][value]) if shares[name] else ""
    return _Encoder(fill, ends, shares, 0.5 / max(reference.rows, 1))


def category_shares(texts: npt.NDArray[np.object_]) -> dict[str, float]:
    """The share of each category among the rows that have one."""
    known = texts[~missing_texts(texts)].astype(str)
    values, counts = np.unique(known, return_counts=True)
    return {str(value): int(count) / len(known) for value, count in zip(values, counts, strict=True)}


def _grow(reference: Sample, encoder: _Encoder) -> Any:
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(
        n_estimators=TREES, max_samples=min(256, reference.rows), random_state=SEED, n_jobs=1
    )
    return forest.fit(encoder.encode(reference.thinned(MAX_ROWS)))


def _score(forest: Any, encoder: _Encoder, sample: Sample) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(-forest.score_samples(encoder.encode(sample)), dtype=np.float64)


def _explain(reference: Sample, rows: Sample) -> list[tuple[UnusualValue, ...]]:
    """The rarest values of each row: those that at most 2 % of the reference's rows match."""
    found: list[list[UnusualValue]] = [[] for _ in range(rows.rows)]
    for name, numbers in rows.numeric.items():
        known = reference.numeric.get(name, np.empty(0))
        known = np.sort(known[np.isfinite(known)])
        if not len(known):
            continue
        above = len(known) - np.searchsorted(known, numbers, side="left")
        below = np.searchsorted(known, numbers, side="right")
        rarity = np.minimum(np.minimum(above, below) * 2 / len(known), 1.0)
        for place in np.flatnonzero(np.isfinite(numbers) & (rarity <= RARE)).tolist():
            found[place].append(UnusualValue(name, float(numbers[place]), float(rarity[place])))
    for name, texts in rows.categorical.items():
        shares = category_shares(reference.categorical[name]) if name in reference.categorical else {}
        for place, text in enumerate(texts):
            if shares and text is not None and shares.get(text, 0.0) <= RARE:
                found[place].append(UnusualValue(name, str(text), shares.get(text, 0.0)))
    return [tuple(sorted(values, key=lambda value: value.rarity)[:NAMED]) for values in found]


def _without(verdict: Verdict, reason: str, rows_reference: int, rows: int) -> Outliers:
    point = Point(
        column=None, statistic=STATISTIC, family="quality", value=None, threshold=None, verdict=verdict,
        rows_reference=rows_reference, rows_current=rows, text=f"{TITLE}: {reason}", reason=reason,
    )  # fmt: skip
    return Outliers(point, ())

"""Whether a classifier can tell a window's rows from the reference's, as NannyML asks it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from backend.monitoring.joint.base import JointDetector, JointScore, rest_of
from backend.monitoring.joint.calibration import HeldOut
from backend.monitoring.joint.sample import Floats, Index, Sample, missing_texts

FOLDS = 5
MAX_ROWS = 20_000
FLOOR = 0.55
TELLS_ALL = 0.98
NAMED = 5
MOST_PARTS = 4
TREES = 100
# NannyML 0.13.1, DEFAULT_LGBM_HYPERPARAMS, under LightGBM's own names; the rest are LightGBM's defaults there too.
# The last three make the answer the same on any machine; threads that wait for each other cost more than they give.
PARAMETERS: Mapping[str, Any] = {
    "objective": "binary", "learning_rate": 0.1, "num_leaves": 31, "min_data_in_leaf": 20,
    "min_sum_hessian_in_leaf": 0.001, "bin_construct_sample_cnt": 200_000, "seed": 13, "verbosity": -1,
    "deterministic": True, "force_col_wise": True, "num_threads": 1,
}  # fmt: skip


@dataclass(frozen=True)
class _Fitted:
    reference: Sample
    rows: int  # the most rows of a window that are looked at together
    held_out: HeldOut
    used: Mapping[str, float]  # what tells the reference's own blocks apart


class DomainClassifier(JointDetector):
    """max_rows: of each side; more are thinned evenly."""

    name: ClassVar[str] = "domain_classifier"
    title: ClassVar[str] = "Domain classifier AUROC"
    formula: ClassVar[str] = (
        "AUROC of LightGBM (100 trees) telling window from reference, 5 folds in time order, predictions pooled "
        "(NannyML DomainClassifierCalculator); at most 20,000 rows a side"
    )

    def __init__(self, *, max_rows: int = MAX_ROWS, **options: Any) -> None:
        super().__init__(**options)
        self.max_rows = max_rows

    def _calibrate(self, reference: Sample, blocks: Sequence[Index]) -> _Fitted:
        # Ten blocks say enough of the noise, and each costs a cross-validation.
        spaced = np.unique(np.linspace(0, len(blocks) - 1, min(len(blocks), 10)).round().astype(int))
        chosen = [blocks[place] for place in spaced]
        # AUROC grows with the rows wherever days differ at all, so windows are looked at in parts of the blocks' size.
        rows = min(self.max_rows, max(len(block) for block in chosen))
        values, variances, used = [], [], []
        for block in chosen:
            rest = reference.take(rest_of(reference.rows, block)).thinned(self.max_rows)
            held = reference.take(block).thinned(rows)
            auroc, gains = tell_apart(rest, held)
            values.append(auroc)
            variances.append(null_variance(rest.rows, held.rows))
            used.append(gains)
        shares = {name: float(np.mean([gains[name] for gains in used])) for name in reference.names}
        return _Fitted(
            reference.thinned(self.max_rows), rows, HeldOut(np.array(values), np.array(variances)), shares
        )

    def _judge(self, fitted: _Fitted, window: Sample, details: Mapping[str, Any]) -> JointScore:
        parts = _parts(window, fitted.rows)
        usual = fitted.held_out.mean
        variance = null_variance(fitted.reference.rows, parts[0].rows) / len(parts)
        half = fitted.held_out.half_width(variance, alpha=self.alpha)
        # Folds follow the time: rows that change within the window are told apart the wrong way round.
        low, limit = min(usual - half, 1 - FLOOR), max(usual + half, FLOOR)
        if limit > TELLS_ALL:
            by = ", ".join(_most(fitted.used)[:2])
            reason = (
                f"the reference's own windows can be told apart (AUROC {usual:.2f}), mostly by {by}; "
                "leave out columns that name the time or the row"
            )
            return self._without(window, "inconclusive", reason, details["left_out"])
        told = [tell_apart(fitted.reference, part) for part in parts]
        value = float(np.mean([auroc for auroc, _ in told]))
        gains = {name: float(np.mean([gains[name] for _, gains in told])) for name in window.names}
        most = _most(gains)
        text = f"{self.title} {value:.3f} (limits {low:.3f} and {limit:.3f}), {window.rows:,} rows"
        if not low <= value <= limit and most:
            text += f", told apart mostly by {', '.join(most[:3])}"
        facts = {
            **details, "usual": usual, "columns": {name: gains[name] for name in most},
            "rows_used": [fitted.reference.rows, sum(part.rows for part in parts)],
        }  # fmt: skip
        return self._answer(window, value, low, limit, text, facts)


def tell_apart(reference: Sample, window: Sample) -> tuple[float, dict[str, float]]:
    """(AUROC, share of the trees' gain by column). 0.5 where every row is the same. Both samples have the same columns.

    Trees split on what is missing too, so a changed share of missing values is seen. Categories are codes of the
    values of both sides together.
    """
    from lightgbm import Dataset, train
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    texts, numbers = sorted(window.categorical), sorted(window.numeric)  # NannyML's order
    x = np.column_stack(
        [_codes(reference.categorical[name], window.categorical[name]) for name in texts]
        + [np.concatenate([reference.numeric[name], window.numeric[name]]) for name in numbers]
    )
    y = np.repeat([0, 1], [reference.rows, window.rows])
    folds = min(FOLDS, reference.rows, window.rows)
    predicted, gains = np.zeros(len(y)), np.zeros(x.shape[1])
    coded = list(range(len(texts)))
    for learned, tested in StratifiedKFold(n_splits=folds).split(y, y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = Dataset(x[learned], y[learned], categorical_feature=coded, params=dict(PARAMETERS))
            # LightGBM's own call: its scikit-learn class (4.5) fails on arrays with scikit-learn 1.8 and later.
            model = train(dict(PARAMETERS), data, num_boost_round=TREES)
            predicted[tested] = model.predict(x[tested])
        gains += model.feature_importance("gain")
    shares = gains / gains.sum() if gains.sum() > 0 else gains
    return float(roc_auc_score(y, predicted)), dict(zip([*texts, *numbers], map(float, shares), strict=True))


def null_variance(rows_reference: int, rows_window: int) -> float:
    """Of the AUROC of scores that know nothing (Mann & Whitney 1947): (n + m + 1) / (12 n m)."""
    return (rows_reference + rows_window + 1) / (12 * rows_reference * rows_window)


def _codes(reference: npt.NDArray[np.object_], window: npt.NDArray[np.object_]) -> Floats:
    """Codes of the values in order, NaN where there is none."""
    together = np.concatenate([reference, window])
    missing = missing_texts(together)
    codes = np.full(len(together), np.nan)
    codes[~missing] = np.unique(together[~missing].astype(str), return_inverse=True)[1]
    return codes


def _parts(window: Sample, rows: int) -> list[Sample]:
    """Up to 4 interleaved parts of at most `rows` rows."""
    parts = min(max(window.rows // rows, 1), MOST_PARTS)
    kept = window.thinned(parts * rows)
    return [kept.take(np.arange(first, kept.rows, parts)) for first in range(parts)]


def _most(gains: Mapping[str, float]) -> list[str]:
    return [name for name in sorted(gains, key=lambda name: -gains[name])[:NAMED] if gains[name] > 0]

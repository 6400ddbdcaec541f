"""Whether correlations between numeric columns changed, from mergeable moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from backend.monitoring.joint.base import JointDetector, JointScore
from backend.monitoring.joint.moments import Frame, Moments, freeze_frame, sampling_factor, sum_moments
from backend.monitoring.joint.sample import Floats, Index, Sample

FLOOR = 0.1
PRIOR = 10
NAMED = 5
FEWEST_PAIRS = 30


@dataclass(frozen=True)
class _Fitted:
    reference: Moments
    factor: Floats  # (p, p): φ, what sampling noise is beyond that of a normal pair
    between: Floats  # (p, p): τ², variance of a pair's atanh r between blocks beyond sampling
    blocks: int


class CorrelationChange(JointDetector):
    """Named pairs in `details["pairs"]`: {"columns", "reference", "current", "limit"}, most certain first."""

    name: ClassVar[str] = "correlation_change"
    title: ClassVar[str] = "Correlation change"
    formula: ClassVar[str] = (
        "max over pairs of |r − r_ref|, r of normal scores; (atanh r − atanh r_ref) / sqrt(φ (1/(n−3) + 1/(m−3)) + τ²) "
        "(Fisher 1921; φ: 1 for normal pairs, from the reference; τ²: what held-out blocks differ by beyond "
        "sampling) against Student's t at alpha / pairs; and at least 0.1"
    )

    def _wanted(self, reference: Sample) -> tuple[str, ...]:
        return tuple(reference.numeric)

    def _calibrate(self, reference: Sample, blocks: Sequence[Index]) -> _Fitted:
        frame: Frame = freeze_frame(reference)
        parts = [sum_moments(reference.take(block), frame) for block in blocks]
        whole = sum_moments(reference, frame)
        factor = sampling_factor(reference, whole)
        excess = np.stack([_excess(part, whole.without(part), factor) for part in parts])
        seen = np.isfinite(excess)
        pooled = max(float(excess[seen].mean()), 0.0) if seen.any() else 0.0
        sums = np.where(seen, excess, 0.0).sum(axis=0)
        # A pair's own blocks are few: its spread is drawn towards that of all pairs (Smyth 2004, limma).
        between = np.maximum((PRIOR * pooled + sums) / (PRIOR + seen.sum(axis=0)), 0.0)
        return _Fitted(whole, factor, between, len(blocks))

    def _judge(self, fitted: _Fitted, window: Sample, details: Mapping[str, Any]) -> JointScore:
        return self.judge_moments(
            fitted, sum_moments(window, fitted.reference.frame), window=window, details=details
        )

    def judge_moments(
        self, fitted: _Fitted, current: Moments, *, window: Sample, details: Mapping[str, Any]
    ) -> JointScore:
        before, now = fitted.reference.correlations(), current.correlations()
        columns = fitted.reference.frame.columns
        looked = np.triu(np.isfinite(before) & np.isfinite(now) & (current.rows >= FEWEST_PAIRS), k=1)
        pairs = int(looked.sum())
        if pairs == 0:
            reason = "no pair of columns varies in enough rows of both the window and the reference"
            return self._without(window, "inconclusive", reason, details["left_out"])
        error = np.sqrt(fitted.factor * _sampling(current, fitted.reference) + fitted.between)
        critical = float(student.ppf(1 - self.alpha / pairs / 2, PRIOR + fitted.blocks))
        z = np.where(looked, np.abs(_atanh(now) - _atanh(before)) / error, 0.0)
        change = np.abs(now - before)
        limits = _limits(before, now, critical * error)
        fired = looked & (change > limits)
        # The clearest pair speaks: among those that fired the largest change, else the most unusual one.
        rank = np.where(fired, 1e6 + change, np.where(looked, z, -1.0))
        order = np.argsort(-rank, axis=None)[:NAMED]
        named = [
            {
                "columns": [columns[i], columns[j]], "reference": float(before[i, j]),
                "current": float(now[i, j]), "limit": float(limits[i, j]), "changed": bool(fired[i, j]),
            }
            for i, j in zip(*np.unravel_index(order, rank.shape), strict=True)
            if looked[i, j]
        ]  # fmt: skip
        top = np.unravel_index(order[0], rank.shape)
        value, limit = float(change[top]), float(limits[top])
        first = named[0]
        text = (
            f"correlation of {columns[top[0]]} and {columns[top[1]]} from {first['reference']:.2f} to "
            f"{first['current']:.2f} (limit ±{limit:.2f}), {window.rows:,} rows"
        )
        more = int(fired.sum()) - 1
        if more > 0:
            text += f"; {more} more pair{'s' if more > 1 else ''}"
        facts = {**details, "pairs": named, "pairs_looked_at": pairs, "pairs_changed": int(fired.sum())}
        return self._answer(window, value, None, limit, text, facts)


def _excess(block: Moments, rest: Moments, factor: Floats) -> Floats:
    """(p, p): squared change of atanh r beyond what sampling explains; NaN where there is none."""
    change = (_atanh(block.correlations()) - _atanh(rest.correlations())) ** 2 - factor * _sampling(
        block, rest
    )
    change[(block.rows < FEWEST_PAIRS) | np.eye(len(change), dtype=bool)] = np.nan
    return change


def _atanh(r: npt.NDArray[Any]) -> Floats:
    # A correlation of 1 is a finite z: copies of a column that part by a hair are a change of a hair.
    return np.asarray(np.arctanh(np.clip(r, -0.999, 0.999)), dtype=np.float64)


def _sampling(current: Moments, reference: Moments) -> Floats:
    """(p, p): the sampling variance of a difference of two atanh r of normal pairs."""
    n, m = np.maximum(current.rows - 3, 1.0), np.maximum(reference.rows - 3, 1.0)
    return np.asarray(1 / n + 1 / m, dtype=np.float64)


def _limits(before: Floats, now: Floats, half: Floats) -> Floats:
    """How far each correlation may move in its own direction: the critical z read back as a correlation."""
    end = np.tanh(_atanh(before) + np.sign(now - before) * half)
    return np.maximum(np.abs(end - before), FLOOR)

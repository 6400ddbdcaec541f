"""Reconstruction error of a principal-component analysis, as NannyML defines it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from backend.monitoring.joint.base import JointDetector, JointScore, rest_of
from backend.monitoring.joint.calibration import HeldOut
from backend.monitoring.joint.sample import Floats, Index, Sample, missing_texts

KEPT_VARIANCE = 0.65
FLOOR = 0.05
TAIL = 0.001
NOTHING = 1e-300


@dataclass(frozen=True)
class Projection:
    """A fitted analysis.

    fill       numeric: the mean; categorical: the most frequent value
    shares     categorical: the share of each value
    ends       what is encoded beyond these is taken as these; infinite without clipping
    mean, scale, axes   (p,), (p,) and (components, p): the standardisation and the kept directions
    """

    fill: Mapping[str, Any]
    shares: Mapping[str, Mapping[str, float]]
    ends: Mapping[str, tuple[float, float]]
    mean: Floats
    scale: Floats
    axes: Floats

    def errors(self, sample: Sample) -> Floats:
        """(rows,): the distance of each row from what the kept directions say of it."""
        z = (_encode(sample, self.fill, self.shares, self.ends) - self.mean) / self.scale
        return np.asarray(np.linalg.norm(z - (z @ self.axes.T) @ self.axes, axis=1), dtype=np.float64)


@dataclass(frozen=True)
class _Fitted:
    projection: Projection
    spread: float  # standard deviation of the errors of single rows
    held_out: HeldOut


class PcaReconstruction(JointDetector):
    """clip: take numbers beyond the reference's 0.1 % and 99.9 % quantiles as these, so that one wild value on
    either side changes one row's error and no more, and a category never seen as the rarest one: its share of 0 can lie
    dozens of deviations from others. Without it the value equals NannyML's (tested).
    """

    name: ClassVar[str] = "pca_reconstruction"
    title: ClassVar[str] = "PCA reconstruction error"
    formula: ClassVar[str] = (
        "mean over rows of ‖z − P z‖₂; z: columns standardised by the reference, categories by their share, no value "
        "by mean or mode; P keeps 65 % of the reference's variance (NannyML DataReconstructionDriftCalculator)"
    )

    def __init__(self, *, clip: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.clip = clip

    def _calibrate(self, reference: Sample, blocks: Sequence[Index]) -> _Fitted:
        values, variances = [], []
        for block in blocks:
            rest = fit_projection(reference.take(rest_of(reference.rows, block)), clip=self.clip)
            errors = rest.errors(reference.take(block))
            values.append(errors.mean())
            variances.append(errors.var(ddof=1) / len(errors))
        projection = fit_projection(reference, clip=self.clip)
        spread = float(projection.errors(reference).std(ddof=1))
        return _Fitted(projection, spread, HeldOut(np.array(values), np.array(variances)))

    def _judge(self, fitted: _Fitted, window: Sample, details: Mapping[str, Any]) -> JointScore:
        errors = fitted.projection.errors(window)
        value = float(errors.mean())
        # The reference's spread, not the window's: drift itself would widen the band that is to show it.
        half = fitted.held_out.half_width(fitted.spread**2 / len(errors), alpha=self.alpha)
        half = max(half, FLOOR * fitted.spread)
        usual = fitted.held_out.mean
        low, high = max(usual - half, 0.0), usual + half
        text = f"{self.title} {value:.3f}, usual {low:.3f} to {high:.3f}, {window.rows:,} rows"
        facts = {**details, "usual": usual, "components": len(fitted.projection.axes)}
        return self._answer(window, value, low, high, text, facts)


def fit_projection(reference: Sample, *, clip: bool) -> Projection:
    fill: dict[str, Any] = {}
    shares: dict[str, dict[str, float]] = {}
    ends: dict[str, tuple[float, float]] = {}
    for name, numbers in reference.numeric.items():
        known = numbers[np.isfinite(numbers)]
        ends[name] = (-np.inf, np.inf)
        if clip and len(known):
            ends[name] = (float(np.quantile(known, TAIL)), float(np.quantile(known, 1 - TAIL)))
        fill[name] = float(np.clip(known, *ends[name]).mean()) if len(known) else 0.0
    for name, texts in reference.categorical.items():
        values, counts = np.unique([text for text in texts if text is not None], return_counts=True)
        # Between equally frequent ones the first, as scikit-learn takes it.
        fill[name] = str(values[counts.argmax()]) if len(values) else None
        gaps = reference.rows - int(counts.sum())
        shares[name] = {
            str(value): (int(count) + (gaps if value == fill[name] else 0)) / reference.rows
            for value, count in zip(values, counts, strict=True)
        }
        lowest, highest = min(shares[name].values(), default=0.0), max(shares[name].values(), default=0.0)
        ends[name] = (lowest, highest) if clip else (-np.inf, np.inf)
    x = _encode(reference, fill, shares, ends)
    size = np.maximum(
        np.abs(x).max(axis=0), NOTHING
    )  # squares of huge and tiny numbers have no representation
    mean, scale = size * (x / size).mean(axis=0), size * (x / size).std(axis=0)
    scale[scale <= 1e-12 * np.abs(mean) + NOTHING] = 1.0  # constant columns
    z = (x - mean) / scale
    variances, vectors = np.linalg.eigh(z.T @ z / max(len(z) - 1, 1))
    variances, vectors = np.maximum(variances[::-1], 0.0), vectors[:, ::-1]
    kept = np.cumsum(variances) / max(variances.sum(), 1e-300)
    components = min(int(np.searchsorted(kept, KEPT_VARIANCE, side="right")) + 1, len(variances))
    return Projection(fill, shares, ends, mean, scale, np.ascontiguousarray(vectors[:, :components].T))


def _encode(
    sample: Sample,
    fill: Mapping[str, Any],
    shares: Mapping[str, Mapping[str, float]],
    ends: Mapping[str, tuple[float, float]],
) -> Floats:
    """(rows, p). A category never seen has the share 0."""
    columns = [
        np.clip(np.where(np.isfinite(numbers), numbers, fill[name]), *ends[name])
        for name, numbers in sample.numeric.items()
    ]
    for name, texts in sample.categorical.items():
        filled = np.where(missing_texts(texts), fill[name], texts).astype(str)
        values, codes = np.unique(filled, return_inverse=True)
        encoded = np.array([shares[name].get(str(value), 0.0) for value in values])
        columns.append(np.clip(encoded, *ends[name])[codes])
    return np.column_stack(columns)

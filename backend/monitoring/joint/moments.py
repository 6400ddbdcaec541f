"""Mergeable moments of pairs of numeric columns: what every correlation of any union of windows follows from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from backend.monitoring.joint.sample import Floats, Sample

KNOTS = 256


@dataclass(frozen=True)
class Frame:
    """How numbers are read before they are summed, frozen on the reference: as normal scores.

    A number becomes Φ⁻¹ of its share in the reference, straight between the knots (256 quantiles) and constant beyond
    them: whatever tails a column has, its scores are those of a normal law, and one wild value cannot make or break a
    correlation (Gaussian rank correlation: Boudt, Cornelissen & Croux 2012, Stat. Comput. 22).

    knots, scores  of each column, ascending
    """

    columns: tuple[str, ...]
    knots: tuple[tuple[float, ...], ...]
    scores: tuple[tuple[float, ...], ...]

    def read(self, sample: Sample) -> Floats:
        """(rows, p) scores, NaN where there is no value."""
        read = np.full((sample.rows, len(self.columns)), np.nan)
        for place, name in enumerate(self.columns):
            numbers = sample.numeric[name]
            known = np.isfinite(numbers)
            read[known, place] = np.interp(numbers[known], self.knots[place], self.scores[place])
        return read


@dataclass(frozen=True)
class Moments:
    """Sums over the rows in which both columns of a pair have a value, each (p, p); entry [i, j] is about i given j.

    rows     how many such rows
    total    Σ x_i
    squares  Σ x_i²
    products Σ x_i x_j
    """

    frame: Frame
    rows: Floats
    total: Floats
    squares: Floats
    products: Floats

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of rows. Raises `ValueError` on different frames."""
        if self.frame != other.frame:
            raise ValueError("moments of different frames cannot be merged; sum again on one frame")
        return self._combine(other, 1.0)

    def without(self, other: Moments) -> Moments:
        """The moments of the rows that are not in `other`, which must be part of these."""
        if self.frame != other.frame:
            raise ValueError("moments of different frames cannot be subtracted; sum again on one frame")
        return self._combine(other, -1.0)

    def _combine(self, other: Moments, sign: float) -> Moments:
        parts = [
            getattr(self, name) + sign * getattr(other, name)
            for name in ("rows", "total", "squares", "products")
        ]
        return Moments(self.frame, *parts)

    def correlations(self) -> Floats:
        """(p, p) Pearson correlations over complete pairs; NaN where one of the two does not vary."""
        n = np.maximum(self.rows, 1.0)
        covariance = self.products / n - (self.total / n) * (self.total.T / n)
        variance = np.maximum(self.squares / n - (self.total / n) ** 2, 0.0)
        varies = (variance > 1e-12) & (variance.T > 1e-12)
        with np.errstate(divide="ignore", invalid="ignore"):
            r = covariance / np.sqrt(variance * variance.T)
        return np.asarray(np.where(varies, np.clip(r, -1.0, 1.0), np.nan), dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": list(self.frame.columns), "knots": [list(one) for one in self.frame.knots],
            "scores": [list(one) for one in self.frame.scores],
            **{name: getattr(self, name).tolist() for name in ("rows", "total", "squares", "products")},
        }  # fmt: skip

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Moments:
        knots, scores = (tuple(tuple(one) for one in document[name]) for name in ("knots", "scores"))
        frame = Frame(tuple(document["columns"]), knots, scores)
        sums = [
            np.asarray(document[name], dtype=np.float64) for name in ("rows", "total", "squares", "products")
        ]
        return cls(frame, *sums)


def freeze_frame(reference: Sample) -> Frame:
    """The frame of the numeric columns of a reference; a column without values scores 0 throughout."""
    shares = (np.arange(KNOTS) + 0.5) / KNOTS
    normal = ndtri(shares)
    knots: list[tuple[float, ...]] = []
    scores: list[tuple[float, ...]] = []
    for numbers in reference.numeric.values():
        known = numbers[np.isfinite(numbers)]
        values = np.quantile(known, shares) if len(known) else np.zeros(1)
        # A value that many rows have lies on many quantiles: it scores their mean.
        at, place = np.unique(values, return_inverse=True)
        weights = normal if len(known) else np.zeros(1)
        knots.append(tuple(map(float, at)))
        scores.append(tuple(map(float, np.bincount(place, weights) / np.bincount(place))))
    return Frame(tuple(reference.numeric), tuple(knots), tuple(scores))


def sum_moments(sample: Sample, frame: Frame) -> Moments:
    """The moments of a sample on a frame."""
    x = frame.read(sample)
    known = np.isfinite(x)
    x = np.where(known, x, 0.0)
    there = known.astype(np.float64)
    return Moments(frame, there.T @ there, x.T @ there, (x * x).T @ there, x.T @ x)


def sampling_factor(sample: Sample, moments: Moments) -> Floats:
    """(p, p): n times the sampling variance of atanh r, whatever the law of the pair; 1 for a normal one; at least 1/2.

    From r's influence z_i z_j − r (z_i² + z_j²) / 2, squared, mean over rows, divided by (1 − r²)²
    (Hampel et al. 1986, Robust Statistics; for the normal law Fisher's 1 / (n − 3)).
    """
    x = moments.frame.read(sample)
    known = np.isfinite(x)
    deviation = np.sqrt(np.nanvar(x, axis=0, where=known)) if len(x) else np.ones(x.shape[1])
    mean = np.nanmean(x, axis=0, where=known)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(known, (x - mean) / np.where(deviation > 0, deviation, 1.0), 0.0)
    there, n = known.astype(np.float64), np.maximum(moments.rows, 1.0)
    r = np.clip(np.nan_to_num(moments.correlations()), -0.999, 0.999)
    fourth, third, second = (z**4).T @ there, (z**3).T @ z, (z * z).T @ (z * z)
    squared = second - r * (third + third.T) + r * r / 4 * (fourth + fourth.T + 2 * second)
    return np.asarray(np.maximum(squared / n / (1 - r * r) ** 2, 0.5), dtype=np.float64)

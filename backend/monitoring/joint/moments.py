"""Mergeable moments of pairs of numeric columns: what every correlation of any union of windows follows from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.monitoring.joint.sample import Floats, Sample

TAIL = 0.001


@dataclass(frozen=True)
class Frame:
    """How numbers are read before they are summed, frozen on the reference: x -> (clip(x, low, high) − centre) / scale.

    low, high are its 0.1 % and 99.9 % quantiles, so that one wild value cannot make or break a correlation; centre and
    scale keep the sums of squares exact for columns far from zero.
    """

    columns: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]


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
        frame = self.frame
        return {
            "columns": list(frame.columns), "low": list(frame.low), "high": list(frame.high),
            "centre": list(frame.centre), "scale": list(frame.scale),
            **{name: getattr(self, name).tolist() for name in ("rows", "total", "squares", "products")},
        }  # fmt: skip

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Moments:
        frame = Frame(*(tuple(document[name]) for name in ("columns", "low", "high", "centre", "scale")))
        sums = [
            np.asarray(document[name], dtype=np.float64) for name in ("rows", "total", "squares", "products")
        ]
        return cls(frame, *sums)


def freeze_frame(reference: Sample) -> Frame:
    """The frame of the numeric columns of a reference; a column without values gets the unit frame."""
    ends: list[tuple[float, float, float, float]] = []
    for numbers in reference.numeric.values():
        known = numbers[np.isfinite(numbers)]
        if not len(known):
            ends.append((-np.inf, np.inf, 0.0, 1.0))
            continue
        low, high = float(np.quantile(known, TAIL)), float(np.quantile(known, 1 - TAIL))
        kept = np.clip(known, low, high)
        ends.append((low, high, float(kept.mean()), float(kept.std()) or 1.0))
    low_, high_, centre, scale = zip(*ends, strict=True) if ends else ((), (), (), ())
    return Frame(tuple(reference.numeric), low_, high_, centre, scale)


def sum_moments(sample: Sample, frame: Frame) -> Moments:
    """The moments of a sample on a frame."""
    columns = [
        (np.clip(sample.numeric[name], low, high) - centre) / scale
        for name, low, high, centre, scale in zip(
            frame.columns, frame.low, frame.high, frame.centre, frame.scale, strict=True
        )
    ]
    x = np.column_stack(columns) if columns else np.empty((sample.rows, 0))
    known = np.isfinite(x)
    x = np.where(known, x, 0.0)
    there = known.astype(np.float64)
    return Moments(frame, there.T @ there, x.T @ there, (x * x).T @ there, x.T @ x)

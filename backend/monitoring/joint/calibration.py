"""Where a quiet window's value lies, learned from the reference's own held-out blocks.

A block's value is the reference's mean, plus what its time does to it (variance between blocks beyond sampling),
plus sampling noise. A new window draws both anew, and its sampling noise depends on its own rows:

    band = mean(v) ± t(k−1, 1 − α/2) · sqrt(τ² (1 + 1/k) + s²_window + s²_blocks / k),
    τ²   = max(0, var(v, ddof 1) − mean(s²_block))

the prediction interval of a random-effects model (Higgins, Thompson & Spiegelhalter 2009, J. R. Stat. Soc. A 172).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import t as student

from backend.monitoring.joint.sample import Floats


@dataclass(frozen=True)
class HeldOut:
    """values (k,) of held-out blocks, and the sampling variance (k,) of each."""

    values: Floats
    variances: Floats

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def between(self) -> float:
        """τ²: what blocks differ by, beyond their sampling noise."""
        return max(0.0, float(self.values.var(ddof=1) - self.variances.mean()))

    def half_width(self, variance: float, *, alpha: float) -> float:
        """How far from the mean a quiet window with this sampling variance may lie, at two-sided level `alpha`."""
        k = len(self.values)
        spread = self.between * (1 + 1 / k) + variance + float(self.variances.mean()) / k
        return float(student.ppf(1 - alpha / 2, k - 1)) * math.sqrt(spread)

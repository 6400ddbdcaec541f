"""Change of the mean in standard deviations: |mean_c − mean_r| / std_r, values outside the frozen grid pulled in to it.

Winsorised (Tukey), so that one wild value moves neither the mean nor the scale: a shift cannot hide behind it.
details.change is the signed change in the column's unit; the law under "no change" has the pooled variance and
skewness, so it holds for skewed columns and small windows where Welch's t would not.
"""

from __future__ import annotations

import math

from backend.monitoring.laws import ShiftLaw
from backend.monitoring.nulls import Exchange
from backend.monitoring.profiles import Profile
from backend.monitoring.statistics._core import Result, Statistic, refuse, register


def compute(reference: Profile, current: Profile) -> Result:
    refused = refuse(reference, current)
    if refused is not None:
        return refused
    grid = reference.grid
    if not (grid.edges or grid.values):
        return Result(None, reference.known, current.known, "the frozen grid has no values in this column")
    then, std, _ = reference.moments
    now = current.moments[0]
    if std <= 0:
        return Result(None, reference.known, current.known, "the reference does not vary in this column")
    details = {"change": now - then, "reference_mean": then, "mean": now, "divisor": std}
    return Result(abs(now - then) / std, reference.known, current.known, None, details)


def law(exchange: Exchange, result: Result) -> ShiftLaw:
    """Variance and skewness of the difference of two means of the pool (sampling without replacement)."""
    _, std, skew = exchange.pool.moments
    n_r, n_c = exchange.rows
    # Third moment of (mean_c − mean_r): the part that is smaller shows its skewness, the other the opposite.
    third = skew * (1 / n_c**2 - 1 / n_r**2) / exchange.spread**1.5
    sign = math.copysign(1.0, float(result.details["change"]))
    return ShiftLaw(std / float(result.details["divisor"]) * math.sqrt(exchange.spread), sign * third)


MEAN_SHIFT = register(
    Statistic(
        name="mean_shift",
        title="Shift of the mean",
        family="drift",
        applies_to=("numeric",),
        unit="standard deviations",
        floor=0.05,
        formula=__doc__,
        compute=compute,
        law=law,
        weight=1.0,
        folded=True,
    )
)

"""Share of values outside the frozen grid: below its start, above its end, or infinite.

(under + over + infinite) / (known + infinite). The grid spans the reference's values but for the thin end of a
long tail, whose rate in the reference itself is details.reference_rate.
"""

from __future__ import annotations

from backend.monitoring.profiles import Profile
from backend.monitoring.statistics._core import Result, Statistic, register
from backend.monitoring.statistics._rates import rate_result


def outside(profile: Profile) -> int:
    return int(profile.counts[0] + profile.counts[-1]) + profile.infinite


def compute(reference: Profile, current: Profile) -> Result:
    if not (reference.grid.edges or reference.grid.values):
        reason = "the reference has no usable value in this column"
        return Result(None, reference.known, current.known, reason)
    details = {"low": current.low, "high": current.high, "infinite": current.infinite}
    return rate_result(
        hits=(outside(reference), outside(current)),
        rows=(reference.known + reference.infinite, current.known + current.infinite),
        details=details,
        expected=reference.grid.expected_new if reference.grid.edges else 0.0,
    )


OUT_OF_RANGE_RATE = register(
    Statistic(
        name="out_of_range_rate",
        title="Values outside the reference's range",
        family="quality",
        applies_to=("numeric",),
        unit="share of values",
        floor=0.02,
        formula=__doc__,
        compute=compute,
    )
)

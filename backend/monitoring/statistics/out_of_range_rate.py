"""Share of values outside the frozen grid: below its start, above its end, or infinite.

(under + over + infinite) / (known + infinite). The grid spans the reference's values but for the thin end of a
long tail, whose rate in the reference itself is details.reference_rate. The next of n + 1 rows lies beyond all others
with a chance of 2 / (n + 1): that rate is expected of unchanged data too.
"""

from __future__ import annotations

from backend.monitoring.profiles import Profile
from backend.monitoring.statistics._core import Result, Statistic, register
from backend.monitoring.statistics._rates import rate_law, rate_result

ENDS = 2


def outside(profile: Profile) -> int:
    return int(profile.counts[0] + profile.counts[-1]) + profile.infinite


def is_far(profile: Profile) -> bool:
    """Whether what lies outside lies, on average, further out than the whole range is wide.

    A new season goes a little beyond what the reference saw; a changed unit goes far beyond it.
    """
    grid = profile.grid
    if not grid.edges:
        known = [float(value) for value in grid.values]
        width = max(known) - min(known)
        beyond = [float(end) for end in (profile.low, profile.high) if isinstance(end, int | float)]
        return any(end > max(known) + width or end < min(known) - width for end in beyond)
    first, last = grid.edges[0], grid.edges[-1]
    under, over = int(profile.counts[0]), int(profile.counts[-1])
    return bool(
        (over and profile.over_sum / over > last + (last - first))
        or (under and profile.under_sum / under < first - (last - first))
    )


def compute(reference: Profile, current: Profile) -> Result:
    if not (reference.grid.edges or reference.grid.values):
        reason = "the reference has no usable value in this column"
        return Result(None, reference.known, current.known, reason)
    details = {"low": current.low, "high": current.high, "infinite": current.infinite, "far": is_far(current)}
    return rate_result(
        hits=(outside(reference), outside(current)),
        rows=(reference.known + reference.infinite, current.known + current.infinite),
        details=details,
        expected=min(ENDS / max(reference.known, 1), 1.0),
    )


OUT_OF_RANGE_RATE = register(
    Statistic(
        name="out_of_range_rate",
        title="Values outside the reference's range",
        family="quality",
        applies_to=("numeric",),
        unit="share of rows with a value",
        largest=1.0,
        floor=0.02,
        formula=__doc__,
        compute=compute,
        law=rate_law,
        weight=0.2,
    )
)

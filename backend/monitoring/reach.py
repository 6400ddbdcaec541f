"""Whether a window could be beyond a limit at all: a statistic with a largest value has limits that none exceeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.monitoring.laws import Law
from backend.monitoring.profiles import Profile
from backend.monitoring.statistics import Statistic
from backend.monitoring.thresholds import Limit

UNUSUAL_ALREADY = (
    "the reference's own windows differ from one another as much as they can; "
    "compare with a seasonal or rolling reference"
)
TOO_FEW = "so few rows may differ as much as they can by chance; larger windows would tell"
FEW_USUALLY = (
    "windows of so few rows differ by chance so much that none can stand out; larger windows would tell"
)
CHANCE = 1e-4
"""At least so likely it is that chance alone makes the largest value of quiet windows, which may have other rows."""
BAD_ALREADY = "nearly all rows of the reference are like this, so more of them cannot be told"
LEAST = 0.5
"""A window of one value alone is further than this from any reference of two values and more."""


def why_never(
    statistic: Statistic, limit: Limit, reference: Profile, *, law: Law, known: Sequence[float]
) -> str | None:
    """Why no window could be beyond the limit; None where one could, or where the other side is looked at too.

    law     of the value when nothing changed
    known   the statistic in quiet windows
    """
    if statistic.largest is None or limit.below or limit.value < LEAST * statistic.largest:
        return None
    if limit.value >= statistic.largest:
        if limit.basis == "floor":
            return None if statistic.both_ways else BAD_ALREADY
        return _tell_noise(law, known) if limit.basis == "noise" else TOO_FEW
    if limit.basis == "noise" and limit.value >= largest_among_known(statistic, reference):
        return _tell_noise(law, known)
    return None


def _tell_noise(law: Law, known: Sequence[float]) -> str:
    """Whether it is the few rows of the quiet windows, or what they are of, that sets them so far apart."""
    return FEW_USUALLY if len(known) * law.p(max(known)) >= CHANCE else UNUSUAL_ALREADY


def largest_among_known(statistic: Statistic, reference: Profile) -> float:
    """The largest value without categories that are new, which have statistics of their own.

    Distances of shares are convex, so they are largest where all rows have one value; of those, the rarest.
    """
    largest = statistic.largest if statistic.largest is not None else np.inf
    if statistic.family != "drift" or statistic.measure is None or reference.grid.kind != "categorical":
        return float(largest)
    counts = reference.counts if statistic.fine else reference.compared
    if np.count_nonzero(counts) < 2:
        return float(largest)
    rarest = np.zeros_like(counts)
    rarest[np.where(counts > 0, counts, np.inf).argmin()] = 1
    return min(float(largest), float(statistic.measure(reference.grid, counts, rarest)))

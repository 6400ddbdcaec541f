"""Share of rows without a readable value: null, NaN, unreadable as the declared kind, or the column absent.

(null + nan + invalid) / rows. Infinite values are readable; they count as out of range.
"""

from __future__ import annotations

from backend.monitoring.profiles import Profile
from backend.monitoring.statistics._core import Result, Statistic, register
from backend.monitoring.statistics._rates import rate_law, rate_result


def compute(reference: Profile, current: Profile) -> Result:
    details = {"null": current.null, "nan": current.nan, "invalid": current.invalid, "absent": current.absent}
    return rate_result(
        hits=(reference.missing, current.missing), rows=(reference.rows, current.rows), details=details
    )


MISSING_RATE = register(
    Statistic(
        name="missing_rate",
        title="Missing values",
        family="quality",
        applies_to=("numeric", "categorical"),
        unit="share of rows",
        floor=0.02,
        formula=__doc__,
        compute=compute,
        law=rate_law,
        weight=0.2,
    )
)

"""Share of rows without a readable value: null, NaN, unreadable as the declared kind, or the column absent.

(null + nan + invalid) / rows. Infinite values are readable; they count as out of range.

A rate that falls by more than the floor is a change too (a column that was mostly empty is filled: something else is
done with it now). It has details.direction "fell", its threshold is the rate below which it alarms, and it never pages.
"""

from __future__ import annotations

from backend.monitoring.profiles import Profile
from backend.monitoring.statistics._core import Result, Statistic, register
from backend.monitoring.statistics._rates import either_law, rate_result

FLOOR = 0.02


def _kinds(current: Profile) -> dict[str, int]:
    return {"null": current.null, "nan": current.nan, "invalid": current.invalid, "absent": current.absent}


def compute(reference: Profile, current: Profile) -> Result:
    if reference.rows and reference.absent == reference.rows and current.absent < current.rows:
        reason = "the reference's data do not have this column"
        return Result(None, reference.rows, current.rows, reason)
    before = reference.missing / max(reference.rows, 1)
    now = current.missing / max(current.rows, 1)
    details = {
        "direction": "fell" if now < before - FLOOR else "rose",
        "two_sided": before > FLOOR,
        **_kinds(current),
    }
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
        largest=1.0,
        floor=FLOOR,
        formula=__doc__,
        compute=compute,
        law=either_law,
        both_ways=True,
        weight=0.2,
    )
)

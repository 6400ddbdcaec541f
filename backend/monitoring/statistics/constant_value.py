"""A stuck column: the share of known values in the fullest cell, exactly 1 only when all are one value.

1 when smallest and largest known value are equal, else the fullest cell's share, kept below 1. It alarms at 1
alone, when the reference varies and n equal values in a row are improbable under the reference's share of that
value (details.chance = share ** n).
"""

from __future__ import annotations

import numpy as np

from backend.monitoring.laws import ChanceLaw
from backend.monitoring.nulls import Exchange
from backend.monitoring.profiles import Profile
from backend.monitoring.statistics._core import Result, Statistic, refuse, register

BELOW_ONE = 1 - 1e-9


def compute(reference: Profile, current: Profile) -> Result:
    refused = refuse(reference, current)
    if refused is not None:
        return refused
    cell = int(current.counts.argmax())
    share = float(current.counts[cell]) / current.known
    constant = current.low == current.high
    reference_share = float(reference.counts[cell]) / reference.known
    with np.errstate(under="ignore"):
        chance = float(np.float64(reference_share) ** current.known)
    details = {
        "constant": constant,
        "at": current.low if constant else None,
        "reference_constant": reference.low == reference.high,
        "reference_share": reference_share,
        "chance": chance,
    }
    value = 1.0 if constant else min(share, BELOW_ONE)
    return Result(value, reference.known, current.known, None, details)


def law(exchange: Exchange, result: Result) -> ChanceLaw:
    """Stuck is a surprise where the reference varies and its share of the value makes n in a row improbable."""
    facts = result.details
    usual = facts["reference_constant"] or not facts["constant"]
    return ChanceLaw(1.0, 1.0 if usual else max(float(facts["chance"]), 1e-300))


CONSTANT_VALUE = register(
    Statistic(
        name="constant_value",
        title="Stuck on one value",
        family="quality",
        applies_to=("numeric", "categorical"),
        unit="share of rows with a value",
        floor=1.0,
        formula=__doc__,
        compute=compute,
        law=law,
        weight=0.1,
    )
)

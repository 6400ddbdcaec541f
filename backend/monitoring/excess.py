"""How far stored values are from their limits: `evaluate.excess_of` for many points at once.

A point does not store on which side of its limit it alarms; its verdict tells: an alarm below the limit, and a value
above it that is none, are of a rate that fell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

ALARMS = ("alarm", "page", "ticket", "info")
"""The verdict, or the level that charts put in its place."""


def has_lower_limit(points: pd.DataFrame) -> pd.Series[bool]:
    """Whether values below the limit alarm, (n,), of points with `value`, `threshold` and `verdict` (or its level).

    Only those of data quality can, which `kind` says.
    """
    if "kind" not in points:
        return pd.Series(False, index=points.index)
    value, limit, verdict = points["value"], points["threshold"], points["verdict"]
    alarm = verdict.isin(ALARMS)
    return (
        (points["kind"] == "quality")
        & limit.between(0, 1, inclusive="neither")
        & ((alarm & (value < limit)) | ((verdict == "ok") & (value > limit) & (value <= 1)))
    )


def is_lower_limit(point: Mapping[str, Any]) -> bool:
    """`has_lower_limit` of one point; a frame for each of many costs a page more than everything else on it."""
    value, limit, verdict = point["value"], point["threshold"], point["verdict"]
    if point.get("kind") != "quality" or limit is None or not 0 < limit < 1:
        return False
    return bool(value < limit if verdict in ALARMS else verdict == "ok" and limit < value <= 1)


def measure_excess(points: pd.DataFrame, value: str = "value") -> pd.Series[float]:
    """The column `value` in units of its limit, (n,); of a rate that fell, all other rows in units of their own.

    NaN where there is no limit above 0.
    """
    limit = points["threshold"].where(points["threshold"] > 0)
    plain = points[value] / limit
    return plain.mask(has_lower_limit(points), (1 - points[value]) / (1 - limit))

"""Shares of rows with something wrong, on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.monitoring.nulls import Exchange, RateLaw
from backend.monitoring.statistics._core import Result


def rate_result(
    *, hits: tuple[int, int], rows: tuple[int, int], details: Mapping[str, Any], expected: float = 0.0
) -> Result:
    """The current rate, with the reference's hits and rate in the details that thresholds read.

    hits, rows  (reference, current)
    expected    the rate that unchanged data would show beyond the reference's own
    """
    if rows[0] == 0:
        return Result(None, rows[0], rows[1], "the reference has no usable value in this column")
    if rows[1] == 0:
        return Result(None, rows[0], rows[1], "the window has no usable value in this column")
    reference_rate = hits[0] / rows[0] + expected
    facts = {
        "hits": hits[1],
        "reference_hits": hits[0],
        "reference_rate": reference_rate,
        "expected": expected,
    }
    return Result(hits[1] / rows[1], rows[0], rows[1], None, {**facts, **details})


def rate_law(exchange: Exchange, result: Result) -> RateLaw:
    """The law of a current rate after the reference's hits."""
    facts = result.details
    return RateLaw(
        int(facts["reference_hits"]), result.rows_reference, result.rows_current, float(facts["expected"])
    )

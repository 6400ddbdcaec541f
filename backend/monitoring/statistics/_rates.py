"""Shares of rows with something wrong, on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from backend.monitoring.laws import EitherLaw, Law, RateLaw
from backend.monitoring.nulls import Exchange
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


def either_law(exchange: Exchange, result: Result) -> Law:
    """The law of a rate that may rise or fall; where it is too low to fall by enough to matter, only rise."""
    one = rate_law(exchange, result)
    return EitherLaw(one) if result.details.get("two_sided") else one


def mirror(result: Result) -> Result:
    """The share of all other rows: a rate that falls is one that rises for them."""
    if result.value is None:
        return result
    facts, rows = result.details, result.rows_reference
    mirrored = {
        "hits": result.rows_current - facts["hits"],
        "reference_hits": rows - facts["reference_hits"],
        "reference_rate": 1 - float(facts["reference_rate"]),
    }
    return replace(result, value=1 - result.value, details={**facts, **mirrored})

"""Share of known values that the reference never had.

(rows with a value outside the reference's set) / known rows. Unchanged data bring new values too when the
reference has many rare ones; the rate expected by Good-Turing (values the reference has once, divided by its rows)
is details.expected. Names of new values are in details.values while there are at most 100.
"""

from __future__ import annotations

import dataclasses

from backend.monitoring.laws import Law, RateLaw, fit_law
from backend.monitoring.nulls import Exchange
from backend.monitoring.profiles import Profile
from backend.monitoring.statistics._core import Result, Statistic, register
from backend.monitoring.statistics._rates import rate_law, rate_result


def compute(reference: Profile, current: Profile) -> Result:
    if not reference.grid.complete:
        reason = "the reference has over 50,000 distinct values, so a new one cannot be told from a known one"
        return Result(None, reference.known, current.known, reason)
    unseen = sorted((current.unseen or {}).items(), key=lambda item: (-item[1], item[0]))
    return rate_result(
        hits=(int(reference.counts[-1]), int(current.counts[-1])),
        rows=(reference.known, current.known),
        details={"values": dict(unseen[:10])},
        expected=reference.grid.expected_new,
    )


def law(exchange: Exchange, result: Result) -> Law:
    """Rows with values that a drawn reference lacks, over splits of both sides' rows, value by value.

    So it knows how little a few reference rows tell of the values there are. Half a row is allowed for counts being
    whole numbers.
    """
    if exchange.values is None:
        return rate_law(exchange, result)
    rows = max(result.rows_current, 1)
    if exchange.pool.unseen is None:  # too many to be kept: as often new as the reference's single values say
        once = round(float(result.details["expected"]) * result.rows_reference)
        return RateLaw(once, result.rows_reference, rows)
    drawn = fit_law(exchange.new_rows / rows)
    if drawn.std <= 0:  # no split gives a new value: the reference's rows alone say how rare one is
        return rate_law(exchange, result)
    return dataclasses.replace(drawn, mean=drawn.mean + 0.5 / rows)


UNSEEN_RATE = register(
    Statistic(
        name="unseen_rate",
        title="Values never seen in the reference",
        family="quality",
        applies_to=("categorical",),
        unit="share of rows with a value",
        largest=1.0,
        floor=0.02,
        formula=__doc__,
        compute=compute,
        law=law,
        weight=0.2,
    )
)

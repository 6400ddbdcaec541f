"""A service-level indicator as one source read it; `value` None is *no data*, with the reason, never zero."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

AVAILABILITY, LATENCY_P95, REQUESTS = "availability", "latency_p95", "requests"
UNITS: Final[Mapping[str, str]] = {AVAILABILITY: "share", LATENCY_P95: "ms", REQUESTS: "requests/s"}


@dataclass(frozen=True)
class Indicator:
    """One reading. `events` is how many requests it is about; `window_s` how much time."""

    name: str
    source: str  # prometheus | gateway
    value: float | None
    window_s: int
    events: float | None = None
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def indicators_of(
    *,
    source: str,
    total: float | None,
    bad: float | None,
    latency_s: float | None,
    window_s: int,
    details: Mapping[str, Any] | None = None,
) -> list[Indicator]:
    """The three indicators from what a source counted in `window_s` seconds.

    availability is 1 − bad/total over requests, where a bad one was answered with a 5xx. What a client got wrong
    (4xx) counts as served. 0/0 is no data.
    """
    more = dict(details or {})
    if total is None:
        why = "the model's request counter is not there: it has not been asked yet, or its gateway is not scraped"
        return [Indicator(name, source, None, window_s, None, why, more) for name in UNITS]
    none = "" if total > 0 else "no request in this time"
    seconds = latency_s if latency_s is not None and math.isfinite(latency_s) else None
    return [
        Indicator(
            AVAILABILITY, source, 1 - min((bad or 0.0) / total, 1.0) if total > 0 else None,
            window_s, total, none, more | {"bad": bad or 0.0},
        ),
        Indicator(
            LATENCY_P95, source, seconds * 1000 if seconds is not None and total > 0 else None,
            window_s, total, none or ("" if seconds is not None else "no latency was recorded"), more,
        ),
        Indicator(REQUESTS, source, total / window_s if window_s > 0 else None, window_s, total, "", more),
    ]  # fmt: skip


def quantile_of_buckets(q: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """The q-quantile of a cumulative histogram, as PromQL's `histogram_quantile` computes it for these buckets.

    `buckets` are (upper bound, cumulative count), the last bound +Inf. Linear inside a bucket, from 0 in the first;
    the highest finite bound when the quantile lies above it. None without observations.
    """
    ordered = sorted(buckets)
    if len(ordered) < 2 or not math.isinf(ordered[-1][0]) or ordered[-1][1] <= 0:
        return None
    rank = q * ordered[-1][1]
    below_bound, below_count = 0.0, 0.0
    for bound, count in ordered:
        if count >= rank:
            if math.isinf(bound):
                return ordered[-2][0]
            inside = count - below_count
            share = (rank - below_count) / inside if inside > 0 else 0.0
            return below_bound + (bound - below_bound) * share
        below_bound, below_count = bound, count
    return ordered[-2][0]

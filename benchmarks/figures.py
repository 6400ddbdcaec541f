"""A measured figure: one row of `results.json`."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from backend.clock import now

Figure = dict[str, Any]


def figure(
    name: str,
    value: float | None,
    unit: str,
    *,
    rows: int = 1,
    target: float | None = None,
    more_is_better: bool = False,
    peer: str | None = None,
    peer_value: float | None = None,
    reason: str | None = None,
) -> Figure:
    """`rows` is how much one measurement handled. Without a value, `reason` says why it could not be measured.

    `ratio` is ours divided by the peer's, whatever is better. A target is "at least" or "at
    most". `met` is None without a target or a value.
    """
    met = None
    if value is not None and target is not None:
        met = value >= target if more_is_better else value <= target
    found: Figure = {
        "name": name,
        "value": _rounded(value),
        "unit": unit,
        "peer": peer,
        "peer_value": _rounded(peer_value),
        "ratio": _rounded(value / peer_value) if value is not None and peer_value else None,
        "target": target,
        "met": met,
        "rows": rows,
        "machine": machine(),
        "measured_on": now().date().isoformat(),
    }
    return found if reason is None else {**found, "reason": reason}


def not_measured(name: str, unit: str, reason: str, *, target: float | None = None) -> list[Figure]:
    """The figure that could not be had."""
    return [figure(name, None, unit, rows=0, target=target, reason=reason)]


def percentile(values: Sequence[float], share: float) -> float:
    """Linear between neighbours, as `numpy.quantile` does."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def machine() -> str:
    """Processor, cores, Python, and how busy the machine was in the last minute."""
    load = os.getloadavg()[0]
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}"


@cache
def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            found = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        found = platform.machine()
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}") if abs(value) < 1000 else round(value)

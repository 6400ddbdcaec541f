"""The candidate answers about as fast as the champion and takes about as much memory, on the same rows and machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from backend.governance.gates import Asked, Finding, Gate, Parameters, register

MIB = 1 << 20


class Settings(Parameters):
    WORDS: ClassVar = {
        "latency_ratio": "at most {value} times the time", "memory_ratio": "at most {value} times the memory",
        "ignore_ms": "less than {value} ms more is ignored", "ignore_mib": "less than {value} MiB more is ignored",
        "level": "{percent} interval",
    }  # fmt: skip
    latency_ratio: float = Field(1.5, gt=0)  # candidate over champion, medians of single rows
    memory_ratio: float = Field(2.0, gt=0)  # of what loading and scoring allocate
    ignore_ms: float = Field(1.0, ge=0)  # a difference smaller than this matters to nobody
    ignore_mib: float = Field(50.0, ge=0)
    level: float = Field(0.95, gt=0.5, lt=1)


def check(asked: Asked, settings: Settings) -> Finding:
    pairs = asked.rows
    if pairs is None:
        return Finding("inconclusive", asked.rows_missing)
    before, after = pairs.before.measured, pairs.after.measured
    if pairs.before.version == pairs.after.version:
        return Finding("pass", f"it is version {pairs.after.version} that serves already")
    if len(before.latency_ms) < 10 or not after.memory_bytes or not before.memory_bytes:
        return Finding("inconclusive", "the time of single rows was not measured")
    ratio, low, high, slower_ms = _ratio(before.latency_ms, after.latency_ms, settings.level)
    held = [_peak(side.memory_bytes) + side.loaded_bytes for side in (before, after)]
    heavier = held[1] / max(held[0], 1)
    too_heavy = heavier > settings.memory_ratio and held[1] - held[0] > settings.ignore_mib * MIB
    matters = slower_ms > settings.ignore_ms
    text = (
        f"single rows take {_ms(after.latency_ms)} against {_ms(before.latency_ms)} "
        f"({ratio:.2f} times, {settings.level:.0%} {low:.2f} to {high:.2f}; {settings.latency_ratio:g} is allowed); "
        f"memory {held[1] / MIB:.1f} MiB against {held[0] / MIB:.1f} MiB"
    )
    if (low > settings.latency_ratio and matters) or too_heavy:
        verdict, said = "fail", "it is " + " and ".join(
            word for word, so in (("slower", low > settings.latency_ratio and matters), ("heavier", too_heavy)) if so
        )  # fmt: skip
    elif high <= settings.latency_ratio or not matters:
        verdict, said = "pass", "no slower and no heavier than is allowed"
    else:
        verdict, said = "inconclusive", "it is open whether it is slower than is allowed"
    return Finding(
        verdict, f"{said}: {text}", value=ratio, low=low, high=high, limit=settings.latency_ratio,  # type: ignore[arg-type]
        unit="times the champion's", rows=len(after.latency_ms),
        details={"champion_ms": _median(before.latency_ms), "candidate_ms": _median(after.latency_ms),
                 "champion_bytes": held[0], "candidate_bytes": held[1]},
    )  # fmt: skip


def _ratio(
    before: Sequence[float], after: Sequence[float], level: float
) -> tuple[float, float, float, float]:
    """Ratio of medians, its percentile bootstrap interval over rounds (both versions of a round together), and the
    difference of medians in ms."""
    import numpy as np

    old, new = np.asarray(before), np.asarray(after)
    draws = np.random.default_rng(1).integers(0, len(old), (1000, len(old)))
    ratios = np.median(new[draws], axis=1) / np.median(old[draws], axis=1)
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return (
        float(np.median(new) / np.median(old)), float(low), float(high), float(np.median(new) - np.median(old)),
    )  # fmt: skip


def _ms(samples: Sequence[float]) -> str:
    """The median in milliseconds: two digits, and never as a power of ten."""
    value = _median(samples)
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms"


def _median(values: Sequence[float]) -> float:
    from statistics import median

    return float(median(values))


def _peak(values: Sequence[int]) -> int:
    return int(_median(values))


GATE = register(
    Gate(
        "inference_not_slower",
        "Inference not slower",
        "On the same rows and machine, in turns, the median time of a row and the memory taken are not more than a "
        "multiple of the champion's.",
        Settings,
        check,
        needs="rows",
    )
)

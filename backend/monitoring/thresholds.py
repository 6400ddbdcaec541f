"""Limits that know the sample size and the usual noise, and the sentence a person reads about them.

The limit of a statistic is the largest of

    floor   the practical one: below it a change does not matter, however certain
    null    the value that identical data of this size exceed with the statistic's part of the error
            (`backend.monitoring.verdicts`)
    noise   what the reference's own windows, each held out, show against the rest of it
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from backend.monitoring.laws import RateLaw
from backend.monitoring.profiles import Profile, empty_profile
from backend.monitoring.statistics import Result, Statistic, compute, statistics_for

Verdict = Literal["ok", "alarm", "inconclusive", "no_data"]
Noise = Mapping[tuple[str, str], tuple[float, ...]]
"""{(column, statistic): values of the statistic in quiet windows}."""

WINDOW_ALPHA = 0.05
FEWEST = 5
SMALL = 1e-3
NOTHING = 1e-300  # parts of it have no representation
MOST = 3.0
MASKED = 0.9


@dataclass(frozen=True)
class Limit:
    """A threshold and where it came from; the largest part decides. `noise` is None without quiet windows.

    below   of a rate that falls: values below it alarm, and the smallest part decides
    """

    floor: float
    null: float
    noise: float | None
    alpha: float
    below: bool = False

    @property
    def value(self) -> float:
        return self._parts[self.basis]

    @cached_property
    def basis(self) -> str:
        choose = min if self.below else max
        return choose(self._parts, key=self._parts.__getitem__)

    @cached_property
    def _parts(self) -> dict[str, float]:
        parts = {"floor": self.floor, "null": self.null}
        return parts if self.noise is None else {**parts, "noise": self.noise}

    def mirror(self) -> Limit:
        """The limit of a falling rate, from that of the share of all other rows."""
        noise = None if self.noise is None else 1 - self.noise
        return Limit(1 - self.floor, 1 - self.null, noise, self.alpha, below=not self.below)


@dataclass(frozen=True)
class Decision:
    """A verdict with its limit and one sentence. `reason` says why there is no verdict."""

    verdict: Verdict
    limit: Limit | None
    text: str
    reason: str | None = None

    @property
    def threshold(self) -> float | None:
        return None if self.limit is None else self.limit.value


def rate_limit(
    hits: int, rows_reference: int, rows_current: int, *, alpha: float, expected: float = 0.0
) -> float:
    """The rate that `rows_current` rows exceed with probability `alpha` when the reference had `hits` (`RateLaw`)."""
    return RateLaw(hits, rows_reference, rows_current, expected).quantile(alpha)


@lru_cache(maxsize=8192)
def noise_limit(values: tuple[float, ...], alpha: float = 0.01, *, folded: bool = False) -> float | None:
    """What the next quiet window exceeds with probability `alpha`, from the values of quiet windows in order of time.

    Statistics of quiet windows are skewed, so their logarithms are taken; neighbouring windows resemble each other,
    so as many are counted as independent ones would tell as much: n (1 − r) / (1 + r), r their autocorrelation. The
    limit is Student's prediction bound, at least the largest value but one in a hundred, at most three times the
    largest: beyond that a few windows know nothing.

    A change without its sign (`folded`) is near zero where the change is by chance, and its logarithm then far below
    the others', which says nothing of how large it gets: where the bound from the median and the values above it, half
    as many, is lower, that one counts.
    """
    if not values:
        return None
    x = np.asarray(values, dtype=np.float64)
    top = float(np.quantile(x, 0.99, method="higher"))
    if x.size < FEWEST or x.max() <= NOTHING or np.ptp(x) == 0:
        return top
    y = np.log(x + SMALL * float(x.max()))
    alike = _likeness(y)
    n = _independent(x.size, alike)
    reach = float(y.mean()) + float(stdtrit(n - 1, 1 - alpha)) * float(y.std(ddof=1)) * math.sqrt(1 + 1 / n)
    if folded:
        # Near zero, logarithms hide how alike the others are.
        n = _independent(x.size, max(alike, _likeness(x / float(x.max()))))
        middle = float(np.median(y))
        spread = math.sqrt(float(np.square(np.maximum(y - middle, 0)).sum()) / (y.size / 2))
        # The variance of a median is π / 2 times that of a mean.
        above = float(stdtrit(max(n / 2, 2.0), 1 - alpha)) * spread * math.sqrt(1 + math.pi / 2 / n)
        reach = min(reach, middle + above)
    # Beyond `most` the exponential is cut off anyway.
    bound = math.exp(min(reach, 700.0)) - SMALL * float(x.max())
    return max(top, min(bound, MOST * float(x.max())))


def _likeness(values: npt.NDArray[np.float64]) -> float:
    """The autocorrelation of neighbours, 0 where it is negative or there is none."""
    before, after = values[:-1], values[1:]
    return max(float(np.corrcoef(before, after)[0, 1]), 0.0) if np.ptp(before) and np.ptp(after) else 0.0


def _independent(count: int, alike: float) -> float:
    """How many independent values tell as much, at least three."""
    return max(count * (1 - alike) / (1 + alike), 3.0)


def reference_noise(windows: Sequence[Mapping[str, Profile]], *, min_rows: int = 1) -> Noise:
    """The reference's own noise: each of its sub-windows against the merge of all the others.

    windows   for each sub-window the profiles by column, all on the frozen grids
    Sub-windows with fewer than `min_rows` rows are left out. Leaving the block out keeps the limit from being
    fitted on the data it judges (nannyml #426).
    """
    values: dict[tuple[str, str], tuple[float, ...]] = {}
    for column in windows[0] if windows else ():
        blocks = [profiles[column] for profiles in windows if profiles[column].rows >= min_rows]
        if len(blocks) < 2:
            continue
        grid = blocks[0].grid
        before, after = [empty_profile(grid)], [empty_profile(grid)]
        for block in blocks:
            before.append(before[-1].merge(block))
        for block in reversed(blocks):
            after.append(after[-1].merge(block))
        rests = [before[i].merge(after[len(blocks) - 1 - i]) for i in range(len(blocks))]
        for statistic in statistics_for(grid.kind):
            results = [compute(statistic, rest, block) for rest, block in zip(rests, blocks, strict=True)]
            values[column, statistic.name] = tuple(
                r.value for r in results if r.value is not None and r.rows_current >= min_rows
            )
    return values


def describe(statistic: Statistic, column: str, result: Result, limit: Limit) -> str:
    """`Missing values of dep_delay from 0.2 % to 21.3 % (limit 2.9 %), of 812 rows`."""
    value = result.value if result.value is not None else math.nan
    if statistic.family == "quality":
        rates = [_percent(x) for x in (float(result.details["reference_rate"]), value, limit.value)]
        limited = "lower limit" if limit.below else "limit"
        change = f"from {rates[0]} to {rates[1]} ({limited} {rates[2]})"
        return f"{statistic.title} of {column} {change}, of {result.rows_current:,} {statistic.counted}"
    text = (
        f"{statistic.title} of {column} {value:.3g} (limit {limit.value:.3g}), {result.rows_current:,} rows"
    )
    if result.details.get("outside", 0.0) > MASKED:
        text += (
            f"; {_percent(result.details['outside'])} of it is rows outside the reference's range, beside which this "
            f"distance shows no other change: mean shift and Kolmogorov-Smirnov do"
        )
    if "category" in result.details:
        text += f", most in {result.details['category']!r} ({result.details['change']:+.1%})"
    return text


def describe_constant(column: str, result: Result) -> str:
    """`age is 40.0 in all 812 rows; the reference has it in 3.1 %`."""
    facts = result.details
    if not facts["constant"]:
        return f"{column} varies, {result.rows_current:,} rows"
    words = f"{column} is {facts['at']!r} in all {result.rows_current:,} rows"
    if facts["reference_constant"]:
        return f"{words}; the reference does not vary either"
    return f"{words}; the reference has it in {_percent(float(facts['reference_share']))}"


def _percent(share: float) -> str:
    """With one decimal, as pages have it; only exactly nothing and all have none."""
    return f"{share * 100:.0f} %" if share in (0, 1) else f"{share * 100:.1f} %"

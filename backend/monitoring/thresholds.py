"""When a value is worth a person's time: limits that know the sample size, the looking, and the usual noise.

The limit of a statistic is the largest of

    floor   the practical one: below it a change does not matter, however certain
    null    the value that identical data of this size exceed with probability `alpha`
    noise   what the reference's own sub-windows, and quiet past windows, show against the rest

with alpha = 0.05 / tests (Bonferroni over everything looked at in the window), so that a window of unchanged
data raises anything at all with probability of at most about 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

from backend.monitoring.profiles import Profile, empty_profile
from backend.monitoring.statistics import REGISTRY, Result, Statistic, statistics_for

Verdict = Literal["ok", "alarm", "inconclusive", "no_data"]
Noise = Mapping[tuple[str, str], tuple[float, ...]]
"""{(column, statistic): values of the statistic in quiet windows}."""

WINDOW_ALPHA = 0.05
DRAWS = 200
BUCKET = 1.1
CONSTANT_CHANCE = 1e-6


@dataclass(frozen=True)
class Limit:
    """A threshold and where it came from; the largest part decides. `noise` is None without quiet windows."""

    floor: float
    null: float
    noise: float | None
    alpha: float

    @property
    def value(self) -> float:
        return max(self.floor, self.null, self.noise or 0.0)

    @cached_property
    def basis(self) -> str:
        parts = {"floor": self.floor, "null": self.null, "noise": self.noise or 0.0}
        return max(parts, key=lambda name: parts[name])


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


def decide(
    statistic: Statistic,
    column: str,
    result: Result,
    reference: Profile,
    current: Profile,
    *,
    tests: int,
    min_rows: int,
    noise: Sequence[float] = (),
) -> Decision:
    """Hold one result against its limit.

    tests   how many (column, statistic) pairs are looked at in this window
    noise   values of the same statistic in quiet windows: the reference's own, or past ones
    """
    if current.rows == 0:
        return _without(statistic, column, "no_data", "the window has no rows")
    if result.value is None:
        return _without(statistic, column, "inconclusive", result.reason or "there is no value")
    for rows, side in ((result.rows_current, "the window"), (result.rows_reference, "the reference")):
        if rows < min_rows:
            reason = f"{side} has {rows} usable rows and {min_rows} are needed"
            return _without(statistic, column, "inconclusive", reason)
    alpha = WINDOW_ALPHA / max(tests, 1)
    if statistic.name == "constant_value":
        return _decide_constant(statistic, column, result, noise, alpha)
    limit = find_limit(statistic, result, reference, alpha=alpha, noise=noise)
    fired = result.value > limit.value
    return Decision("alarm" if fired else "ok", limit, describe(statistic, column, result, limit))


def find_limit(
    statistic: Statistic, result: Result, reference: Profile, *, alpha: float, noise: Sequence[float] = ()
) -> Limit:
    """The limit for a result that has a value."""
    rows_r, rows_c = result.rows_reference, result.rows_current
    usual = noise_limit(noise)
    if statistic.family == "quality":
        rate = float(result.details["reference_rate"])
        null = rate_limit(int(result.details["reference_hits"]), rows_r, rows_c,
                          alpha=alpha, expected=float(result.details["expected"]))  # fmt: skip
        # Noise is the rates of quiet windows; a change still has to matter beyond the reference's own rate.
        return Limit(rate + statistic.floor, null, usual, alpha)
    floor = statistic.practical_floor(rows_r, rows_c)
    return Limit(floor, null_limit(statistic, reference, rows_c, alpha=alpha), usual, alpha)


def null_limit(statistic: Statistic, reference: Profile, rows_current: int, *, alpha: float) -> float:
    """The value that `rows_current` rows drawn from the reference itself exceed with probability `alpha`.

    By theory where the statistic offers it, else by a parametric bootstrap: both sides are drawn from the
    reference's shares (the current one with its Good-Turing share of new values), 200 times, and the tail beyond
    the draws is that of the gamma law with their mean and variance.
    """
    rows_reference, rows = _bucket(reference.known), _bucket(rows_current)
    if statistic.null_quantile is not None:
        return statistic.null_quantile(rows_reference, rows, alpha)
    drawn = _null_draws(statistic.name, _Reference(reference), rows_reference, rows)
    scale = statistic.scale(reference) if statistic.scale is not None else 1.0
    return _tail(drawn, alpha) / scale


def rate_limit(
    hits: int, rows_reference: int, rows_current: int, *, alpha: float, expected: float = 0.0
) -> float:
    """The rate that `rows_current` rows exceed with probability `alpha` when the reference had `hits`.

    Beta-binomial predictive law under Jeffreys' prior, by its mean and variance through a gamma law: the
    reference's rate is itself uncertain. `expected` adds the rate of new values that unchanged data bring.
    """
    a, b = hits + 0.5, rows_reference - hits + 0.5
    p = min(a / (a + b) + expected, 1.0)
    mean = rows_current * p
    variance = mean * (1 - p) * (a + b + rows_current) / (a + b + 1)
    if variance <= 0:
        return p
    return float(gammaincinv(mean * mean / variance, 1 - alpha) * variance / mean / rows_current)


def noise_limit(values: Sequence[float]) -> float | None:
    """A high quantile of quiet windows: the larger of the 99th percentile and, from 5 values on, mean + 3 std."""
    if not values:
        return None
    x = np.asarray(values, dtype=np.float64)
    top = float(np.quantile(x, 0.99, method="higher"))
    return top if x.size < 5 else max(top, float(x.mean() + 3 * x.std(ddof=1)))


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
            results = [statistic.compute(rest, block) for rest, block in zip(rests, blocks, strict=True)]
            values[column, statistic.name] = tuple(
                r.value for r in results if r.value is not None and r.rows_current >= min_rows
            )
    return values


def describe(statistic: Statistic, column: str, result: Result, limit: Limit) -> str:
    """`Missing values of dep_delay from 0.2 % to 21 % (limit 2.9 %), 812 rows`."""
    value = result.value if result.value is not None else math.nan
    if statistic.family == "quality":
        rates = [_percent(x) for x in (float(result.details["reference_rate"]), value, limit.value)]
        change = f"from {rates[0]} to {rates[1]} (limit {rates[2]})"
        return f"{statistic.title} of {column} {change}, {result.rows_current:,} rows"
    text = (
        f"{statistic.title} of {column} {value:.3g} (limit {limit.value:.3g}), {result.rows_current:,} rows"
    )
    if "category" in result.details:
        text += f", most in {result.details['category']!r} ({result.details['change']:+.1%})"
    return text


def _decide_constant(
    statistic: Statistic, column: str, result: Result, noise: Sequence[float], alpha: float
) -> Decision:
    facts, text = result.details, describe_constant(column, result)
    limit = Limit(statistic.floor, statistic.floor, None, alpha)
    if not facts["constant"] or facts["reference_constant"]:
        return Decision("ok", limit, text)
    if any(value >= statistic.floor for value in noise):
        return Decision("ok", limit, f"{text}; whole windows of the reference were constant too")
    return Decision("ok" if facts["chance"] > min(CONSTANT_CHANCE, alpha) else "alarm", limit, text)


def describe_constant(column: str, result: Result) -> str:
    """`age is 40.0 in all 812 rows; the reference has it in 3.1 %`."""
    facts = result.details
    if not facts["constant"]:
        return f"{column} varies, {result.rows_current:,} rows"
    words = f"{column} is {facts['at']!r} in all {result.rows_current:,} rows"
    if facts["reference_constant"]:
        return f"{words}; the reference does not vary either"
    return f"{words}; the reference has it in {_percent(float(facts['reference_share']))}"


def _without(statistic: Statistic, column: str, verdict: Verdict, reason: str) -> Decision:
    return Decision(verdict, None, f"{statistic.title} of {column}: {reason}", reason)


class _Reference:
    """A reference profile as a cache key: equal when grid and counts are."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def __hash__(self) -> int:
        return hash(self.profile.fingerprint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reference) and self.profile.fingerprint == other.profile.fingerprint


@lru_cache(maxsize=20_000)
def _null_draws(
    name: str, reference: _Reference, rows_reference: int, rows_current: int
) -> npt.NDArray[np.float64]:
    """Sorted values (200,) of the statistic between two samples of the reference. Same inputs, same draws."""
    statistic, profile = REGISTRY[name], reference.profile
    if statistic.measure is None:
        raise ValueError(f"{name} cannot be resampled: it has no measure on counts")
    counts = profile.counts if statistic.fine else profile.coarse
    p = counts / counts.sum()
    moved = np.zeros_like(p)
    if statistic.fine:
        moved[0] = moved[-1] = profile.grid.expected_new / 2
    else:
        moved[-1] = profile.grid.expected_new
    q = p * (1 - moved.sum()) + moved
    random = np.random.default_rng([*profile.fingerprint[:8], rows_reference, rows_current])
    drawn_r = random.multinomial(rows_reference, p, size=DRAWS)
    drawn_c = random.multinomial(rows_current, q / q.sum(), size=DRAWS)
    values = statistic.measure(profile.grid, drawn_r, drawn_c)
    if statistic.resample_rest is not None:
        values = values + statistic.resample_rest(profile, random, drawn_r, drawn_c)
    return np.sort(values)


def _tail(draws: npt.NDArray[np.float64], alpha: float) -> float:
    mean, variance = float(draws.mean()), float(draws.var(ddof=1))
    if mean <= 0 or variance <= 0:
        return float(draws[-1])
    gamma = float(gammaincinv(mean * mean / variance, 1 - alpha) * variance / mean)
    return max(gamma, float(np.quantile(draws, max(1 - alpha, 0.5))))


def _bucket(rows: int) -> int:
    """Rows rounded down to steps of 10 %: fewer limits to compute, and never one that is too tight."""
    return max(int(BUCKET ** math.floor(math.log(max(rows, 1), BUCKET) + 1e-9)), 1)


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %" if share < 0.1 else f"{share * 100:.0f} %"

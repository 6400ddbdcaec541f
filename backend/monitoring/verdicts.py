"""Verdicts on many columns at once, with one error rate for all that is looked at.

Columns. The false-discovery rate over columns is held at `error` (Benjamini-Hochberg 1995). When no column
changed, the share of comparisons with any alarm is at most `error`; when many changed, each is held to a milder
limit than Bonferroni's: with k of m columns found, every column may err with k · error / m.

Statistics of a column. They look at the same rows, so they share their column's error by weight (weighted
Bonferroni): mean shift, KS and χ² carry power and get most of it, near copies get little.

A statistic alarms when its value is above its threshold: the larger of the practical floor and the value that
exchanged rows exceed with the statistic's part of the error. A threshold that no window can exceed is no threshold:
the verdict is inconclusive (`backend.monitoring.reach`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backend.monitoring.laws import Law
from backend.monitoring.nulls import Exchange
from backend.monitoring.profiles import Profile
from backend.monitoring.reach import FEW_USUALLY, UNUSUAL_ALREADY, why_never
from backend.monitoring.statistics import Result, Statistic, compute, tell_failure
from backend.monitoring.statistics._rates import mirror
from backend.monitoring.thresholds import Decision, Limit, Noise, describe, describe_constant, noise_limit

ERROR = 0.035
MIN_ROWS = 20


@dataclass(frozen=True)
class Finding:
    """One statistic of one column with its verdict. `p` is None where there is none."""

    column: str
    statistic: Statistic
    result: Result
    decision: Decision
    p: float | None = None


@dataclass(frozen=True)
class _Tested:
    """`told` is the result for people, `result` what is judged: of a rate that fell, the share of all other rows."""

    column: str
    statistic: Statistic
    result: Result
    told: Result
    law: Law
    p: float
    floor: float
    share: float
    noise: float | None
    known: tuple[float, ...]
    fell: bool = False

    @property
    def counts(self) -> bool:
        """Whether the change is large enough to matter at all."""
        return self.result.value is not None and self.result.value > self.floor

    def limit(self, alpha: float) -> Limit:
        limit = Limit(_floor(self.statistic, self.result), self.law.quantile(alpha), self.noise, alpha)
        return limit.mirror() if self.fell else limit


def judge_columns(
    pairs: Sequence[tuple[str, Statistic]],
    reference: Mapping[str, Profile],
    current: Mapping[str, Profile],
    *,
    error: float = ERROR,
    min_rows: int = MIN_ROWS,
    noise: Noise | None = None,
) -> list[Finding]:
    """A finding for each (column, statistic), in their order.

    noise   values of the statistics in quiet windows: what is usual is no alarm, however certain
    """
    usual = noise or {}
    columns = max(len({column for column, _ in pairs}), 1)
    exchanges: dict[str, Exchange] = {}
    tested: dict[tuple[str, str], _Tested] = {}
    findings: dict[tuple[str, str], Finding] = {}
    weights: dict[str, float] = {}
    waiting: list[tuple[str, Statistic, Result]] = []
    for column, statistic in pairs:
        result = compute(statistic, reference[column], current[column])
        reason = _why_not(result, current[column], min_rows)
        if reason is None:
            weights[column] = weights.get(column, 0.0) + statistic.weight
            waiting.append((column, statistic, result))
            continue
        verdict = "no_data" if current[column].rows == 0 else "inconclusive"
        text = f"{statistic.title} of {column}: {reason}"
        decision = Decision(verdict, None, text, reason)  # type: ignore[arg-type]
        findings[column, statistic.name] = Finding(column, statistic, result, decision)
    for column, statistic, result in waiting:
        if statistic.law is None or result.value is None:
            raise ValueError(f"{statistic.name} has no law under no change")
        exchange = exchanges.setdefault(column, Exchange(reference[column], current[column]))
        share = statistic.weight / weights[column]
        known = usual.get((column, statistic.name), ())
        # Where quiet windows have had no such row at all, a fall is nothing new.
        fell = statistic.both_ways and result.details["direction"] == "fell" and min(known, default=1) > 0
        judged = mirror(result) if fell else result
        known = tuple(1 - rate for rate in known) if fell else known
        floor = _floor(statistic, judged)
        quiet = _quiet(statistic, known, error / columns)
        if quiet is not None and statistic.family == "quality" and quiet >= 1:
            findings[column, statistic.name] = _usual(column, statistic, result)
            continue
        floor = max(floor, quiet or 0.0)
        try:
            with np.errstate(over="raise", invalid="raise"):
                law = statistic.law(exchange, judged)
                p = law.p(judged.value or 0.0)
        except ArithmeticError as failed:
            findings[column, statistic.name] = _unspoken(column, statistic, result, failed)
            continue
        tested[column, statistic.name] = _Tested(
            column, statistic, judged, result, law, p, floor, share, quiet, tuple(known), fell
        )
    allowed = _column_error(list(tested.values()), error)
    for key, test in tested.items():
        alpha = allowed * test.share
        try:
            with np.errstate(over="raise", invalid="raise"):
                limit = test.limit(alpha)
                fired = test.counts and test.p <= alpha
                never = why_never(
                    test.statistic, limit, reference[test.column], law=test.law, known=test.known
                )
        except ArithmeticError as failed:
            findings[key] = _unspoken(test.column, test.statistic, test.told, failed)
            continue
        if never is not None and not fired:
            findings[key] = _never(test.column, test.statistic, test.told, never)
            continue
        text = (
            describe_constant(test.column, test.told)
            if test.statistic.name == "constant_value"
            else describe(test.statistic, test.column, test.told, limit)
        )
        decision = Decision("alarm" if fired else "ok", limit, text)
        findings[key] = Finding(test.column, test.statistic, test.told, decision, test.p)
    for found, reason in _only_without_end(findings.values()):
        why = f"{reason}; {found.statistic.title}, which has no largest value, is within its limit"
        findings[found.column, found.statistic.name] = _never(
            found.column, found.statistic, found.result, why
        )
    return [findings[column, statistic.name] for column, statistic in pairs]


def _only_without_end(findings: Iterable[Finding]) -> list[tuple[Finding, str]]:
    """The quiet drift statistics without a largest value, where no other one of their column could alarm; and why."""
    drift = [found for found in findings if found.statistic.family == "drift"]
    reasons: dict[str, set[str | None]] = {}
    for found in drift:
        if found.statistic.largest is not None:
            reasons.setdefault(found.column, set()).add(found.decision.reason)
    never = {
        column: UNUSUAL_ALREADY if UNUSUAL_ALREADY in told else FEW_USUALLY
        for column, told in reasons.items()
        if told <= {UNUSUAL_ALREADY, FEW_USUALLY}
    }
    return [
        (found, never[found.column])
        for found in drift
        if found.column in never and found.statistic.largest is None and found.decision.verdict == "ok"
    ]


def _never(column: str, statistic: Statistic, result: Result, reason: str) -> Finding:
    text = f"{statistic.title} of {column}: {reason}"
    return Finding(column, statistic, result, Decision("inconclusive", None, text, reason))


def _unspoken(column: str, statistic: Statistic, result: Result, failed: ArithmeticError) -> Finding:
    return _never(column, statistic, result, tell_failure(failed))


def _column_error(tested: Sequence[_Tested], error: float) -> float:
    """The error that each column may make: k · error / m for the largest k with k columns below it."""
    lowest: dict[str, float] = {}
    for test in tested:
        # A change too small to matter is no discovery, however certain.
        p = min(test.p / test.share, 1.0) if test.counts else 1.0
        lowest[test.column] = min(lowest.get(test.column, 1.0), p)
    ordered = sorted(lowest.values())
    m = max(len(ordered), 1)
    found = max((k for k, p in enumerate(ordered, 1) if p <= k * error / m), default=1)
    return found * error / m


def _floor(statistic: Statistic, result: Result) -> float:
    if statistic.name == "constant_value":
        return 1 - 1e-10  # it counts at exactly 1, and values below 1 stay further away
    if statistic.family == "quality":
        return float(result.details["reference_rate"]) + statistic.floor
    return statistic.practical_floor(result.rows_reference, result.rows_current)


def _quiet(statistic: Statistic, known: Sequence[float], alpha: float) -> float | None:
    """What quiet windows allow. A rate stays below 1 unless they reach it: at most halfway there from theirs."""
    if not known:
        return None
    highest = max(known)
    if statistic.name == "constant_value":
        return 1.0 if highest >= statistic.floor else None
    limit = noise_limit(tuple(known), alpha, folded=statistic.folded)
    return limit if statistic.family != "quality" or limit is None else min(limit, (1 + highest) / 2)


def _usual(column: str, statistic: Statistic, result: Result) -> Finding:
    """A check that no window can fail, because quiet windows of the reference reach its end."""
    return _never(
        column, statistic, result, "whole windows of the reference show the same, so this cannot be judged"
    )


def _why_not(result: Result, current: Profile, min_rows: int) -> str | None:
    if current.rows == 0:
        return "the window has no rows"
    if result.value is None:
        return result.reason or "there is no value"
    for rows, side in ((result.rows_current, "window"), (result.rows_reference, "reference")):
        if rows < min_rows:
            return f"the {side} has {rows} usable rows and {min_rows} are needed"
    return None

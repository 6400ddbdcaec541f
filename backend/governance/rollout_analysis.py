"""What was seen of a candidate while it was tried, beside the champion at the same time, and what follows from it.

Counts come from the gateways' tallies: of the candidate, and of the champion while exactly this stage was open; both on
rows of the segments alone that the candidate is kept to. An A/B rollout is decided by a metric over labelled rows with
a test that may be looked at as often as one likes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import select

from backend.database.session import ReadSession
from backend.deployment.tables import ServingTally
from backend.governance.policy_rules import AB_METRICS, Analysis, Rollout
from backend.monitoring.performance import wilson

Verdict = Literal["success", "failure", "inconclusive"]

# Half the width that the A/B test is sharpest for, in standard deviations of the difference of one row.
AB_SCALE: Final = 0.1
FEWEST_PER_ARM: Final = 30
# Metrics of which a row has a value from 0 to 1: few rows may all have the same, and then vary all the same.
WITHIN_ONE: Final = ("accuracy", "brier")
_NOT_BESIDE: Final = "no champion scored requests beside it"


@dataclass(frozen=True)
class Counted:
    """What the gateways counted of one version. Latency in seconds, of the model's pass; None: nothing to tell by."""

    rows: int = 0
    failed: int = 0
    p95_s: float | None = None
    mean_score: float | None = None

    @property
    def error_share(self) -> float | None:
        return self.failed / self.rows if self.rows else None


@dataclass(frozen=True)
class Arm:
    """The metric of one version's labelled rows. `variance` of one row."""

    rows: int
    mean: float
    variance: float


@dataclass(frozen=True)
class Comparison:
    """Of an A/B metric. `better` is the challenger's mean less the champion's, so turned that more is better."""

    metric: str
    challenger: Arm
    champion: Arm
    better: float
    p_value: float


@dataclass(frozen=True)
class Seen:
    """What was measured, and what it says. No verdict: the stage goes on."""

    candidate: Counted
    champion: Counted | None
    comparison: Comparison | None = None
    verdict: Verdict | None = None
    why: str = ""
    unjudged: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Plain data: what is stored with the step."""
        plain = {key: value for key, value in asdict(self).items() if key not in ("verdict", "unjudged")}
        for name, counted in (("candidate", self.candidate), ("champion", self.champion)):
            if counted is not None:
                plain[name]["error_share"] = counted.error_share
        return plain | {"unjudged": list(self.unjudged)}


def counted(session: ReadSession, deployment_id: int, tried: int) -> Counted:
    """What all gateways counted of a deployment while `tried` was on trial."""
    from backend.serving.tallies import seconds_of

    found = session.scalars(
        select(ServingTally).where(ServingTally.deployment_id == deployment_id, ServingTally.tried == tried)
    ).all()
    buckets: Counter[int] = Counter()
    for one in found:
        buckets.update({int(bucket): rows for bucket, rows in one.buckets.items()})
    scored = sum(one.scored for one in found)
    return Counted(
        rows=sum(one.rows for one in found),
        failed=sum(one.failed for one in found),
        p95_s=_quantile(buckets, 0.95, seconds_of),
        mean_score=sum(one.score_sum for one in found) / scored if scored else None,
    )


def _quantile(buckets: Counter[int], share: float, edge: Callable[[int], float]) -> float | None:
    total, below = sum(buckets.values()), 0
    for bucket in sorted(buckets):
        below += buckets[bucket]
        if below >= share * total:
            return edge(bucket)
    return None


def judge(
    rule: Rollout,
    candidate: Counted,
    champion: Counted | None,
    *,
    baked: bool,
    longest: bool = False,
    comparison: Comparison | None = None,
    compared: bool = False,
) -> Seen:
    """What the numbers say under a rule.

    `baked`: the stage has been watched as long as it should be; `longest`: as long as it may be; `compared`: a metric
    decides (A/B). Before a stage is baked only failed requests end it, and only where the share is above the bound
    beyond doubt (Wilson's lower bound, 95 %). A `champion` that answered too few requests at the same time says nothing
    of latency and scores, and an unknown is no success; None: there is none to be beside, and that is said.
    """
    limits = rule.analysis

    def seen(verdict: Verdict | None, why: str, unjudged: Sequence[str] = ()) -> Seen:
        return Seen(candidate, champion, comparison, verdict, why, tuple(unjudged))

    share = candidate.error_share
    if share is not None and candidate.rows >= limits.minimum_requests and share > limits.error_rate:
        beyond_doubt = wilson(candidate.failed, candidate.rows)[0] > limits.error_rate
        if baked or beyond_doubt:
            return seen(
                "failure",
                f"{candidate.failed:,} of {candidate.rows:,} requests failed ({share:.1%}); at most "
                f"{limits.error_rate:.1%} may",
            )
    if not baked:
        return seen(None, "")
    if candidate.rows < limits.minimum_requests:
        return seen(
            "inconclusive",
            f"it saw {candidate.rows:,} requests; {limits.minimum_requests:,} are needed to judge it",
        )
    if champion is not None and champion.rows < limits.minimum_requests:
        return seen(
            "inconclusive",
            f"the champion answered {champion.rows:,} requests at the same time; {limits.minimum_requests:,} are "
            "needed to compare latency and scores",
        )
    slow, unjudged = _slow(limits, candidate, champion)
    if slow:
        return seen("failure", slow, unjudged)
    if compared:
        return _decided(rule, seen, comparison, longest)
    shifted, more = _shifted(limits, candidate, champion)
    if shifted:
        return seen("failure", shifted, [*unjudged, *more])
    unjudged = [*unjudged, *more]
    told = f"{candidate.rows:,} requests within all bounds"
    return seen("success", f"{told}; not judged: {'; '.join(unjudged)}" if unjudged else told, unjudged)


def _slow(limits: Analysis, candidate: Counted, champion: Counted | None) -> tuple[str, list[str]]:
    if champion is None or not champion.p95_s:
        return "", [f"latency: {_NOT_BESIDE}"]
    ratio = (candidate.p95_s or 0.0) / champion.p95_s
    if ratio > limits.latency_ratio:
        return (
            f"its p95 of {(candidate.p95_s or 0) * 1e3:.1f} ms is {ratio:.1f} times the champion's "
            f"{champion.p95_s * 1e3:.1f} ms; at most {limits.latency_ratio:g} times is allowed"
        ), []
    return "", []


def _shifted(limits: Analysis, candidate: Counted, champion: Counted | None) -> tuple[str, list[str]]:
    if candidate.mean_score is None:
        return "", ["scores: this model gives none"]
    if champion is None or champion.mean_score is None:
        return "", [f"scores: {_NOT_BESIDE}"]
    shift = abs(candidate.mean_score - champion.mean_score)
    if shift > limits.score_shift:
        return (
            f"its mean score is {candidate.mean_score:.3f}, the champion's {champion.mean_score:.3f}; they may "
            f"differ by {limits.score_shift:g}"
        ), []
    return "", []


def _decided(rule: Rollout, seen: Callable[..., Seen], comparison: Comparison | None, longest: bool) -> Seen:
    if comparison is None:
        words = f"too few labelled rows to compare {rule.metric} by"
        return seen("inconclusive" if longest else None, words)
    arms = (
        f"{rule.metric} {comparison.challenger.mean:.4f} on {comparison.challenger.rows:,} rows against "
        f"{comparison.champion.mean:.4f} on {comparison.champion.rows:,}, p = {comparison.p_value:.3g}"
    )
    if comparison.p_value < rule.significance:
        return seen("success" if comparison.better > 0 else "failure", arms)
    return seen("inconclusive", f"undecided after the longest time: {arms}") if longest else seen(None, arms)


def compare(metric: str, challenger: Arm, champion: Arm) -> Comparison | None:
    """An always-valid comparison of two means; None while one of them has too few rows.

    The mixture sequential probability ratio test with a normal mixture of variance τ² (Johari, Pekelis, Walsh: Always
    Valid Inference, 2015, eq. 9): with V = s₁²/n₁ + s₂²/n₂ and difference d,
    Λ = sqrt(V / (V + τ²)) · exp(τ² d² / (2 V (V + τ²))), p = min(1, 1/Λ). Stopping whenever p falls below α errs with
    probability at most α, however often one looks. τ is `AB_SCALE` standard deviations of one row.

    That holds where the variances are known. Thirty rows without an error vary by nothing, and chance brings them
    often: so no arm varies by less than both together, nor by less than with one row more at each end of the metric.
    """
    if min(challenger.rows, champion.rows) < FEWEST_PER_ARM:
        return None
    better = (challenger.mean - champion.mean) * (1 if AB_METRICS[metric] == "more" else -1)
    own = [_variance(metric, arm) for arm in (challenger, champion)]
    freedom = (challenger.rows - 1, champion.rows - 1)
    pooled = (freedom[0] * own[0] + freedom[1] * own[1]) / sum(freedom)
    variances = [max(one, pooled) for one in own]
    spread = variances[0] / challenger.rows + variances[1] / champion.rows
    if spread <= 0:
        return Comparison(metric, challenger, champion, better, 0.0 if better else 1.0)
    mixture = AB_SCALE**2 * sum(variances)
    log_ratio = 0.5 * math.log(spread / (spread + mixture)) + mixture * better**2 / (
        2 * spread * (spread + mixture)
    )
    return Comparison(metric, challenger, champion, better, min(1.0, math.exp(-log_ratio)))


def _variance(metric: str, arm: Arm) -> float:
    """Of one row; of a metric from 0 to 1 that of the arm with two rows more, a 0 and a 1."""
    if metric not in WITHIN_ONE:
        return arm.variance
    squares = arm.variance * (arm.rows - 1) + arm.rows * arm.mean**2 + 1
    mean = (arm.rows * arm.mean + 1) / (arm.rows + 2)
    return (squares - (arm.rows + 2) * mean**2) / (arm.rows + 1)

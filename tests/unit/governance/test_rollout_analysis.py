"""Which stages a rollout has, and what the numbers of one say."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from backend.governance.policy_rules import Analysis, Rollout
from backend.governance.rollout_analysis import Arm, Counted, compare, judge
from backend.governance.rollout_plan import stages_of
from backend.monitoring.performance import wilson
from backend.serving.tallies import bucket_of, seconds_of

CANARY = Rollout(strategy="canary", steps=(0.1, 1), bake_s=60)
AB = Rollout(strategy="ab", steps=(0.5,), bake_s=60, metric="accuracy")
CHAMPION = Counted(rows=1000, failed=0, p95_s=0.010, mean_score=0.4)


@pytest.mark.parametrize(
    "rule, expected",
    [
        ({"strategy": "all_at_once"}, [("champion", 1.0, 0)]),
        ({"strategy": "all_at_once", "bake_s": 9}, [("champion", 1.0, 9)]),
        (
            {"strategy": "canary", "steps": [0.05, 0.5, 1], "bake_s": 9},
            [("canary", 0.05, 9), ("canary", 0.5, 9), ("champion", 1.0, 9)],
        ),
        ({"strategy": "shadow_first", "bake_s": 9}, [("shadow", 0.0, 9), ("champion", 1.0, 0)]),
        ({"strategy": "blue_green", "bake_s": 9}, [("canary", 0.0, 0), ("champion", 1.0, 9)]),
        (
            {"strategy": "ab", "steps": [0.5], "bake_s": 9, "metric": "brier"},
            [("canary", 0.5, 9), ("champion", 1.0, 0)],
        ),
        (
            {"strategy": "canary", "steps": [0.5, 1], "bake_s": 9, "segments": {"carrier": ["AA"]}},
            [("canary", 0.5, 9), ("canary", 1.0, 9), ("champion", 1.0, 9)],
        ),
    ],
)
def test_each_strategy_has_its_stages(rule: dict[str, Any], expected: list[tuple[str, float, float]]) -> None:
    found = stages_of(rule, replaces=True)
    assert [(one.role, one.share, one.bake_s) for one in found] == expected
    assert [one.number for one in found] == list(range(1, len(found) + 1))


def test_failures_are_held_against_the_interval_that_metrics_have() -> None:
    rule = Rollout(strategy="canary", steps=(0.1, 1), bake_s=60, analysis=Analysis(error_rate=0.02))
    for rows in range(100, 140):
        for failed in range(12):
            verdict = "failure" if wilson(failed, rows)[0] > 0.02 else None
            assert judge(rule, Counted(rows, failed, 0.01, 0.4), CHAMPION, baked=False).verdict == verdict


def test_where_nothing_serves_there_is_nothing_to_be_beside() -> None:
    (only,) = stages_of({"strategy": "canary", "steps": [0.5, 1], "bake_s": 9}, replaces=False)
    assert (only.role, only.bake_s) == ("champion", 9)


@pytest.mark.parametrize(
    "candidate, champion, baked, verdict, why",
    [
        (Counted(1000, 0, 0.010, 0.4), CHAMPION, True, "success", "1,000 requests"),
        (Counted(1000, 0, 0.010, 0.4), CHAMPION, False, None, ""),
        (Counted(99, 0, 0.010, 0.4), CHAMPION, True, "inconclusive", "99 requests; 100 are needed"),
        (Counted(100, 3, 0.010, 0.4), CHAMPION, True, "failure", "3 of 100 requests failed"),
        (Counted(100, 3, 0.010, 0.4), CHAMPION, False, None, ""),  # it may be chance: wait
        (Counted(100, 20, 0.010, 0.4), CHAMPION, False, "failure", "20 of 100"),
        (Counted(99, 99, None, None), CHAMPION, False, None, ""),
        (Counted(1000, 0, 0.021, 0.4), CHAMPION, True, "failure", "2.1 times the champion's"),
        (Counted(1000, 0, 0.010, 0.51), CHAMPION, True, "failure", "mean score is 0.510"),
        (
            Counted(1000, 0, 0.010, 0.9),
            Counted(50, 0, 0.010, 0.4),
            True,
            "inconclusive",
            "champion answered 50",
        ),
        (Counted(1000, 500, 0.010, 0.4), Counted(50, 0, 0.010, 0.4), True, "failure", "500 of 1,000"),
        (Counted(1000, 0, 0.010, None), CHAMPION, True, "success", "1,000"),
    ],
)
def test_a_stage_is_judged_by_its_numbers(
    candidate: Counted, champion: Counted, baked: bool, verdict: str | None, why: str
) -> None:
    seen = judge(CANARY, candidate, champion, baked=baked)
    assert seen.verdict == verdict
    assert why in seen.why


def test_what_could_not_be_judged_is_said() -> None:
    seen = judge(CANARY, Counted(1000, 0, 0.01, 0.4), None, baked=True)
    assert seen.verdict == "success"
    assert [one.split(":")[0] for one in seen.unjudged] == ["latency", "scores"]
    assert seen.why == (
        "1,000 requests within all bounds; not judged: latency: no champion scored requests beside it; "
        "scores: no champion scored requests beside it"
    )


def arm(values: Any) -> Arm:
    return Arm(len(values), float(np.mean(values)), float(np.var(values, ddof=1)))


@pytest.mark.parametrize(
    "better, longest, verdict",
    [(0.2, False, "success"), (-0.2, False, "failure"), (0.0, False, None), (0.0, True, "inconclusive")],
)
def test_an_ab_rollout_is_decided_by_its_metric(better: float, longest: bool, verdict: str | None) -> None:
    comparison = compare("accuracy", Arm(2000, 0.6 + better, 0.2), Arm(2000, 0.6, 0.24))
    candidate = Counted(2000, 0, 0.010, 0.9)  # other scores are what is tried
    seen = judge(AB, candidate, CHAMPION, baked=True, longest=longest, comparison=comparison, compared=True)
    assert seen.verdict == verdict


def test_less_of_an_error_is_better() -> None:
    found = compare("brier", Arm(500, 0.1, 0.01), Arm(500, 0.2, 0.01))
    assert found is not None and found.better == pytest.approx(0.1)


def test_too_few_labelled_rows_decide_nothing() -> None:
    assert compare("accuracy", Arm(29, 1.0, 0.0), Arm(5000, 0.5, 0.25)) is None


def test_looking_after_every_batch_errs_no_oftener_than_it_says() -> None:
    """Two equal versions, looked at 60 times: an ordinary test would call a difference in about a third of runs."""
    draw, called, runs = np.random.default_rng(7), 0, 200
    for _ in range(runs):
        left, right = (draw.random((60, 50)) < 0.7 for _ in range(2))
        for seen in range(1, 61):
            found = compare("accuracy", arm(left[:seen].ravel()), arm(right[:seen].ravel()))
            if found is not None and found.p_value < 0.05:
                called += 1
                break
    assert called / runs <= 0.05


@pytest.mark.parametrize("metric, share_of_errors", [("accuracy", 0.05), ("accuracy", 0.01), ("brier", 0.01)])
def test_a_small_arm_without_an_error_yet_is_not_better(metric: str, share_of_errors: float) -> None:
    """Two equal versions that seldom err, a twentieth of the rows to the challenger: by the variance of its own thirty
    rows, which is nothing, the challenger won every third run, or every second."""
    draw, called, runs = np.random.default_rng(11), 0, 60
    for _ in range(runs):
        few, many = (draw.random(size) < share_of_errors for size in (300, 5700))
        small, large = (errs * 0.98 + 1e-4 if metric == "brier" else 1.0 - errs for errs in (few, many))
        for seen in range(6, 61):
            found = compare(metric, arm(small[: 5 * seen]), arm(large[: 95 * seen]))
            if found is not None and found.p_value < 0.05:
                called += 1
                break
    assert called / runs <= 0.05


def test_thirty_rows_without_an_error_win_against_many_errors_alone() -> None:
    faultless = Arm(30, 1.0, 0.0)
    equal, worse = (
        compare("accuracy", faultless, Arm(1000, mean, mean * (1 - mean))) for mean in (0.95, 0.4)
    )
    assert equal is not None and equal.p_value > 0.5
    assert worse is not None and worse.p_value < 0.001


def test_a_real_difference_is_found() -> None:
    draw = np.random.default_rng(8)
    left, right = draw.random(8000) < 0.75, draw.random(8000) < 0.70
    found = compare("accuracy", arm(left), arm(right))
    assert found is not None and found.p_value < 0.05 and found.better > 0


def test_a_latency_is_known_within_a_fifth() -> None:
    for seconds in (0.0001, 0.0013, 0.02, 0.7, 9.0):
        assert seconds <= seconds_of(bucket_of(seconds)) <= seconds * 1.2
    assert bucket_of(0.0) == 0
    edges = [seconds_of(bucket) for bucket in range(40)]
    assert all(low < high for low, high in itertools.pairwise(edges))
    assert Counter(bucket_of(edge) for edge in edges[1:]).most_common(1)[0][1] <= 2

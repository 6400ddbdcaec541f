"""When comparing gates pass, fail or cannot tell, from rows that were scored: no model, no database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from backend.controls.queries.answers import utc
from backend.errors import BadInput
from backend.governance.gates import Asked, Finding, check_gate_rule, evaluate
from backend.governance.pairs import Answers, Measured, PairedRows
from backend.governance.policy_rules import GateRule
from backend.governance.stored_points import in_words
from tests.unit.governance.test_pairs import binary, regression, spec_of


def asked(gate: str, pairs: PairedRows | None, task: str = "binary", **parameters: Any) -> Finding:
    nothing: Any = None
    about = Asked(
        session=nothing, model=nothing, spec=spec_of(task), environment="production", before=None, before_cutoff=0.5,
        after=nothing, after_cutoff=0.5, rows=pairs, rows_missing="nothing serves",
    )  # fmt: skip
    return evaluate(GateRule(gate=gate, parameters=parameters), about).finding


def test_windows_and_times_in_texts_of_the_record_have_seconds() -> None:
    start, end = datetime(2026, 3, 3, tzinfo=UTC), datetime(2026, 3, 4, 1, 2, 3, tzinfo=UTC)
    assert in_words(start, end) == "2026-03-03 00:00:00 UTC to 2026-03-04 01:02:03 UTC"
    assert utc(end) == "2026-03-04 01:02:03 UTC"


def swapped(pairs: PairedRows) -> PairedRows:
    return replace(pairs, before=pairs.after, after=pairs.before)


@pytest.mark.parametrize(
    ("task", "pairs", "metric", "margin"),
    [
        ("binary", binary(3000, noise=(0.1, 0.8)), "roc_auc", 0.02),
        ("binary", binary(3000, noise=(0.1, 0.8)), "brier", 0.01),
        ("binary", binary(3000, noise=(0.1, 0.8)), "log_loss", 0.01),
        ("regression", regression(1500, (1.0, 9.0)), "mae", 0.5),
    ],
)
def test_worse_beyond_the_margin_fails_and_the_other_way_round_passes(
    task: str, pairs: PairedRows, metric: str, margin: float
) -> None:
    worse = asked("metric_not_worse", pairs, task, metric=metric, margin=margin)
    assert worse.verdict == "fail", worse.text
    better = asked("metric_not_worse", swapped(pairs), task, metric=metric, margin=margin)
    assert better.verdict == "pass", better.text
    assert worse.limit is not None and worse.value is not None and better.value is not None
    assert abs(worse.value) > abs(worse.limit)
    assert np.sign(worse.value) == -np.sign(better.value) == np.sign(worse.limit)


def test_an_interval_across_the_margin_cannot_tell() -> None:
    pairs = binary(600, noise=(0.3, 0.3))
    found = asked("metric_not_worse", pairs, margin=0.0)
    assert found.verdict == "inconclusive"
    assert "it is open" in found.text


def test_too_few_labels_cannot_tell_and_say_which_rows() -> None:
    found = asked("metric_not_worse", binary(2000, unknown=0.9))
    assert found.verdict == "inconclusive"
    assert "500 are needed" in found.text
    assert "live rows of 2026-03-01 00:00:00 UTC" in found.text


def test_without_rows_nothing_passes() -> None:
    for gate in ("metric_not_worse", "inference_not_slower"):
        assert (asked(gate, None).verdict, asked(gate, None).text) == ("inconclusive", "nothing serves")


def test_a_metric_of_another_task_cannot_tell_and_an_unknown_one_is_refused_with_the_policy() -> None:
    found = asked("metric_not_worse", binary(900), metric="mae")
    assert (found.verdict, "cannot be compared for a binary model" in found.text) == ("inconclusive", True)
    with pytest.raises(BadInput, match="'acuracy' cannot be compared"):
        check_gate_rule(GateRule(gate="metric_not_worse", parameters={"metric": "acuracy"}), where="a")


def measured(milliseconds: float, *, spread: float = 0.05, mib: float = 5, seed: int = 1) -> Measured:
    draw = np.random.default_rng(seed)
    times = tuple(float(one) for one in milliseconds * np.exp(draw.normal(0, spread, 40)))
    return Measured(times, (int(mib * 2**20),) * 3, 2**20)


def timed(before: Measured, after: Measured) -> PairedRows:
    pairs = binary(50)
    return replace(
        pairs, before=replace(pairs.before, measured=before), after=replace(pairs.after, measured=after)
    )


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (measured(10), measured(10, seed=2), "pass"),
        (measured(10), measured(30), "fail"),
        (measured(10), measured(15, spread=0.5, seed=4), "inconclusive"),
        (measured(0.2), measured(0.6), "pass"),  # three times, and nobody notices
        (measured(10), measured(10, mib=500), "fail"),
        (measured(10, mib=1), measured(10, mib=20), "pass"),  # many times, of next to nothing
        (Measured(), Measured(), "inconclusive"),
    ],
)
def test_speed_and_memory_are_held_against_the_champions(
    before: Measured, after: Measured, verdict: str
) -> None:
    found = asked("inference_not_slower", timed(before, after))
    assert found.verdict == verdict, found.text


def test_the_same_version_is_not_slower_than_itself() -> None:
    pairs = binary(50)
    same = replace(pairs, after=Answers(1, 0.7, pairs.before.score, pairs.before.prediction))
    assert asked("inference_not_slower", same).verdict == "pass"

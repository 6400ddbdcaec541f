"""Labels that have come for a window not yet judged, beside what was estimated of it."""

from __future__ import annotations

from app.components.performance_parts import _speaks_against

CAME = {"statistic": "roc_auc", "value": 0.617, "low": 0.58, "high": 0.65, "threshold": float("nan")}


def test_labels_contradict_the_estimate_and_are_not_doubted_for_it() -> None:
    guess = {"value": 0.858, "threshold": float("nan"), "verdict": "ok"}
    assert _speaks_against(CAME, guess) == "contradict the estimate 0.858"


def test_an_estimate_that_is_not_to_be_trusted_is_nothing_to_hold_labels_against() -> None:
    guess = {"value": 0.858, "threshold": float("nan"), "verdict": "inconclusive"}
    assert _speaks_against(CAME, guess) == ""
    assert _speaks_against(CAME | {"threshold": 0.69}, guess) == "beyond the limit 0.690"

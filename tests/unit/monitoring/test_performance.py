import math
from typing import Any

import numpy as np
import pytest

from backend.errors import BadInput
from backend.monitoring.performance import METRICS, Performance, measure_performance


def scored(rows: int, seed: int, *, skill: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated scores and labels; with less skill the label follows the score less."""
    random = np.random.default_rng(seed)
    logit = random.normal(-0.5, 1.5, rows)
    score = 1 / (1 + np.exp(-logit))
    label = (random.random(rows) < 1 / (1 + np.exp(-skill * logit))).astype(float)
    return score, label


def performance(rows: int, seed: int, *, skill: float = 1.0) -> Performance:
    score, label = scored(rows, seed, skill=skill)
    return measure_performance(score, None, label)


def test_each_metric_equals_scikit_learn() -> None:
    from sklearn import metrics as peer

    score, label = scored(3000, 0)
    score = np.round(score, 2)  # ties
    hat = (score >= 0.5).astype(int)
    found = measure_performance(score, None, label).metrics
    expected = {
        "roc_auc": peer.roc_auc_score(label, score),
        "log_loss": peer.log_loss(label, np.clip(score, 1e-15, 1 - 1e-15)),
        "brier": peer.brier_score_loss(label, score),
        "accuracy": peer.accuracy_score(label, hat),
        "precision": peer.precision_score(label, hat),
        "recall": peer.recall_score(label, hat),
        "f1": peer.f1_score(label, hat),
    }
    assert tuple(found) == METRICS
    for name, exact in expected.items():
        assert found[name].value == pytest.approx(exact, abs=1e-12), name


def test_intervals_hold_the_value_and_cover_the_truth_about_95_times_in_100() -> None:
    windows = [performance(400, seed) for seed in range(200)]
    truth = performance(200_000, 10_000)
    for name in ("roc_auc", "accuracy", "f1", "brier", "log_loss", "precision", "recall"):
        found = [w.metrics[name] for w in windows]
        assert all((m.low or 0) <= (m.value or 0) <= (m.high or 0) for m in found)
        exact = truth.metrics[name].value or 0
        covered = np.mean([(m.low or 0) <= exact <= (m.high or 0) for m in found])
        assert 0.9 <= covered <= 0.99, name


def test_one_class_leaves_the_curve_undefined_with_the_reason() -> None:
    found = measure_performance([0.2, 0.9, 0.7], None, [0, 0, 0]).metrics
    assert found["roc_auc"].value is None
    assert "all 3 labels are negative" in str(found["roc_auc"].reason)
    assert found["recall"].reason == "no label is positive"
    assert found["accuracy"].value == pytest.approx(1 / 3)


def test_a_perfect_curve_still_has_an_interval() -> None:
    found = measure_performance([0.1, 0.2, 0.8, 0.9], None, [0, 0, 1, 1]).metrics["roc_auc"]
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low is not None
    assert found.low < 0.7


def test_completeness_leaves_out_labels_that_will_not_come() -> None:
    labels: list[Any] = [1, 0, None, None, float("nan")]
    found = measure_performance([0.5] * 5, None, labels, will_not_come=1)
    assert (found.rows, found.known, found.label_completeness) == (5, 2, 0.5)
    assert measure_performance([0.5], None, [None], will_not_come=1).label_completeness is None


def test_no_labels_yet_is_a_reason_for_every_metric() -> None:
    found = measure_performance([0.5, 0.6], [1, 1], [None, None])
    assert all(m.value is None and m.reason for m in found.metrics.values())


def test_labels_may_be_words_with_a_named_positive_class() -> None:
    found = measure_performance([0.9, 0.1], ["late", "on time"], ["late", "on time"], positive="late")
    assert found.metrics["accuracy"].value == 1
    with pytest.raises(BadInput, match="label, row 1: 'maybe'"):
        measure_performance([0.9, 0.1], None, ["1", "maybe"])


def test_scores_that_are_no_probabilities_have_a_curve_but_no_loss() -> None:
    found = measure_performance([-3.0, 4.0], [0, 1], [0, 1]).metrics
    assert found["roc_auc"].value == 1
    assert "probabilities" in str(found["log_loss"].reason)
    assert not math.isnan(found["accuracy"].value or math.nan)

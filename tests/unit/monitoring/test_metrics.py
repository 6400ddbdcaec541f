"""Every metric of every task, against scikit-learn and against its own interval's promise."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.performance import (
    DEFINITIONS,
    LOWER_IS_BETTER,
    PRIMARY,
    Metric,
    Performance,
    measure,
    measure_segments,
    metrics_of,
    primary_metric,
)

K = 4
NAMES = [f"c{k}" for k in range(K)]


def spec(task: str, **more: Any) -> ModelSpec:
    return parse_spec({"task": task, "features": {"age": "numeric"}, **more})


def scored(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    score = 1 / (1 + np.exp(-random.normal(-0.5, 1.5, rows)))
    label = (random.random(rows) < score).astype(float)
    return pd.DataFrame({"score": score, "prediction": (score >= 0.5).astype(int), "label": label})


def classified(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    raised = np.exp(1.5 * random.normal(size=(rows, K)) + np.array([0.8, 0.3, 0, -0.5]))
    p = raised / raised.sum(axis=1, keepdims=True)
    label = (p.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1).clip(max=K - 1)
    frame = pd.DataFrame({f"score_{name}": p[:, k] for k, name in enumerate(NAMES)})
    frame["score"] = p.max(axis=1)
    frame["prediction"] = np.array(NAMES)[p.argmax(axis=1)]
    frame["label"] = np.array(NAMES)[label]
    return frame


def guessed(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    label = random.gamma(3, 2, rows)
    return pd.DataFrame({"prediction": label * 0.9 + random.normal(0, 1 + label / 10), "label": label})


MAKERS = {"binary": scored, "multiclass": classified, "regression": guessed}


def test_binary_metrics_equal_scikit_learn() -> None:
    from sklearn import metrics as peer

    frame = scored(3000, 0)
    frame["score"] = frame["score"].round(2)  # ties
    found = measure(spec("binary"), frame).metrics
    y, p, hat = frame["label"], frame["score"], frame["prediction"]
    expected = {
        "roc_auc": peer.roc_auc_score(y, p),
        "average_precision": peer.average_precision_score(y, p),
        "log_loss": peer.log_loss(y, np.clip(p, 1e-15, 1 - 1e-15)),
        "brier": peer.brier_score_loss(y, p),
        "accuracy": peer.accuracy_score(y, hat),
        "precision": peer.precision_score(y, hat),
        "recall": peer.recall_score(y, hat),
        "f1": peer.f1_score(y, hat),
    }
    assert {*expected, "ece"} == set(found)
    for name, exact in expected.items():
        assert found[name].value == pytest.approx(exact, abs=1e-12), name


def test_multiclass_metrics_equal_scikit_learn() -> None:
    from sklearn import metrics as peer

    frame = classified(3000, 0)
    found = measure(spec("multiclass"), frame).metrics
    y, hat = frame["label"], frame["prediction"]
    p = frame[[f"score_{name}" for name in NAMES]].to_numpy()
    truth = (y.to_numpy()[:, None] == np.array(NAMES)[None, :]).astype(float)
    expected = {
        "roc_auc": peer.roc_auc_score(y, p, multi_class="ovr", average="macro", labels=NAMES),
        "log_loss": peer.log_loss(y, p, labels=NAMES),
        "brier": float(((p - truth) ** 2).sum(axis=1).mean()),
        "top_brier": peer.brier_score_loss(hat == y, frame["score"]),
        "accuracy": peer.accuracy_score(y, hat),
        "macro_precision": peer.precision_score(y, hat, average="macro"),
        "macro_recall": peer.recall_score(y, hat, average="macro"),
        "macro_f1": peer.f1_score(y, hat, average="macro"),
    }
    assert {*expected, "ece"} == set(found)
    for name, exact in expected.items():
        assert found[name].value == pytest.approx(exact, abs=1e-9), name


def test_regression_metrics_equal_scikit_learn() -> None:
    from sklearn import metrics as peer

    frame = guessed(3000, 0)
    found = measure(spec("regression", quantile=0.8), frame).metrics
    y, hat = frame["label"], frame["prediction"]
    expected = {
        "mae": peer.mean_absolute_error(y, hat),
        "rmse": peer.root_mean_squared_error(y, hat),
        "mape": peer.mean_absolute_percentage_error(y, hat),
        "r2": peer.r2_score(y, hat),
        "bias": float((hat - y).mean()),
        "quantile_loss": peer.mean_pinball_loss(y, hat, alpha=0.8),
    }
    assert set(expected) == set(found)
    for name, exact in expected.items():
        assert found[name].value == pytest.approx(exact, rel=1e-12), name


@pytest.mark.parametrize("task", MAKERS)
def test_what_is_measured_is_what_the_registry_says(task: Any) -> None:
    found = measure(spec(task), MAKERS[task](500, 1)).metrics
    assert {*found} == {name for name in metrics_of(task) if not name.startswith("value_")}
    assert PRIMARY[task] in found  # type: ignore[index]
    for name, metric in found.items():
        assert metric.se is not None, name
        assert metric.se > 0, name
        assert (metric.low or 0) <= (metric.value or 0) <= (metric.high or 0), name
        assert DEFINITIONS[name].formula


@pytest.mark.parametrize("task", MAKERS)
def test_intervals_cover_the_truth_and_errors_match_the_spread(task: Any) -> None:
    """300 windows of 500 rows: the interval holds the true value 91 to 98.7 times in 100, and se is the spread."""
    subject = spec(task)
    make = MAKERS[task]
    windows = [measure(subject, make(500, seed)).metrics for seed in range(300)]
    truth = measure(subject, make(400_000, 10_000)).metrics
    for name, exact in truth.items():
        found = [window[name] for window in windows]
        covered = np.mean([(m.low or 0) <= (exact.value or 0) <= (m.high or 0) for m in found])
        # Chance only ever raises calibration error, so its interval is the safe one.
        assert 0.91 <= covered <= (1 if name == "ece" else 0.987), (name, covered)
        spread = np.std([m.value for m in found])
        assert np.mean([m.se for m in found]) == pytest.approx(spread, rel=0.25), name


def test_the_interval_of_calibration_error_tells_bad_scores_from_chance() -> None:
    lows: dict[float, list[float]] = {}
    for stretch in (1.0, 2.5):
        for seed in range(100):
            frame = scored(400, seed)
            logit = stretch * np.log(frame["score"] / (1 - frame["score"]))
            frame["score"] = 1 / (1 + np.exp(-logit))
            low = measure(spec("binary"), frame).metrics["ece"].low
            lows.setdefault(stretch, []).append(low if low is not None else -1)
    assert np.mean(np.array(lows[1.0]) > 0) <= 0.05
    assert np.mean(np.array(lows[2.5]) > 0.02) >= 0.9


def test_arrow_and_pandas_give_the_same() -> None:
    for task, make in MAKERS.items():
        frame = make(400, 3)
        frame.loc[frame.index[:7], "label"] = None
        assert measure(spec(task), frame) == measure(spec(task), pa.Table.from_pandas(frame)), task


@pytest.mark.parametrize("task", MAKERS)
def test_a_window_without_rows_or_labels_has_reasons(task: Any) -> None:
    frame = MAKERS[task](50, 0)
    unlabelled = frame.assign(label=None)
    for rows in (frame.iloc[:0], unlabelled, frame.drop(columns="label"), pa.Table.from_pandas(unlabelled)):
        found = measure(spec(task), rows)
        assert found.known == 0
        assert all(m.value is None and m.reason for m in found.metrics.values())
    assert measure(spec(task), frame.iloc[:0]).label_completeness is None
    assert measure(spec(task), unlabelled).label_completeness == 0
    assert measure(spec(task), unlabelled, will_not_come=50).label_completeness is None


def test_an_infinite_score_is_left_out_and_said() -> None:
    frame = scored(200, 0)
    frame.loc[3, "score"] = math.inf
    found = measure(spec("binary"), frame).metrics
    kept = measure(spec("binary"), frame.drop(index=3)).metrics
    for name in ("roc_auc", "average_precision", "log_loss", "brier", "ece"):
        assert found[name].value == kept[name].value, name
        assert found[name].reason == "1 row with an infinite score left out"
    assert found["accuracy"].rows == 200
    errors = measure(spec("regression"), pd.DataFrame({"prediction": [1.0, math.inf], "label": [2.0, 2.0]}))
    assert errors.metrics["mae"].value == 1
    assert "1 row with an infinite prediction or label" in str(errors.metrics["bias"].reason)
    everything = measure(spec("binary"), pd.DataFrame({"score": [math.inf], "label": [1]}))
    assert everything.metrics["roc_auc"].value is None


def test_a_class_never_seen_counts_as_errors_and_has_no_log_loss() -> None:
    frame = classified(500, 0)
    known = measure(spec("multiclass"), frame).metrics
    frame.loc[:9, "label"] = "never seen"
    found = measure(spec("multiclass"), frame).metrics
    assert (found["accuracy"].value or 1) < (known["accuracy"].value or 0)
    assert found["log_loss"].reason == "10 rows of classes without a probability left out"
    assert (found["log_loss"].value or 99) < 2
    assert (found["brier"].value or 0) > (known["brier"].value or 9)


def test_a_window_of_one_class_has_no_area_and_says_so() -> None:
    frame = classified(300, 0)
    one = frame[frame["label"] == "c0"]
    found = measure(spec("multiclass"), one).metrics
    assert found["roc_auc"].value is None
    assert "two classes" in str(found["roc_auc"].reason)
    assert found["accuracy"].value is not None
    two = measure(spec("multiclass"), frame[frame["label"].isin(["c0", "c1"])]).metrics["roc_auc"]
    assert "mean over 2 of 4 classes" in str(two.reason)
    flat = measure(spec("regression"), pd.DataFrame({"prediction": [1.0, 2.0], "label": [0.0, 0.0]})).metrics
    assert "every label is the same" in str(flat["r2"].reason)
    assert "every label is 0" in str(flat["mape"].reason)


def test_labels_of_zero_are_left_out_of_percentages_and_said() -> None:
    found = measure(spec("regression"), pd.DataFrame({"prediction": [2.0, 5.0, 1.0], "label": [1, 4, 0]}))
    assert found.metrics["mape"].value == pytest.approx((1 + 0.25) / 2)
    assert found.metrics["mape"].reason == "1 row with label 0 left out"


def test_without_probabilities_the_predicted_class_is_judged_by_its_score() -> None:
    frame = classified(400, 0)
    whole = measure(spec("multiclass"), frame).metrics
    bare = frame[["score", "prediction", "label"]]
    found = measure(spec("multiclass"), bare).metrics
    assert found["ece"] == whole["ece"]
    assert found["top_brier"] == whole["top_brier"]
    assert "no probabilities by class" in str(found["roc_auc"].reason)
    assert primary_metric(spec("multiclass"), bare) == "accuracy"
    assert primary_metric(spec("multiclass"), frame) == "roc_auc"


def test_probability_columns_may_be_named_and_numbers_are_classes() -> None:
    frame = classified(400, 0).rename(columns={f"score_{name}": f"p{k}" for k, name in enumerate(NAMES)})
    frame["label"] = frame["label"].str[1:].astype(float)
    frame["prediction"] = frame["prediction"].str[1:]
    named = spec("multiclass", classes={str(k): f"p{k}" for k in range(K)})
    found = measure(named, frame).metrics
    assert found["roc_auc"].value == measure(spec("multiclass"), classified(400, 0)).metrics["roc_auc"].value
    with pytest.raises(BadInput, match=r"classes\.3: the data have no column 'p3'"):
        measure(named, frame.drop(columns="p3"))


def test_without_a_predicted_class_the_cutoff_or_the_likeliest_decides() -> None:
    frame = scored(300, 0)
    found = measure(spec("binary", cutoff=0.8), frame.drop(columns="prediction")).metrics
    frame["prediction"] = (frame["score"] >= 0.8).astype(int)
    assert found == measure(spec("binary"), frame).metrics
    several = classified(300, 0)
    assert measure(spec("multiclass"), several.drop(columns="prediction")) == measure(
        spec("multiclass"), several
    )


def test_words_as_labels_with_answers_as_numbers() -> None:
    frame = scored(100, 0)
    named = frame.assign(label=np.where(frame["label"] == 1, "late", "on time"))
    found = measure(spec("binary", positive_label="late"), named)
    assert found == measure(spec("binary"), frame)
    with pytest.raises(BadInput, match="label, row 0: 'on time' is not 0 or 1"):
        measure(spec("binary"), named.assign(label="on time"))
    with pytest.raises(BadInput, match="label, row 1: 'x' is not a number"):
        measure(spec("regression"), pd.DataFrame({"prediction": [1, 2], "label": ["3", "x"]}))


def test_costs_give_value_per_prediction_and_in_total() -> None:
    costs = {"tp": 5, "fp": -1, "fn": -10, "tn": 0.5}
    frame = scored(400, 0)
    frame.loc[:9, "label"] = None
    found = measure(spec("binary", costs=costs), frame).metrics
    known = frame.dropna(subset="label")
    hit = (known["prediction"] == 1, known["label"] == 1)
    by_hand = np.select([hit[0] & hit[1], hit[0] & ~hit[1], ~hit[0] & hit[1]], [5, -1, -10], 0.5)
    assert found["value_per_prediction"].value == pytest.approx(by_hand.mean())
    total = found["value_total"]
    assert (total.value, total.rows) == (pytest.approx(by_hand.sum()), 390)
    assert (total.se or 0) / 390 == pytest.approx(by_hand.std(ddof=1) / math.sqrt(390))
    assert "value_total" not in measure(spec("binary"), frame).metrics
    several = classified(300, 0)
    worth = {a: {b: 1.0 if a == b else -2.0 for b in NAMES} for a in NAMES}
    right = float((several["label"] == several["prediction"]).mean())
    valued = measure(spec("multiclass", costs=worth), several).metrics["value_per_prediction"]
    assert valued.value == pytest.approx(right - 2 * (1 - right))
    del worth["c0"]
    assert "outcomes without a value" in str(
        measure(spec("multiclass", costs=worth), several).metrics["value_total"].reason
    )


def test_segments_are_measured_as_if_they_were_alone() -> None:
    random = np.random.default_rng(0)
    for task, make in MAKERS.items():
        frame = make(900, 2)
        frame["city"] = random.choice(["Ulm", "Bonn", "Köln", None], 900, p=[0.5, 0.3, 0.1, 0.1])
        frame["label_status"] = "known"
        gone = frame.index[::9]
        frame.loc[gone, "label"] = None
        frame.loc[gone, "label_status"] = "will_not_come"
        subject = spec(task, protected=["city"])
        found = measure_segments(subject, frame, ["city"])
        assert [value for _, value in found][:2] == ["Ulm", "Bonn"]
        assert ("city", None) in found
        ulm = frame[frame["city"] == "Ulm"]
        absent = int((ulm["label_status"] == "will_not_come").sum())
        assert found["city", "Ulm"] == measure(subject, ulm, will_not_come=absent)
        assert sum(p.rows for p in found.values()) == 900
        assert len(measure_segments(subject, frame, ["city"], top=2)) == 2
    with pytest.raises(BadInput, match="no column 'town'"):
        measure_segments(spec("binary"), scored(10, 0), ["town"])


def test_margins_say_what_is_worse() -> None:
    assert DEFINITIONS["roc_auc"].worst_acceptable(0.8) == pytest.approx(0.78)
    assert DEFINITIONS["mae"].worst_acceptable(20.0) == pytest.approx(22.0)
    assert DEFINITIONS["value_per_prediction"].worst_acceptable(-2.0) == pytest.approx(-2.2)
    assert DEFINITIONS["bias"].worst_acceptable(1.0) is None
    assert {"log_loss", "brier", "ece", "mae", "rmse"} < LOWER_IS_BETTER


def test_a_hundred_thousand_rows_take_little_time() -> None:
    import time

    for task, make in MAKERS.items():
        frame = make(100_000, 0)
        times = []
        for _ in range(3):
            before = time.process_time()
            measure(spec(task), frame)
            times.append(time.process_time() - before)
        assert min(times) < 0.4, task  # about 0.02, 0.1 and 0.01 s on a quiet core


def test_metrics_are_values() -> None:
    """Stored references are read back as `Metric(**stored)`, also those without a standard error."""
    stored = {"value": 0.5, "low": 0.4, "high": 0.6, "rows": 10, "reason": None}
    assert Metric(**stored).se is None  # type: ignore[arg-type]
    assert isinstance(measure(spec("binary"), scored(10, 0)), Performance)

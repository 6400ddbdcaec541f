from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from backend.monitoring.columns import Column, ModelSpec
from backend.monitoring.estimation import Estimate
from backend.monitoring.evaluate import Point, summarise
from backend.monitoring.falls import Baseline, judge_estimates, judge_realised, take_baseline
from backend.monitoring.performance import Metric, Performance, measure, measure_performance
from backend.monitoring.windows import window_of

ALPHA = 0.00135
SPEC = ModelSpec("binary", (Column("a", "numeric"),), "1d")


def performance(rows: int, seed: int, skill: float = 1.0) -> Performance:
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 2, rows)
    score = 1 / (1 + np.exp(-(skill * (2 * label - 1) + draw.normal(0, 1.5, rows))))
    return measure_performance(score, None, label)


def realised(
    current: Performance, reference: Performance | None = None, **options: object
) -> dict[str, Point]:
    baseline = take_baseline(reference or performance(10_000, 0), {})
    return {
        p.statistic: p for p in judge_realised(baseline, current, primary="roc_auc", alpha=ALPHA, **options)
    }  # type: ignore[arg-type]


def test_a_fall_beyond_chance_and_margin_pages_by_the_primary_metric_alone() -> None:
    found = realised(performance(2000, 1, skill=0.2))
    assert (found["roc_auc"].verdict, found["roc_auc"].level) == ("alarm", "page")
    assert (found["accuracy"].verdict, found["accuracy"].level) == ("alarm", "ticket")
    summary = summarise(list(found.values()))
    assert summary is not None
    assert summary.level == "page"
    assert "100% labelled so far" in summary.headline


def test_as_good_or_better_is_ok() -> None:
    for current in (performance(2000, 2), performance(2000, 3, skill=3)):
        assert realised(current)["roc_auc"].verdict == "ok"


def test_a_certain_fall_that_does_not_matter_is_ok() -> None:
    reference = Performance(
        {"roc_auc": Metric(0.80, 0.799, 0.801, 10**6, None, 0.0005)}, 10**6, 10**6, 0, 1.0
    )
    small = Performance({"roc_auc": Metric(0.785, 0.784, 0.786, 10**6, None, 0.0005)}, 10**6, 10**6, 0, 1.0)
    point = realised(small, reference)["roc_auc"]
    assert (point.verdict, point.threshold) == ("ok", pytest.approx(0.78))


def test_a_large_fall_that_chance_explains_is_ok() -> None:
    few = Performance({"roc_auc": Metric(0.70, 0.5, 0.9, 30, None, 0.1)}, 30, 30, 0, 1.0)
    assert realised(few)["roc_auc"].verdict == "ok"


def test_a_limit_outside_the_metrics_range_is_no_limit() -> None:
    few = Performance({"roc_auc": Metric(0.4, 0.0, 1.0, 30, None, 0.4)}, 30, 30, 0, 1.0)
    point = realised(few)["roc_auc"]
    assert (point.verdict, point.threshold) == ("inconclusive", None)


def test_while_few_labels_have_come_a_fall_is_a_ticket() -> None:
    assert realised(performance(2000, 1, skill=0.2), may_page=False)["roc_auc"].level == "ticket"


def test_too_few_labels_are_inconclusive_and_say_how_many() -> None:
    found = realised(performance(15, 1, skill=-1))
    assert {p.verdict for p in found.values()} == {"inconclusive"}
    assert "15 labelled rows and 20 are needed" in found["roc_auc"].text


def test_an_error_that_grew_by_a_tenth_is_worse() -> None:
    reference = Performance({"mae": Metric(10.0, 9.9, 10.1, 9000, None, 0.05)}, 9000, 9000, 0, 1.0)
    for value, verdict in ((11.5, "alarm"), (10.9, "ok"), (8.0, "ok")):
        now = Performance({"mae": Metric(value, value - 0.2, value + 0.2, 900, None, 0.1)}, 900, 900, 0, 1.0)
        (point,) = judge_realised(take_baseline(reference, {}), now, primary="mae", alpha=ALPHA)
        assert point.verdict == verdict


POOLED = Performance({"roc_auc": Metric(0.71, 0.705, 0.715, 9000, None, 0.0025)}, 9000, 9000, 0, 1.0)
LOWER_WINDOWS = {"roc_auc": [0.66, 0.67, 0.68, 0.66, 0.66]}


def judged_auc(value: float, error: float, own: Mapping[str, Sequence[float]] = LOWER_WINDOWS) -> Point:
    metric = Metric(value, value - 2 * error, value + 2 * error, 900, None, error)
    now = Performance({"roc_auc": metric}, 900, 900, 0, 1.0)
    (point,) = judge_realised(take_baseline(POOLED, own), now, primary="roc_auc", alpha=ALPHA)
    return point


def test_own_windows_count_only_where_they_are_worse_than_all_rows_in_practice() -> None:
    assert take_baseline(POOLED, LOWER_WINDOWS).usual == {"roc_auc": pytest.approx(0.666)}
    for own in ([0.70, 0.71, 0.72, 0.70, 0.70], [0.5, 0.5], [0.76, 0.77, 0.76, 0.77, 0.76]):
        assert take_baseline(POOLED, {"roc_auc": own}).usual == {}
    assert take_baseline(POOLED, LOWER_WINDOWS).metrics["roc_auc"].value == 0.71


def test_a_window_as_usual_never_pages_however_many_rows_it_has() -> None:
    for value in (0.666, 0.65):
        assert judged_auc(value, 0.001).verdict == "ok"
        assert judged_auc(value, 0.001, {}).verdict == "alarm"
    assert judged_auc(0.64, 0.001).threshold == pytest.approx(0.646)
    assert judged_auc(0.64, 0.001).verdict == "alarm"
    assert "own windows had 0.666 on average" in judged_auc(0.64, 0.001).text


def test_lower_own_windows_do_not_add_to_what_chance_asks() -> None:
    for value, error in ((0.63, 0.025), (0.58, 0.04)):
        assert judged_auc(value, error).verdict == "alarm"
        assert judged_auc(value, error).threshold == judged_auc(value, error, {}).threshold
    assert judged_auc(0.645, 0.025).verdict == "ok"


def estimated(fallen: Estimate, **options: object) -> Point:
    baseline: Baseline = take_baseline(performance(10_000, 0), {})
    arguments: dict[str, object] = {
        "primary": "roc_auc", "alpha": ALPHA, "error": {}, "trusted": frozenset({"roc_auc"}), "min_rows": 50,
    }  # fmt: skip
    (point,) = judge_estimates(baseline, [fallen], **(arguments | options))  # type: ignore[arg-type]
    return point


def test_an_estimated_fall_pages_only_while_its_estimator_is_trusted() -> None:
    window = window_of(datetime(2026, 1, 1, tzinfo=UTC), "1d")
    fallen = Estimate(window, "roc_auc", 0.60, 0.57, 0.63, 900, None, 0.01)
    assert estimated(fallen).level == "page"
    limit = estimated(fallen).threshold or 0.0
    assert estimated(replace(fallen, value=limit - 0.005)).level == "ticket"
    assert estimated(fallen, trusted=frozenset()).level == "ticket"
    assert estimated(fallen, distrust="it was off by 5 points last month").level == "ticket"
    assert estimated(fallen, error={"roc_auc": 0.1}).verdict == "ok"
    absent = Estimate(window, "roc_auc", None, None, None, 3, "3 rows; 100 are needed")
    assert estimated(absent).verdict == "inconclusive"


def test_a_tiny_reference_is_inconclusive() -> None:
    found = realised(performance(2000, 1, skill=0.2), performance(10, 0))
    assert {p.verdict for p in found.values()} == {"inconclusive"}


def test_calibration_error_is_held_against_windows_of_the_same_size_alone() -> None:
    current, reference = performance(200, 1), performance(10_000, 0)
    assert realised(current)["ece"].verdict == "inconclusive"
    own = {"ece": [0.06, 0.07, 0.08, 0.07, 0.06]}
    baseline = take_baseline(reference, own, {"ece": 200.0})
    points = judge_realised(baseline, current, primary="roc_auc", alpha=ALPHA)
    (ece,) = [point for point in points if point.statistic == "ece"]
    assert ece.verdict == "ok"
    assert ece.details["reference"] == pytest.approx(0.068)


def calibrated(draw: np.random.Generator, rows: int, sharper: float = 1.0) -> Performance:
    """Scores that are what comes true; sharper: further from a half than that, by so many times in logits."""
    logit = draw.normal(0, 1, rows)
    label = draw.random(rows) < 1 / (1 + np.exp(-logit))
    return measure_performance(1 / (1 + np.exp(-sharper * logit)), None, label.astype(np.int64))


@pytest.mark.parametrize(("usual", "rows"), [(25, 25), (25, 12), (200, 200), (200, 110)])
def test_calibration_error_by_chance_is_no_alarm_however_few_the_rows(usual: int, rows: int) -> None:
    draw = np.random.default_rng(0)
    own = {"ece": [calibrated(draw, usual).metrics["ece"].value or 0.0 for _ in range(20)]}
    baseline = take_baseline(calibrated(draw, 20 * usual), own, {"ece": float(usual)})

    def alarms(sharper: float) -> float:
        found = [
            {
                point.statistic: point.verdict
                for point in judge_realised(
                    baseline, calibrated(draw, rows, sharper), primary="roc_auc", alpha=ALPHA, min_labels=10
                )
            }["ece"]
            for _ in range(100)
        ]
        return found.count("alarm") / 100

    assert alarms(1.0) <= 0.02
    if rows == 200:
        assert alarms(6.0) > 0.9


def test_an_error_is_told_in_the_unit_of_the_label() -> None:
    then = Metric(4.0, 3.9, 4.1, 5000, None, 0.05)
    now = replace(performance(500, 1), metrics={"mae": Metric(5.25, 5.0, 5.5, 500, None, 0.1)})
    (point,) = judge_realised(Baseline({"mae": then}), now, primary="mae", alpha=0.01, label_unit="min")
    assert "realised mae from 4.000 to 5.250 min (limit " in point.text
    assert " min), 500 rows" in point.text


def test_an_estimate_on_a_broken_column_has_no_verdict_and_names_it() -> None:
    window = window_of(datetime(2026, 1, 1, tzinfo=UTC), "1d")
    for value in (0.60, 0.86):
        guess = Estimate(window, "roc_auc", value, value - 0.03, value + 0.03, 900, None, 0.01)
        point = estimated(guess, broken="Values outside the reference's range of delay from 0 % to 65 %")
        assert (point.verdict, point.level, point.threshold, point.value) == (
            "inconclusive",
            None,
            None,
            value,
        )
        assert str(point.reason).startswith("the estimate is not to be trusted: Values outside")
        assert "delay" in str(point.reason)


def regression(rows: int, seed: int, noise: float, wild: int = 0) -> Performance:
    draw = np.random.default_rng(seed)
    label = draw.normal(100, 50, rows)
    guess = label + draw.normal(0, noise, rows)
    label[:wild] = 1e9
    columns = pa.table({"prediction": guess, "label": label})
    return measure(ModelSpec("regression", (Column("a", "numeric"),), "1d"), columns)


@pytest.mark.parametrize("wild_before", [0, 2])
@pytest.mark.parametrize(
    ("noise", "wild", "verdict"), [(50, 1, "alarm"), (50, 0, "alarm"), (36, 1, "ok"), (36, 3, "ok")]
)
def test_a_wild_label_hides_no_fall(noise: float, wild: int, verdict: str, wild_before: int) -> None:
    baseline = take_baseline(regression(10_000, 0, 36, wild_before), {})
    points = judge_realised(baseline, regression(500, 1, noise, wild), primary="mae", alpha=ALPHA)
    found = {p.statistic: p for p in points}
    assert (found["mae"].verdict, found["mae"].level) == (verdict, "page" if verdict == "alarm" else None)
    assert wild == 3 or found["rmse"].verdict == verdict
    assert found["mae"].value is not None and found["mae"].threshold is not None
    assert (found["mae"].value > found["mae"].threshold) == (verdict == "alarm")
    if wild == 1 and verdict == "alarm":
        assert "1 of 500 rows makes up over 99.9 % of the MAE" in found["mae"].text
        assert found["mae"].reason is not None and found["mae"].reason in found["mae"].text
        assert found["mae"].details["all_rows"] > 1e6
    if wild_before:
        assert "in the reference 2 of 10,000 rows make up over 99.9 % of the MAE" in found["mae"].text
    if not wild and not wild_before:
        assert found["mae"].reason is None


def test_heavy_tails_without_a_wild_row_are_judged_whole() -> None:
    draw = np.random.default_rng(0)
    spec = ModelSpec("regression", (Column("a", "numeric"),), "1d")
    for rows in (50, 500, 5000):
        error = np.exp(draw.normal(0, 1.2, rows))
        found = measure(spec, pa.table({"prediction": error, "label": np.zeros(rows)}))
        assert found.metrics["mae"].rest is None


def heavy(draw: np.random.Generator, rows: int, skill: float = 1.0) -> Performance:
    """Labels of a log-normal law, of which the model knows a part."""
    known = draw.normal(0, 1, rows)
    label = 10 * np.exp(known + 0.5 * draw.normal(0, 1, rows))
    columns = pa.table({"prediction": 10 * np.exp(skill * known), "label": label})
    return measure(ModelSpec("regression", (Column("a", "numeric"),), "1d"), columns)


@pytest.mark.parametrize("own_windows", [0, 20])
def test_r2_of_heavy_tails_is_no_alarm_by_chance_and_its_fall_is_one(own_windows: int) -> None:
    draw = np.random.default_rng(0)
    found: dict[float, list[str]] = {1.0: [], 0.0: []}
    for _ in range(10):
        own = {"r2": [heavy(draw, 70).metrics["r2"].value or 0.0 for _ in range(own_windows)]}
        baseline = take_baseline(heavy(draw, 1500), own, {"r2": 70.0})
        for skill, verdicts in found.items():
            for _ in range(20):
                points = judge_realised(baseline, heavy(draw, 70, skill), primary="mae", alpha=ALPHA)
                verdicts += [point.verdict for point in points if point.statistic == "r2"]
    assert found[1.0].count("alarm") <= 0.02 * len(found[1.0])
    assert found[0.0].count("alarm") > 0.8 * len(found[0.0])


@pytest.mark.parametrize(("noise", "verdict"), [(12, "ok"), (36, "alarm")])
def test_a_wild_label_makes_no_fall_of_r2(noise: float, verdict: str) -> None:
    baseline = take_baseline(regression(10_000, 0, 12), {})
    points = judge_realised(baseline, regression(300, 1, noise, wild=1), primary="mae", alpha=ALPHA)
    (point,) = [point for point in points if point.statistic == "r2"]
    assert point.verdict == verdict
    assert point.details["all_rows"] == pytest.approx(0.0, abs=0.01)
    assert "1 of 300 rows makes up over 99.9 % of the squared errors" in point.text

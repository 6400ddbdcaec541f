"""Estimates without labels: NannyML's own values, repeatable, with a reason where there are none."""

import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.estimation import Estimate, assess, estimate, fit_estimator
from backend.monitoring.estimation.dle import PARAMETERS
from backend.monitoring.performance import measure
from backend.monitoring.windows import Window
from tests.unit.monitoring.test_metrics import NAMES, classified, scored

pytestmark = pytest.mark.slow

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOWS = [Window(START + timedelta(days=i), START + timedelta(days=i + 1)) for i in range(4)]


def spec(task: str, **features: str) -> ModelSpec:
    return parse_spec({"task": task, "features": features or {"age": "numeric"}})


def priced(rows: int, seed: int, centre: float = 0.0) -> pd.DataFrame:
    """A regression whose error grows with |size| and differs by kind; the name of a column is not a plain one."""
    random = np.random.default_rng(seed)
    size = random.normal(centre, 1, rows)
    kind = random.choice(["a", "b", None], rows)
    label = 10 + 3 * size + random.normal(0, 0.5 + np.abs(size) + (kind == "b"), rows)
    frame = pd.DataFrame({"size": size, 'kind {"': kind, "prediction": 10 + 3 * size, "label": label})
    frame.loc[::50, "size"] = np.nan
    return frame


def priced_by_season(rows: int, seed: int) -> pd.DataFrame:
    """Chunks of 600 rows whose inputs are easy and hard in turn: the error rises and falls with them."""
    parts = [priced(600, seed + place, centre=1.5 * (place % 2)) for place in range(rows // 600)]
    return pd.concat(parts, ignore_index=True)


REGRESSION = spec("regression", **{"size": "numeric", 'kind {"': "categorical"})
CASES: list[tuple[ModelSpec, Any]] = [
    (spec("binary"), scored),
    (spec("multiclass"), classified),
    (REGRESSION, priced),
]


def theirs(task: str, reference: pd.DataFrame, current: pd.DataFrame, size: int) -> pd.DataFrame:
    """What NannyML itself says of `current` in chunks of `size` rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nannyml

        if task == "regression":
            rename = {"size": "f0", 'kind {"': "f1"}
            peer = nannyml.DLE(
                feature_column_names=["f0", "f1"], y_pred="prediction", y_true="label", metrics=["mae", "rmse"],
                hyperparameters=dict(PARAMETERS), chunk_size=size,
            )  # fmt: skip
            reference, current = reference.rename(columns=rename), current.rename(columns=rename)
        else:
            several = task == "multiclass"
            peer = nannyml.CBPE(
                y_pred_proba={name: f"score_{name}" for name in NAMES} if several else "score",
                y_pred="prediction", y_true="label", problem_type=f"classification_{task}",
                metrics=["roc_auc", "f1", "accuracy"], chunk_size=size,
            )  # fmt: skip
        peer.fit(reference)
        return peer.estimate(current).filter(period="analysis").to_df()


@pytest.mark.parametrize(("subject", "make"), CASES, ids=lambda case: getattr(case, "task", ""))
def test_estimates_are_nannymls_own(subject: ModelSpec, make: Any) -> None:
    reference, current = make(4000, 0), make(3000, 1)
    expected = theirs(subject.task, reference, current, 1000)
    fitted = fit_estimator(subject, reference)
    parts = {w: current.iloc[i * 1000 : (i + 1) * 1000] for i, w in enumerate(WINDOWS[:3])}
    found = estimate(fitted, parts)
    assert [(e.window, e.metric) for e in found] == [(w, m) for w in parts for m in fitted.metrics]
    for one in found:
        row = expected.iloc[WINDOWS.index(one.window)][one.metric.removeprefix("macro_")]
        assert one.value == pytest.approx(row["value"], rel=1e-12), one.metric
        assert one.low == pytest.approx(row["lower_confidence_boundary"], rel=1e-12)
        assert one.high == pytest.approx(row["upper_confidence_boundary"], rel=1e-12)
        assert one.se == pytest.approx(row["sampling_error"], rel=1e-12)
    assert estimate(fit_estimator(subject, reference), parts) == found


def near(one: Estimate, realised: float | None) -> bool:
    return abs((one.value or 0) - (realised or 0)) <= 3 * (one.se or 0)


@pytest.mark.parametrize(("subject", "make"), CASES, ids=lambda case: getattr(case, "task", ""))
def test_estimates_come_near_what_comes_true_and_labels_are_not_read(subject: ModelSpec, make: Any) -> None:
    fitted = fit_estimator(subject, make(6000, 0))
    frame = make(2000, 7)
    found = estimate(fitted, {WINDOWS[0]: frame})
    realised = measure(subject, frame).metrics
    assert all(near(one, realised[one.metric].value) for one in found)
    wrong = frame.assign(label=frame["label"].iloc[::-1].to_numpy())
    assert estimate(fitted, {WINDOWS[0]: wrong}) == found


def test_inputs_on_which_a_regression_is_worse_are_seen_without_labels() -> None:
    fitted = fit_estimator(REGRESSION, priced(6000, 0))
    usual, harder = priced(2000, 1), priced(2000, 2, centre=1.0)
    found = {(e.window, e.metric): e for e in estimate(fitted, {WINDOWS[0]: usual, WINDOWS[1]: harder})}
    before, after = found[WINDOWS[0], "mae"], found[WINDOWS[1], "mae"]
    assert (after.low or 0) > (before.value or 99)
    assert after.value == pytest.approx(measure(REGRESSION, harder).metrics["mae"].value, rel=0.1)


@pytest.mark.parametrize(("subject", "make"), CASES, ids=lambda case: getattr(case, "task", ""))
def test_windows_that_cannot_be_estimated_say_why_and_stop_no_other(subject: ModelSpec, make: Any) -> None:
    fitted = fit_estimator(subject, make(1000, 0))
    full = make(500, 1)
    found = estimate(fitted, {WINDOWS[0]: full.iloc[:40], WINDOWS[1]: full.iloc[:0], WINDOWS[2]: full})
    by = {window: [e for e in found if e.window == window] for window in WINDOWS[:3]}
    assert all("40 rows" in str(e.reason) and e.value is None for e in by[WINDOWS[0]])
    assert all("0 rows" in str(e.reason) for e in by[WINDOWS[1]])
    assert all(e.value is not None and e.rows == 500 for e in by[WINDOWS[2]])
    assert estimate(fitted, {}) == []
    assert all(e.value is None for e in estimate(fitted, {WINDOWS[0]: full.iloc[:0]}))


def test_rows_the_estimator_cannot_read_are_left_out_of_its_count() -> None:
    frame = scored(500, 1)
    frame.loc[:9, "score"] = np.inf
    frame.loc[10:19, "score"] = None
    fitted = fit_estimator(spec("binary"), scored(1000, 0))
    assert {e.rows for e in estimate(fitted, {WINDOWS[0]: frame})} == {480}
    several = classified(500, 1)
    several.loc[:9, "prediction"] = "never seen"
    assert {
        e.rows
        for e in estimate(fit_estimator(spec("multiclass"), classified(1000, 0)), {WINDOWS[0]: several})
    } == {490}


def test_a_feature_that_vanished_or_turned_to_text_does_not_stop_a_regressions_estimate() -> None:
    fitted = fit_estimator(REGRESSION, priced(2000, 0))
    frame = priced(500, 1)
    gone = estimate(fitted, {WINDOWS[0]: frame.drop(columns="size")})[0]
    assert gone.value is not None
    assert gone.reason == "without the column size"
    text = frame.assign(size=frame["size"].astype(str))
    text.loc[0, "size"] = "large"
    assert estimate(fitted, {WINDOWS[0]: text})[0].value is not None


def test_an_estimator_is_trusted_where_its_estimates_of_later_reference_rows_held() -> None:
    for subject, make in CASES:
        trust = assess(subject, make(8000, 0))
        assert trust.chunks == 10
        assert trust.trusted == set(trust.error), subject.task
        for metric in trust.error:
            assert trust.excess[metric] < trust.rms[metric]
            assert abs(trust.bias[metric]) <= trust.rms[metric]
    assert assess(REGRESSION, priced_by_season(12_000, 3)).skill["mae"] > 0.8
    broken = scored(8000, 1)
    later = broken.index >= 4000
    broken.loc[later, "label"] = 1 - broken.loc[later, "label"]
    trust = assess(spec("binary"), broken)
    assert trust.trusted == frozenset()
    assert trust.bias["accuracy"] > 0.2
    off = priced(8000, 1)
    off.loc[off.index >= 4000, "label"] += 3
    assert assess(REGRESSION, off).trusted == frozenset()


def test_trust_that_cannot_be_found_out_is_no_trust() -> None:
    assert "too few" in str(assess(spec("binary"), scored(700, 0)).reason)
    unlabelled = assess(spec("binary"), scored(3000, 0).assign(label=None))
    assert (unlabelled.trusted, unlabelled.chunks) == (frozenset(), 0)
    bare = classified(3000, 0)[["prediction", "label"]]
    assert "there are neither" in str(assess(spec("multiclass"), bare).reason)


def test_a_reference_that_cannot_carry_an_estimator_is_refused_with_the_reason() -> None:
    with pytest.raises(BadInput, match="needs 500"):
        fit_estimator(REGRESSION, priced(100, 0))
    with pytest.raises(BadInput, match="no column 'size'"):
        fit_estimator(REGRESSION, priced(1000, 0).drop(columns="size"))
    with pytest.raises(BadInput, match="one class"):
        fit_estimator(spec("binary"), scored(1000, 0).assign(label=1))
    with pytest.raises(BadInput, match="no label of the reference is 'c3'"):
        frame = classified(2000, 0)
        fit_estimator(spec("multiclass"), frame[frame["label"] != "c3"])
    with pytest.raises(BadInput, match="1 scores of the reference are not probabilities"):
        frame = scored(1000, 0)
        frame.loc[5, "score"] = 1.5
        fit_estimator(spec("binary"), frame)


def test_with_the_predicted_classs_probability_alone_accuracy_is_estimated() -> None:
    subject = spec("multiclass")
    columns = ["score", "prediction", "label"]
    fitted = fit_estimator(subject, classified(5000, 0)[columns])
    assert fitted.metrics == ("accuracy",)
    frame = classified(2000, 1)[columns]
    sure = frame[frame["score"] > 0.6]
    found = estimate(fitted, {WINDOWS[0]: frame, WINDOWS[1]: sure})
    for one, rows in zip(found, (frame, sure), strict=True):
        assert near(one, measure(subject, rows).metrics["accuracy"].value)
    assert (found[1].low or 0) > (found[0].high or 1)
    assert assess(subject, classified(8000, 2)[columns]).trusted == {"accuracy"}
    right = frame.assign(label=(frame["label"] == frame["prediction"]).astype(int), prediction=1)
    row = theirs("binary", right, right, 1000).iloc[0]["accuracy"]
    ours = estimate(fit_estimator(subject, frame), {WINDOWS[0]: frame.iloc[:1000]})[0]
    assert (ours.value, ours.se) == (pytest.approx(row["value"]), pytest.approx(row["sampling_error"]))


def test_large_references_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.monitoring.estimation import dle

    monkeypatch.setattr(dle, "FIT_ROWS", 600)
    fitted = fit_estimator(REGRESSION, priced(2000, 0))
    assert fitted.rows == 2000
    assert estimate(fitted, {WINDOWS[0]: priced(500, 1)})[0].value is not None

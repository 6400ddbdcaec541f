"""The truth about windows and the score of alarms, on streams small enough to reckon by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.streams.scoring import (
    Alarm,
    Truth,
    WindowTruth,
    by_window_mean,
    cut,
    find_truth,
    metric_of,
    metric_with_error,
    read_alarms,
    realised_alarms,
    score_alarms,
)

START = datetime(2025, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def _truth(*bad: bool | None, label_delay_h: float = 24.0) -> Truth:
    """Daily windows that are bad or not as told."""
    windows = tuple(
        WindowTruth(START + place * DAY, START + (place + 1) * DAY, 100, 0.8, 0.01, None, bad=one)
        for place, one in enumerate(bad)
    )
    return Truth("binary", 0.8, windows, ((0.8, 0.01),), label_delay_h)


def _page(day: int, *, fired: float | None = None) -> Alarm:
    """About the window of this day, fired at the window's end or at `fired` days."""
    return Alarm(START + day * DAY, START + (day + 1 if fired is None else fired) * DAY)


def _stream(losses: dict[int, float], *, days: int = 30, rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """A regression whose absolute error is about 1, and larger by `losses` on some days; ten reference days."""
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), rows)
    ts = pd.Timestamp(START) + pd.to_timedelta(day * 24 + random.random(len(day)) * 23.9, unit="h")
    scale = np.array([1 + losses.get(one, 0.0) for one in range(days)])[day]
    label = random.normal(size=len(day)) * np.sqrt(np.pi / 2) * scale
    return pd.DataFrame(
        {
            "prediction_id": [f"p{place:05d}" for place in range(len(day))],
            "ts": ts,
            "split": np.where(day < 10, "reference", "live"),
            "prediction": 0.0,
            "score": np.nan,
            "label": label,
            "label_ts": ts + pd.Timedelta(hours=5),
        }
    )


REGRESSION: dict[str, Any] = {"task": "regression", "window": "1d", "features": {}}


def test_window_is_bad_by_margin_and_by_standard_errors() -> None:
    truth = find_truth(REGRESSION, _stream({15: 0.5, 16: 0.5, 20: 0.04}), draws=100)
    assert [place for place, window in enumerate(truth.windows) if window.bad] == [5, 6]
    assert truth.episodes == [(5, 6)]
    assert truth.reference == pytest.approx(1.0, abs=0.05)


def test_large_loss_on_few_rows_is_not_bad_within_its_noise() -> None:
    truth = find_truth(REGRESSION, _stream({15: 0.3}, rows=12), draws=200)
    assert truth.windows[5].errors < 3
    assert not truth.windows[5].bad


def test_window_of_one_row_has_no_truth() -> None:
    stream = _stream({15: 9.0}, rows=40)
    first = stream.index[stream["ts"] >= pd.Timestamp(START + 15 * DAY)][0]
    one = pd.concat([stream.loc[:first], stream[stream["ts"] >= pd.Timestamp(START + 16 * DAY)]])
    one.loc[first, "label"] = 30.0
    window = find_truth(REGRESSION, one, draws=50).windows[5]
    assert (window.rows, window.error) == (1, 0.0)
    assert window.loss > 1
    assert window.bad is None


def test_better_than_the_reference_is_never_bad() -> None:
    truth = find_truth(REGRESSION, _stream(dict.fromkeys(range(10, 30), -0.5)), draws=100)
    assert truth.bad == 0 and truth.quiet == 20


def test_reference_by_window_mean_judges_the_same_windows_by_another_base() -> None:
    stream = _stream({0: 4.0})
    thin = stream[(stream["ts"] >= pd.Timestamp(START + DAY)) | (stream.index < 30)]
    pooled = find_truth(REGRESSION, thin, draws=50)
    mean = by_window_mean(pooled)
    assert mean.reference > pooled.reference
    assert [window.metric for window in mean.windows] == [window.metric for window in pooled.windows]


def test_auc_equals_scikit_learn_with_ties() -> None:
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, 500)
    score = np.round(random.random(500) + 0.3 * labels, 1)
    rows = pd.DataFrame({"score": score, "label": labels})
    assert metric_of("binary", rows) == pytest.approx(roc_auc_score(labels, score), abs=1e-12)


def test_bootstrap_error_equals_resampling_the_rows() -> None:
    random = np.random.default_rng(4)
    labels = random.integers(0, 2, 400)
    score = random.normal(size=400) + labels
    rows = pd.DataFrame({"score": score, "label": labels})
    _, error = metric_with_error("binary", rows, 1500, np.random.default_rng(5))
    picks = [random.integers(0, 400, 400) for _ in range(1500)]
    expected = np.std([roc_auc_score(labels[pick], score[pick]) for pick in picks], ddof=1)
    assert error == pytest.approx(expected, rel=0.1)


def test_accuracy_counts_equal_classes() -> None:
    rows = pd.DataFrame({"prediction": ["a", "b", "c", "a"], "label": ["a", "b", "a", None], "score": 0.5})
    assert metric_of("multiclass", rows) == pytest.approx(2 / 3)


def test_window_of_one_class_has_no_truth() -> None:
    stream = _stream({}, days=20, rows=40).assign(score=lambda rows: rows["label"])
    stream["label"] = (stream["label"] > 0).astype("int64")
    stream.loc[stream["ts"] >= pd.Timestamp(START + 19 * DAY), "label"] = 1
    truth = find_truth({"task": "binary", "window": "1d", "features": {}}, stream, draws=50)
    assert truth.windows[-1].bad is None
    assert truth.quiet == 9 and truth.bad == 0


def test_rows_are_cut_in_order_and_the_rest_is_left_out() -> None:
    stream = _stream({}, days=3, rows=35).sample(frac=1, random_state=1)
    windows = cut(stream, "50", "UTC")
    assert [len(rows) for _, _, rows in windows] == [50, 50]
    assert windows[0][1] <= windows[1][0]


def test_days_are_cut_on_the_clock_of_the_zone() -> None:
    stream = _stream({}, days=10, rows=50)
    windows = cut(stream, "1d", "America/New_York")
    # 2025-03-09 has 23 hours in New York.
    hours = {start.date(): (end - start).total_seconds() / 3600 for start, end, _ in windows}
    assert hours[datetime(2025, 3, 9, tzinfo=UTC).date()] == 23
    assert sum(len(rows) for _, _, rows in windows) == len(stream)


def test_page_is_right_in_and_directly_before_a_bad_window() -> None:
    truth = _truth(False, False, True, True, False, False)
    score = score_alarms(truth, [_page(day) for day in range(6)])
    assert (score.pages, score.right) == (6, 3)
    assert score.precision == pytest.approx(0.5)
    assert score.false_per_quiet_window == pytest.approx(3 / 4)
    assert score.wrong_starts == (START, START + 4 * DAY, START + 5 * DAY)


def test_episode_is_caught_by_one_page_and_delay_counts_from_its_first_bad_window() -> None:
    truth = _truth(False, True, True, True, False, True, False)
    score = score_alarms(truth, [_page(3, fired=5.0), _page(2, fired=4.5)])
    assert (score.episodes, score.caught) == (2, 1)
    assert score.delay_h == pytest.approx(2.5 * 24)
    assert score.allowed_h == pytest.approx(48)


def test_early_warning_has_a_negative_or_zero_delay() -> None:
    score = score_alarms(_truth(False, True, False), [_page(0)])
    assert score.caught == 1 and score.delay_h == pytest.approx(-24)


def test_window_without_a_truth_counts_neither_way_and_splits_no_episode() -> None:
    truth = _truth(False, True, None, True, False, None, False)
    assert truth.episodes == [(1, 3)]
    score = score_alarms(truth, [_page(5)])
    assert score.pages == 0 and score.precision is None
    assert score.false_per_quiet_window == 0


def test_page_about_no_live_window_is_wrong() -> None:
    score = score_alarms(_truth(False, True), [_page(-3), _page(1)])
    assert (score.outside, score.pages, score.right) == (1, 2, 1)


def test_silence_has_no_precision_and_catches_nothing() -> None:
    score = score_alarms(_truth(False, True, False), [])
    assert score.precision is None and score.caught_share == 0 and score.delay_h is None


def test_realised_metric_itself_is_right_about_all_and_as_late_as_the_labels() -> None:
    truth = find_truth(REGRESSION, _stream({15: 0.5, 16: 0.5, 22: 0.6}), draws=100)
    score = score_alarms(truth, realised_alarms(truth))
    assert score.precision == 1 and score.caught == score.episodes == 2
    assert score.delay_h is not None and 0 < score.delay_h <= 5


def test_alarms_are_read_by_the_start_of_their_window() -> None:
    backtest = {
        "windows": [{"window": "2025-03-02", "start": "2025-03-02T05:00:00Z", "end": "2025-03-03T05:00:00Z"}],
        "alarms": [
            {"window": "2025-03-02", "fired_at": "2025-03-03T06:00:00+00:00", "level": "page", "kind": "realised"},
            {"window": "2025-03-02", "fired_at": "2025-03-03T06:00:00+00:00", "level": "ticket", "kind": "drift"},
        ],
    }  # fmt: skip
    (page,) = read_alarms(backtest)
    assert page.start == datetime(2025, 3, 2, 5, tzinfo=UTC)
    assert page.fired_at == datetime(2025, 3, 3, 6, tzinfo=UTC)
    assert len(read_alarms(backtest, level=None)) == 2

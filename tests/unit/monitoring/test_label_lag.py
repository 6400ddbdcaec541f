from datetime import UTC, datetime, timedelta

import numpy as np

from backend.monitoring.label_lag import Hearing, LabelLag, find_label_lag, hear_labels, plan_looks
from backend.monitoring.outcomes import read_outcomes

N = 8000
START = datetime(2026, 3, 1, tzinfo=UTC)


def lag_of(delay_h: np.ndarray, score: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    outcomes = read_outcomes("binary", "roc_auc", score=score, prediction=None, label=label)
    found = find_label_lag(outcomes, delay_h * 3600, np.arange(N) // 400, margin=0.02)
    return found.lag.total_seconds() / 3600, found.share


def rows(seed: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 2, N).astype(float)
    return draw, 1 / (1 + np.exp(-(2 * label - 1 + draw.normal(0, 1.5, N)))), label


def test_labels_that_come_in_any_order_speak_early() -> None:
    draw, score, label = rows(1)
    lag, share = lag_of(draw.exponential(48, N), score, label)
    assert lag < 48
    assert 0.45 < share < 0.9


def test_labels_of_easy_rows_first_are_waited_for() -> None:
    draw, score, label = rows(2)
    hard = np.abs(score - 0.5) < 0.2
    lag, share = lag_of(np.where(hard, 100.0, 1.0) + draw.random(N), score, label)
    assert lag > 100
    assert share > 0.9


def test_without_delays_nothing_is_waited_for() -> None:
    _, score, label = rows(3)
    assert lag_of(np.full(N, np.nan), score, label) == (0.0, 1.0)


LAG = LabelLag(((timedelta(hours=10), 0.5), (timedelta(hours=30), 0.8), (timedelta(hours=60), 1.0)))
END = START + timedelta(days=1)


def hears(times: np.ndarray, rows: int, now: datetime) -> Hearing:
    known = int((times <= np.datetime64(now.replace(tzinfo=None), "us")).sum())
    return hear_labels(LAG, end=END, rows=rows, known=known, absent=0, labelled=0.9, now=now)


def test_the_first_planned_look_is_when_labels_are_heard() -> None:
    """The replay plans its looks, the live path asks at any moment: both go by one rule."""
    draw = np.random.default_rng(7)
    for _ in range(200):
        rows = int(draw.integers(5, 80))
        delays = np.sort(
            draw.exponential(draw.choice([1.0, 8.0, 20.0]), max(rows - int(draw.integers(3)), 3))
        )
        came = np.datetime64("2026-03-01", "us") + (delays * 3600e6 + 12 * 3600e6).astype("timedelta64[us]")
        looks = plan_looks(LAG, start=START, end=END, rows=rows, labelled=0.9, came=came)
        assert looks == sorted(set(looks))
        assert hears(came, rows, looks[0]).speaks
        assert not hears(came, rows, looks[0] - timedelta(microseconds=1)).speaks


def test_the_few_who_were_labelled_first_say_nothing_however_long_one_waits() -> None:
    came = np.datetime64("2026-03-01T12", "us") + np.arange(8).astype("timedelta64[h]")
    late = END + timedelta(days=365)
    assert hears(came, 40, late) == Hearing(
        False,
        False,
        None,
        "8 of about 36 labels have come; who was labelled first says nothing about the window",
    )
    assert hears(came, 30, late).speaks

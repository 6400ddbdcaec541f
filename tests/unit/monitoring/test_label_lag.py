import numpy as np

from backend.monitoring.label_lag import find_label_lag
from backend.monitoring.outcomes import read_outcomes

N = 8000


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

"""Up to when a pooled figure is: never to a moment that has not come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from backend.cards.live import _pool
from backend.monitoring.tables import MetricPoint, WindowState

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_a_window_that_is_not_over_reaches_to_when_it_was_computed() -> None:
    day = timedelta(days=1)
    over = WindowState(start=NOON - 2 * day, end=NOON - day, computed_at=NOON)
    running = WindowState(start=NOON - day / 2, end=NOON + day / 2, computed_at=NOON)
    point = MetricPoint(value=0.7, low=0.6, high=0.8, rows=90)
    whole, newest = (
        _pool("roc_auc", "", [(point, over)]),
        _pool("roc_auc", "", [(point, over), (point, running)]),
    )
    assert whole is not None and newest is not None
    assert (whole.end, newest.end) == (NOON - day, NOON)

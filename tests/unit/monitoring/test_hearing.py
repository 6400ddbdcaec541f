"""When the labels of a window speak for it, and when they are to be looked at again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from backend.monitoring.label_lag import AT_ONCE, LabelLag, hear_labels, wait_for_labels

END = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
SLOW = LabelLag(((2 * DAY, 0.8), (5 * DAY, 1.0)))


@pytest.mark.parametrize(
    ("lag", "days", "known", "absent", "speaks", "may_page", "look_at"),
    [
        (SLOW, 1, 80, 0, False, True, 2),  # enough for the first look, which is still to come
        (SLOW, 2, 80, 0, True, True, None),
        (SLOW, 2, 60, 0, False, False, 5),  # too few; the longest wait decides
        (SLOW, 5, 60, 0, True, False, None),
        (SLOW, 0.5, 100, 0, True, True, None),  # all have come: nothing is left to wait for
        (SLOW, 0.5, 70, 30, True, True, None),
        (SLOW, -0.5, 100, 0, False, True, 2),  # the window is not over
        (SLOW, 9, 0, 0, False, False, None),
        (None, 0, 79, 0, False, False, None),  # nobody knows how long labels take
        (None, 0, 80, 0, True, True, None),
    ],
)
def test_labels_speak(
    lag: LabelLag | None,
    days: float,
    known: int,
    absent: int,
    speaks: bool,
    may_page: bool,
    look_at: float | None,
) -> None:
    found = hear_labels(
        lag, end=END, rows=100, known=known, absent=absent, labelled=1.0, now=END + days * DAY
    )
    assert (found.speaks, found.may_page) == (speaks, may_page)
    assert found.look_at == (None if look_at is None else END + look_at * DAY)
    assert (found.reason is None) == speaks


def test_rows_that_never_had_labels_are_not_waited_for() -> None:
    found = hear_labels(SLOW, end=END, rows=100, known=40, absent=0, labelled=0.5, now=END + 2 * DAY)
    assert (found.speaks, found.may_page) == (True, True)


def test_the_declared_delay_counts_where_nothing_was_measured() -> None:
    assert wait_for_labels(SLOW, 60.0) == SLOW
    assert wait_for_labels(AT_ONCE, None) is None
    assert wait_for_labels(AT_ONCE, 3600.0) == LabelLag(((timedelta(hours=1), 1.0),))

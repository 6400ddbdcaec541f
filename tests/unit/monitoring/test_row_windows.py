import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from backend.monitoring.columns import Column
from backend.monitoring.profiles import freeze_grids, profile_groups
from backend.monitoring.windows import number_rows, window_of, windows_between


def moments(*minutes: int | None) -> np.ndarray:
    start = np.datetime64("2026-03-01T00:00", "us")
    return np.array([np.datetime64("NaT") if m is None else start + np.timedelta64(m, "m") for m in minutes])


def test_windows_of_rows_follow_time_and_then_id_whatever_the_order_they_are_read_in() -> None:
    times, ids = moments(3, 1, 1, 1, None, 2), np.array(["f", "b", "c", "a", "x", "e"])
    ordinals, windows = number_rows(times, ids, 2)
    assert ordinals.tolist() == [2, 0, 1, 0, -1, 1]
    assert [(w.ordinal, w.rows, w.complete) for w in windows] == [(0, 2, True), (1, 2, True), (2, 1, False)]
    swap = np.random.default_rng(0).permutation(6)
    again, same = number_rows(times[swap], ids[swap], 2)
    assert again.tolist() == ordinals[swap].tolist()
    assert same == windows


def test_their_times_run_from_first_row_to_the_next_window_even_on_ties() -> None:
    _, windows = number_rows(moments(0, 0, 0, 0, 5, 6), np.arange(6), 2)
    first = datetime(2026, 3, 1, tzinfo=UTC)
    assert windows[0].window.start == windows[1].window.start == first
    assert windows[0].window.end == first + timedelta(microseconds=1)
    assert windows[1].window.end == windows[2].window.start == first + timedelta(minutes=5)
    assert windows[2].window.end == first + timedelta(minutes=6, microseconds=1)


def test_a_late_row_changes_no_window_before_its_place() -> None:
    times, ids = moments(*range(0, 20, 2)), np.arange(10)
    before, _ = number_rows(times, ids, 3)
    after, _ = number_rows(np.append(times, moments(9)), np.append(ids, 99), 3)
    assert after[:5].tolist() == before[:5].tolist()
    assert after[-1] == 1


def test_no_rows_make_no_window_and_a_window_needs_a_row() -> None:
    assert number_rows(moments(), np.array([]), 5)[1] == []
    with pytest.raises(ValueError, match="at least one row"):
        number_rows(moments(1), np.array([1]), 0)


def test_they_are_profiled_by_their_ordinal() -> None:
    random = np.random.default_rng(1)
    rows = pa.table({"x": random.normal(size=1000)})
    ordinals, windows = number_rows(moments(*random.integers(0, 60, 1000).tolist()), np.arange(1000), 300)
    found = profile_groups(
        rows.append_column("window", pa.array(ordinals)),
        freeze_grids(rows, [Column("x", "numeric")]),
        "window",
    )
    assert [found[w.ordinal, "x"].rows for w in windows] == [300, 300, 300, 100]


@pytest.mark.parametrize(
    ("zone", "moment", "size", "hours"),
    [
        ("Europe/Paris", "2026-03-29T10:00", "1d", 23),
        ("Europe/Paris", "2026-10-25T10:00", "1d", 25),
        ("Europe/Paris", "2026-03-27T10:00", "1w", 167),
        ("Europe/Paris", "2026-03-10T10:00", "1mo", 31 * 24 - 1),
        ("Europe/Paris", "2026-10-10T10:00", "1mo", 31 * 24 + 1),
        ("America/New_York", "2026-11-01T10:00", "1d", 25),
        ("America/New_York", "2026-10-30T10:00", "1w", 169),
        ("America/New_York", "2026-11-10T10:00", "1mo", 30 * 24 + 1),
        ("Australia/Lord_Howe", "2026-10-03T15:00", "1d", 23.5),
        ("Australia/Lord_Howe", "2026-04-04T15:00", "1d", 24.5),
        ("Australia/Lord_Howe", "2026-10-10T10:00", "1mo", 31 * 24 - 0.5),
    ],
)
def test_windows_over_a_clock_change_have_the_hours_of_their_zone(
    zone: str, moment: str, size: str, hours: float
) -> None:
    assert window_of(datetime.fromisoformat(moment).replace(tzinfo=UTC), size, zone).hours == hours


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("size", ["1h", "1d", "1w", "1mo"])
def test_a_year_of_windows_leaves_no_gap_in_any_zone(zone: str, size: str) -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    windows = windows_between(first, first + timedelta(days=366), size, zone)
    assert all(a.end == b.start for a, b in itertools.pairwise(windows))
    assert windows[0].start <= first
    assert windows[-1].end >= first + timedelta(days=366)

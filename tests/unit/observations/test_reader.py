"""Reading: filters, joins and counts over committed rows; nothing of the spool, nothing half."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.errors import BadInput
from backend.observations.reader import Filter, read, recent, row_counts, scan, window_counts
from backend.observations.store import accept
from backend.observations.writer import commit_spool

from .samples import NOW, labels, predictions


@pytest.fixture
def observations(tmp_path: Path) -> Path:
    """Rows 0..47, one an hour; 48..57 of version 2, canary, staging; labels for 0..9 known, 10..14 never."""
    folder, spool = tmp_path / "observations", tmp_path / "spool"
    batches: list[tuple[str, Any]] = [
        ("predictions", predictions(range(48))),
        ("predictions", predictions(range(48, 58), version=2, role="canary", environment="staging")),
        ("labels", labels(range(10))),
        ("labels", labels(range(10, 15), label=None, status="will_not_come")),
    ]
    for step, (stream, batch) in enumerate(batches):
        accept(folder, spool, "m", stream, batch, source="api", now=NOW + timedelta(minutes=step))  # type: ignore[arg-type]
    commit_spool(folder, spool)
    accept(folder, spool, "m", "predictions", predictions([999]), source="api", now=NOW)  # stays in the spool
    return folder


def ids(observations: Path, **where: Any) -> set[int]:
    table = read(observations, "m", Filter(**where), columns=["prediction_id"])
    return {int(name.removeprefix("p-")) for name in table.column("prediction_id").to_pylist()}


def test_filters(observations: Path) -> None:
    assert ids(observations) == set(range(58))
    start, end = NOW - timedelta(hours=5), NOW - timedelta(hours=2)
    assert ids(observations, start=start, end=end) == {2, 3, 4, 50, 51, 52}
    assert ids(observations, start=start, end=end, versions=[1]) == {2, 3, 4}
    assert ids(observations, environments=["staging"]) == set(range(48, 58))
    assert ids(observations, roles=["canary", "champion"]) == set(range(58))
    assert ids(observations, roles=["it's"]) == set()
    assert ids(observations, versions=[]) == set()
    assert ids(observations, start=NOW + timedelta(days=400)) == set()


def test_as_known_at_shows_what_was_known_then(observations: Path) -> None:
    assert ids(observations, as_known_at=NOW) == set(range(48))
    table = read(observations, "m", Filter(as_known_at=NOW + timedelta(minutes=2)), columns=["label_status"])
    assert table.column("label_status").to_pylist().count("known") == 10
    assert table.column("label_status").to_pylist().count("will_not_come") == 0


def test_columns_are_selected_in_order_and_unknown_ones_named(observations: Path) -> None:
    assert read(observations, "m", columns=["carrier", "label", "ts"]).column_names == [
        "carrier",
        "label",
        "ts",
    ]
    with pytest.raises(BadInput, match="no column 'altitude'"):
        read(observations, "m", columns=["altitude"])


def test_scan_is_a_relation_to_query_further(observations: Path) -> None:
    relation = scan(observations, "m", columns=["carrier", "label_status"])
    counts = relation.filter("label_status IS NOT NULL").aggregate("carrier, count(*)").order("1").fetchall()
    assert counts == [("AA", 7), ("UA", 8)]


def test_recent_is_newest_first(observations: Path) -> None:
    table = recent(observations, "m", 3)
    assert table.column("prediction_id").to_pylist() == ["p-48", "p-0", "p-49"] or table.column(
        "ts"
    ).to_pylist() == [NOW - timedelta(hours=1), NOW - timedelta(hours=1), NOW - timedelta(hours=2)]
    assert table.num_rows == 3


def test_window_counts_include_empty_windows_and_late_labels(observations: Path) -> None:
    edges = [NOW + timedelta(hours=hours) for hours in (-58, -48, -15, -10, 0, 10)]
    rows = [tuple(row.values())[2:] for row in window_counts(observations, "m", edges).to_pylist()]
    # rows, known, will_not_come, waiting
    assert rows == [(0, 0, 0, 0), (33, 0, 0, 33), (5, 0, 5, 0), (20, 10, 0, 10), (0, 0, 0, 0)]
    only = window_counts(observations, "m", edges, Filter(versions=[2]))
    assert only.column("rows").to_pylist() == [0, 0, 0, 10, 0]
    with pytest.raises(BadInput, match="rising order"):
        window_counts(observations, "m", [NOW, NOW])


def test_row_counts(observations: Path) -> None:
    counts = row_counts(observations, "m")
    assert (counts.predictions, counts.labels_known, counts.labels_will_not_come) == (58, 10, 5)
    assert (counts.first_ts, counts.last_ts) == (NOW - timedelta(hours=48), NOW - timedelta(hours=1))


def test_absent_table_is_empty_and_no_error(tmp_path: Path) -> None:
    table = read(tmp_path, "nothing")
    assert (len(table), "label_status" in table.column_names) == (0, True)
    assert scan(tmp_path, "nothing", Filter(start=NOW)).fetchall() == []
    assert len(recent(tmp_path, "nothing", 5)) == 0
    counts = window_counts(tmp_path, "nothing", [NOW, NOW + timedelta(hours=1)])
    assert counts.column("rows").to_pylist() == [0]
    assert row_counts(tmp_path, "nothing").first_ts is None


def test_time_without_a_zone_is_refused(observations: Path) -> None:
    with pytest.raises(BadInput, match="no zone"):
        read(observations, "m", Filter(start=NOW.replace(tzinfo=None)))


def test_readers_see_whole_commits_only(tmp_path: Path) -> None:
    """Each commit holds 25 rows over two days; a reader beside the writer sees multiples of 25."""
    folder, spool = tmp_path / "observations", tmp_path / "spool"
    stop = threading.Event()
    seen: set[int] = set()

    def look() -> None:
        while not stop.is_set():
            seen.add(len(read(folder, "m", columns=["prediction_id", "label"])))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for start in range(0, 200, 25):
            batch = predictions(range(start, start + 25))
            accept(folder, spool, "m", "predictions", batch, source="api", now=NOW)
            commit_spool(folder, spool, compact_every=3)
    finally:
        stop.set()
        looker.join()
    assert seen
    assert all(count % 25 == 0 for count in seen)

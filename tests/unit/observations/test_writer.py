"""Spool to Delta: nothing lost, nothing double, wherever the writer dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from backend.observations import delta
from backend.observations import spool as spool_files
from backend.observations.reader import read, row_counts
from backend.observations.snapshots import snapshot
from backend.observations.spool_log import SpoolLog
from backend.observations.store import Accepted, accept, gateway_row, stamped
from backend.observations.validation import prediction_row
from backend.observations.writer import FAULT_POINTS, CommitFailed, Committed, WriterBusy, commit_spool

from .samples import FEATURES, NOW, labels, prediction, predictions, served

ROOT = Path(__file__).parents[3]


@pytest.fixture
def observations(tmp_path: Path) -> Path:
    return tmp_path / "observations"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def put(observations: Path, spool: Path, numbers: Sequence[int], labelled: Sequence[int] = ()) -> None:
    if numbers:
        accept(observations, spool, "m", "predictions", predictions(numbers), source="api", now=NOW)
    if labelled:
        accept(observations, spool, "m", "labels", labels(labelled), source="api", now=NOW)


def test_commit_moves_everything_and_empties_the_spool(observations: Path, spool: Path) -> None:
    put(observations, spool, range(10), range(4))
    with SpoolLog(spool) as log:
        log.append("predictions", "m", served(20))
        log.append("predictions", "n", served(21))
    reported: list[Committed] = []
    done = commit_spool(observations, spool, on_committed=reported.extend)
    assert reported == done
    assert [(one.stream, one.model, one.rows, one.rows_known) for one in done] == [
        ("predictions", "m", 11, 0),
        ("predictions", "n", 1, 0),
        ("labels", "m", 4, 0),
    ]
    assert spool_files.pending_bytes(spool) == 0
    assert commit_spool(observations, spool) == []
    rows = read(observations, "m").to_pylist()
    assert [row["prediction_id"] for row in rows if row["source"] == "gateway"] == ["p-20"]
    assert {row["prediction_id"]: row["label"] for row in rows if row["label_status"]} == {
        f"p-{i}": str(i % 2) for i in range(4)
    }


def test_gateway_and_api_rows_are_stored_alike(observations: Path, spool: Path) -> None:
    put(observations, spool, [1])
    with SpoolLog(spool) as log:
        log.append("predictions", "m", {**served(2)})
    commit_spool(observations, spool)
    first, second = read(observations, "m", columns=["ingested_at", "carrier", "distance", "ts"]).to_pylist()
    assert first["ingested_at"] == second["ingested_at"] == NOW
    assert {type(first[name]) for name in first} == {type(second[name]) for name in second}


def test_one_commit_per_table_names_its_segments(observations: Path, spool: Path) -> None:
    for number in range(5):
        put(observations, spool, [number])
    names = [path.name for path in spool_files.segments(spool, "predictions", "m")]
    commit_spool(observations, spool)
    (entry,) = DeltaTable(str(observations / "m/predictions")).history()
    assert [name for name in names if name in entry["segments"]] == names


def test_affected_hours_of_predictions_and_of_labels(observations: Path, spool: Path) -> None:
    put(observations, spool, [0, 1, 48, 10])
    (done,) = commit_spool(observations, spool)
    hours = [(row["hour"], row["rows"]) for row in done.affected.to_pylist()]
    at = [NOW - timedelta(hours=n + 1) for n in (10, 1, 0)]
    assert hours == [(at[0], 1), (at[1], 1), (at[2], 2)]
    assert done.ranges == ((at[0], at[0] + timedelta(hours=1)), (at[1], at[2] + timedelta(hours=1)))
    put(observations, spool, [], [10, 48, 999])
    (done,) = commit_spool(observations, spool)
    assert (done.stream, done.rows, done.orphans) == ("labels", 3, 1)
    assert [(row["hour"], row["rows"]) for row in done.affected.to_pylist()] == [(at[0], 1), (at[2], 1)]


def test_label_before_its_prediction_is_kept_and_joined_later(observations: Path, spool: Path) -> None:
    put(observations, spool, [], [7])
    (done,) = commit_spool(observations, spool)
    assert (done.orphans, done.ranges) == (1, ())
    put(observations, spool, [7])
    (done,) = commit_spool(observations, spool)
    assert done.affected.num_rows == 1
    assert read(observations, "m", columns=["label"]).to_pylist() == [{"label": "1"}]


def test_row_that_conflicts_at_commit_is_set_aside_and_reported(observations: Path, spool: Path) -> None:
    """Two hosts, or a gateway and the API, accepted one id with different content."""
    put(observations, spool, [1, 2])
    for score in (0.9, 0.8):
        other = stamped(
            predictions([1, 3 if score == 0.9 else 4], score=score), "predictions", source="api", now=NOW
        )
        spool_files.append(spool, "predictions", "m", other)
    (done,) = commit_spool(observations, spool)
    assert (done.rows, done.rows_rejected, len(done.rejected)) == (4, 2, 2)
    kept = [row for path in done.rejected for row in pq.read_table(path).to_pylist()]
    assert sorted((row["prediction_id"], row["score"]) for row in kept) == [("p-1", 0.8), ("p-1", 0.9)]
    assert all("other content" in row["reason"] for row in kept)
    assert {row["prediction_id"]: row["score"] for row in read(observations, "m").to_pylist()}["p-1"] == 0.1
    late = stamped(predictions([2], score=0.9), "predictions", source="api", now=NOW)
    spool_files.append(spool, "predictions", "m", late)
    (done,) = commit_spool(observations, spool)
    assert (done.rows, done.rows_rejected) == (0, 1)
    assert done.affected.num_rows == 0


def test_feature_of_another_kind_is_set_aside(observations: Path, spool: Path) -> None:
    put(observations, spool, [1])
    commit_spool(observations, spool)
    changed = {"distance": "categorical", "carrier": "categorical"}
    with SpoolLog(spool) as log:
        log.append("predictions", "m", served(2))
        row = prediction_row(changed, prediction(3, distance="far"), now=NOW)  # type: ignore[arg-type]
        log.append("predictions", "m", gateway_row(row, now=NOW))
        row = prediction_row(changed, prediction(4, distance=None), now=NOW)  # type: ignore[arg-type]
        log.append("predictions", "m", gateway_row(row, now=NOW))
    (done,) = commit_spool(observations, spool)
    assert (done.rows, done.rows_rejected) == (2, 1)
    (row,) = pq.read_table(done.rejected[0]).to_pylist()
    assert (row["prediction_id"], row["distance"]) == ("p-3", "far")
    assert "distance is stored as numeric" in row["reason"]


def test_new_feature_joins_the_table(observations: Path, spool: Path) -> None:
    put(observations, spool, [1])
    commit_spool(observations, spool)
    with SpoolLog(spool) as log:
        row = prediction_row({**FEATURES, "wind": "numeric"}, prediction(2, wind=3.5), now=NOW)
        log.append("predictions", "m", gateway_row(row, now=NOW))
    commit_spool(observations, spool)
    assert read(observations, "m", columns=["prediction_id", "wind"]).to_pylist() == [
        {"prediction_id": "p-2", "wind": 3.5},
        {"prediction_id": "p-1", "wind": None},
    ]


def test_many_passes_give_the_same_rows(observations: Path, spool: Path) -> None:
    for number in range(7):
        put(observations, spool, [number, number + 1] if number == 3 else [number])
    done = commit_spool(observations, spool, max_pass_rows=2)
    assert len(done) > 2
    assert row_counts(observations, "m").predictions == 7


def test_table_that_cannot_be_written_keeps_its_rows_and_stops_no_other(
    observations: Path, spool: Path
) -> None:
    for model in ("bad", "good"):
        accept(observations, spool, model, "predictions", predictions([1]), source="api", now=NOW)
    (observations / "bad").mkdir(parents=True)
    (observations / "bad/predictions").write_text("not a folder")
    seen: list[Committed] = []
    with pytest.raises(CommitFailed, match="predictions of bad"):
        commit_spool(observations, spool, on_committed=seen.extend)
    assert [one.model for one in seen] == ["good"]
    assert len(spool_files.segments(spool, "predictions", "bad")) == 1
    assert spool_files.segments(spool, "predictions", "good") == []
    (observations / "bad/predictions").unlink()
    commit_spool(observations, spool)
    assert row_counts(observations, "bad").predictions == 1


def test_failing_callback_keeps_the_segments_and_hears_of_them_again(observations: Path, spool: Path) -> None:
    put(observations, spool, [1, 2])

    def fail(_: object) -> None:
        raise RuntimeError("the database is away")

    with pytest.raises(RuntimeError, match="away"):
        commit_spool(observations, spool, on_committed=fail)
    (done,) = commit_spool(observations, spool)
    assert (done.rows, done.rows_known, done.affected.num_rows) == (0, 2, 2)


def test_second_writer_is_refused(observations: Path, spool: Path) -> None:
    put(observations, spool, [1])
    seen: list[str] = []

    def intrude(_: object) -> None:
        with pytest.raises(WriterBusy):
            commit_spool(observations, spool)
        seen.append("refused")

    commit_spool(observations, spool, on_committed=intrude)
    assert seen == ["refused"]


def test_damaged_closed_files_are_kept_for_a_person(observations: Path, spool: Path) -> None:
    put(observations, spool, [1])
    segment = spool_files.append(spool, "predictions", "m", predictions([2]))
    segment.write_bytes(segment.read_bytes()[:200])
    with SpoolLog(spool) as log:
        log.append("predictions", "m", served(3))
        log.append("predictions", "m", served(4))
    (closed,) = spool_files.closed_logs(spool)
    closed.write_bytes(closed.read_bytes()[:-5])
    (done,) = commit_spool(observations, spool)
    assert done.rows == 2
    kept = spool_files.quarantined(spool)
    assert len(kept) == 2
    assert any(b'"p-4"' in path.read_bytes() for path in kept)


def test_compaction_keeps_rows_and_running_scans(observations: Path, spool: Path) -> None:
    for number in range(8):
        put(observations, spool, [48 * number], [48 * number])
        commit_spool(observations, spool, compact_every=0)
    before = snapshot(observations, "m", "predictions")
    assert before is not None
    assert len(before.files) == 8
    put(observations, spool, [48 * 9])
    commit_spool(observations, spool, compact_every=8)
    after = snapshot(observations, "m", "predictions")
    assert after is not None
    assert len(after.files) == 1
    assert len(read(observations, "m")) == 9
    assert all(Path(file).is_file() for file in before.files)


def test_fsync_covers_every_file_of_a_commit(
    observations: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    real = delta.sync_file
    monkeypatch.setattr(delta, "sync_file", lambda path: (synced.append(path), real(path)))
    put(observations, spool, range(48))
    commit_spool(observations, spool)
    found = snapshot(observations, "m", "predictions")
    assert found is not None
    assert {str(path) for path in synced} >= set(found.files)
    assert observations / "m/predictions/_delta_log/00000000000000000000.json" in synced


WRITER = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from backend.observations.writer import commit_spool
    observations, spool, point, count, heard = sys.argv[1:]
    seen = {}
    def after(name):
        seen[name] = seen.get(name, 0) + 1
        if name == point and seen[name] == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
    def hear(done):
        with open(heard, "a") as file:
            for one in done:
                file.write(f"{one.stream} {one.rows + one.rows_known}\\n")
            os.fsync(file.fileno())
    commit_spool(Path(observations), Path(spool), on_committed=hear, after=after, compact_every=1)
    """
)


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("point", FAULT_POINTS)
def test_writer_killed_at_any_point_loses_nothing_and_doubles_nothing(
    observations: Path, spool: Path, tmp_path: Path, point: str, count: int
) -> None:
    put(observations, spool, range(10), range(5))
    commit_spool(observations, spool)
    put(observations, spool, range(10, 30), range(5, 15))
    put(observations, spool, range(30, 35))
    with SpoolLog(spool) as log:
        for number in range(40, 45):
            log.append("predictions", "m", served(number))
    spool_files.append(
        spool, "predictions", "m", stamped(predictions([3], score=0.99), "predictions", source="api", now=NOW)
    )
    heard = tmp_path / "heard"
    heard.touch()
    run = subprocess.run(
        [sys.executable, "-c", WRITER, str(observations), str(spool), point, str(count), str(heard)], cwd=ROOT
    )
    assert run.returncode == -signal.SIGKILL or (count == 2 and run.returncode == 0)
    commit_spool(
        observations,
        spool,
        on_committed=lambda done: heard.write_text(
            heard.read_text() + "".join(f"{one.stream} {one.rows + one.rows_known}\n" for one in done)
        ),
    )
    rows = read(observations, "m").to_pylist()
    expected = [*range(35), *range(40, 45)]
    assert sorted(row["prediction_id"] for row in rows) == sorted(f"p-{number}" for number in expected)
    assert sum(row["label"] is not None for row in rows) == 15
    assert row_counts(observations, "m").labels_known == 15
    assert len(list((observations / "m/rejected").glob("[!.]*.parquet"))) == 1
    assert spool_files.pending_bytes(spool) == 0
    lines = heard.read_text().splitlines()
    assert "predictions 30" in lines  # the callback heard of every row in one piece at least once
    assert "labels 10" in lines


def test_every_fault_point_is_reached(observations: Path, spool: Path) -> None:
    put(observations, spool, range(3), [1])
    reached: list[str] = []
    commit_spool(observations, spool, after=reached.append)
    assert set(reached) == set(FAULT_POINTS)


@pytest.mark.chaos
@pytest.mark.slow
def test_accepting_process_killed_anywhere_stores_all_or_nothing(observations: Path, spool: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from backend.observations.store import accept
        from tests.unit.observations.samples import NOW, predictions
        for number in range(0, 10_000, 10):
            accept(Path(sys.argv[1]), Path(sys.argv[2]), "m", "predictions", predictions(range(number, number + 10)),
                   source="api", now=NOW)
            print(number, flush=True)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(observations), str(spool)], stdout=subprocess.PIPE, cwd=ROOT
    ) as sender:
        assert sender.stdout is not None
        for _ in range(7):
            sender.stdout.readline()
        os.kill(sender.pid, signal.SIGKILL)
        answered = 7 + len(sender.stdout.read().splitlines())
        sender.wait()
    commit_spool(observations, spool)
    stored = row_counts(observations, "m").predictions
    assert stored in (answered * 10, answered * 10 + 10)
    again = accept(
        observations, spool, "m", "predictions", predictions(range(answered * 10)), source="api", now=NOW
    )
    assert again == Accepted(0, answered * 10)


def test_times_of_a_label_partition_by_the_day_it_became_known(observations: Path, spool: Path) -> None:
    moment = datetime(2026, 2, 1, 23, 59, 59, 999999, tzinfo=UTC)
    accept(
        observations, spool, "m", "labels", labels([1], label_ts=moment.isoformat()), source="cli", now=NOW
    )
    commit_spool(observations, spool)
    assert DeltaTable(str(observations / "m/labels")).partitions() == [{"day": "2026-02-01"}]

"""What the spool acknowledged survives; what it did not acknowledge does not appear."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend.errors import BadInput
from backend.observations import spool as spool_files
from backend.observations.spool import SpoolFull
from backend.observations.spool_log import SpoolLog

from .samples import predictions, served


def rows_in(spool: Path) -> list[str]:
    return [
        record.row["prediction_id"]
        for path in spool_files.all_logs(spool)
        for record in spool_files.read_log(path).rows
    ]


def test_segment_reads_back_and_leaves_no_draft(tmp_path: Path) -> None:
    batch = predictions(range(5))
    path = spool_files.append(tmp_path, "predictions", "m", batch)
    assert spool_files.segments(tmp_path, "predictions", "m") == [path]
    assert spool_files.read_segment(path).equals(batch)
    assert spool_files.read_segment(path, ["row_digest", "prediction_id"]).column_names == [
        "row_digest",
        "prediction_id",
    ]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_model_named_like_a_table_of_a_catalogue_has_a_folder(tmp_path: Path) -> None:
    path = spool_files.append(tmp_path, "predictions", "main.credit.v2", predictions([1]))
    assert path.parent.name == "main.credit.v2"
    assert spool_files.segments(tmp_path, "predictions", "main.credit.v2") == [path]


def test_segments_are_in_order_of_arrival(tmp_path: Path) -> None:
    paths = [spool_files.append(tmp_path, "predictions", "m", predictions([i])) for i in range(5)]
    assert spool_files.segments(tmp_path, "predictions", "m") == paths


@pytest.mark.parametrize("model", ["", "../up", "a/b", ".hidden", "a" * 201, "a b"])
def test_model_that_is_no_folder_name_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(BadInput, match="cannot be a model's name"):
        spool_files.append(tmp_path, "predictions", model, predictions([1]))


def test_full_disk_and_long_backlog_refuse_and_store_nothing(tmp_path: Path) -> None:
    spool_files.append(tmp_path, "predictions", "m", predictions([1]))
    with pytest.raises(SpoolFull, match="kept in reserve"):
        spool_files.check_room(tmp_path, min_free_bytes=1 << 60)
    with pytest.raises(SpoolFull, match="wait in"):
        spool_files.check_room(tmp_path, max_pending_bytes=10)
    with SpoolLog(tmp_path, max_pending_bytes=10) as log:
        deadline = time.monotonic() + 5
        while log.refusal is None and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(SpoolFull, match="wait in"):
            log.append("predictions", "m", served(1))
    assert rows_in(tmp_path) == []


def test_what_shadows_wrote_takes_no_room_from_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SpoolLog(tmp_path, rotate_s=0.05, shadows=True) as log:
        log.append("predictions", "m~shadow", served(1))
    waiting = spool_files.shadow_bytes(tmp_path)
    assert waiting == spool_files.pending_bytes(tmp_path) > 10
    spool_files.check_room(tmp_path, max_pending_bytes=10)
    with pytest.raises(SpoolFull, match="of shadows wait"):
        spool_files.check_shadow_room(tmp_path, max_bytes=10)
    free = spool_files.MIN_FREE_BYTES - waiting  # the disk has filled up, by as much through shadows
    monkeypatch.setattr(spool_files.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    spool_files.check_room(tmp_path)
    with pytest.raises(SpoolFull, match="kept in reserve"):
        spool_files.check_shadow_room(tmp_path)
    with pytest.raises(SpoolFull, match="kept in reserve"):
        spool_files.check_room(tmp_path, needed_bytes=1)


def test_queue_beyond_its_limit_refuses(tmp_path: Path) -> None:
    with SpoolLog(tmp_path, max_queued_bytes=10) as log, pytest.raises(SpoolFull, match="faster than"):
        log.submit("predictions", "m", served(1))


def test_log_rows_of_many_threads_are_all_durable_when_append_returns(tmp_path: Path) -> None:
    with SpoolLog(tmp_path, rotate_s=30) as log:

        def serve(start: int) -> None:
            for number in range(start, start + 25):
                log.append("predictions", "m", served(number))

        threads = [threading.Thread(target=serve, args=(100 * i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = rows_in(tmp_path)  # while the log is still open
        assert sorted(found) == sorted(f"p-{100 * i + j}" for i in range(8) for j in range(25))
    assert [path.suffix for path in spool_files.all_logs(tmp_path)] == [".log"]


def test_log_closes_by_age_without_further_traffic(tmp_path: Path) -> None:
    with SpoolLog(tmp_path, rotate_s=0.1) as log:
        log.append("predictions", "m", served(1))
        deadline = time.monotonic() + 5
        while not spool_files.closed_logs(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [path.suffix for path in spool_files.closed_logs(tmp_path)] == [".log"]
        log.append("predictions", "m", served(2))
    assert rows_in(tmp_path) == ["p-1", "p-2"]


def test_log_of_a_living_gateway_is_left_alone_and_of_a_dead_one_taken_over(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from backend.observations.spool_log import SpoolLog
        from tests.unit.observations.samples import served
        log = SpoolLog(Path(sys.argv[1]), rotate_s=600)
        for number in range(20):
            log.append("predictions", "m", served(number))
        print("ready", flush=True)
        time.sleep(600)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    ) as gateway:
        try:
            assert gateway.stdout is not None
            assert gateway.stdout.readline() == b"ready\n"
            assert spool_files.closed_logs(tmp_path) == []
        finally:
            os.kill(gateway.pid, signal.SIGKILL)
            gateway.wait()
    (left,) = spool_files.closed_logs(tmp_path)
    assert left.suffix == ".left"
    assert [record.row["prediction_id"] for record in spool_files.read_log(left).rows] == [
        f"p-{number}" for number in range(20)
    ]


def test_torn_tail_is_dropped_at_every_byte(tmp_path: Path) -> None:
    good = spool_files.frame("predictions", "m", served(1))
    torn = spool_files.frame("predictions", "m", served(2))
    path = tmp_path / "x.left"
    for cut in range(len(torn)):
        path.write_bytes(good + torn[:cut])
        content = spool_files.read_log(path)
        assert [record.row["prediction_id"] for record in content.rows] == ["p-1"]
        assert (content.good_bytes, content.torn_bytes) == (len(good), cut)
    for position in range(len(torn)):
        path.write_bytes(good + torn[:position] + bytes([torn[position] ^ 1]) + torn[position + 1 :])
        assert len(spool_files.read_log(path).rows) == 1
    path.write_bytes(good + bytes(4096))  # what a file extended and never written holds
    assert len(spool_files.read_log(path).rows) == 1


def test_failed_write_is_not_acknowledged_and_the_log_goes_on(tmp_path: Path) -> None:
    with SpoolLog(tmp_path, rotate_s=600) as log:
        log.append("predictions", "m", served(1))
        folder = tmp_path / "logs"
        (open_log,) = folder.glob("*.open")
        # the descriptor is made unwritable underneath, as a failing disk would
        read_only = os.open(open_log, os.O_RDONLY)
        os.dup2(read_only, log.descriptor)
        os.close(read_only)
        with pytest.raises(SpoolFull, match="was not stored"):
            log.append("predictions", "m", served(2))
        log.append("predictions", "m", served(3))
    assert rows_in(tmp_path) == ["p-1", "p-3"]


def test_cancelled_row_does_not_stop_the_log(tmp_path: Path) -> None:
    with SpoolLog(tmp_path) as log:
        futures = [log.submit("predictions", "m", served(number)) for number in range(200)]
        cancelled = {number for number, future in enumerate(futures) if number % 3 == 0 and future.cancel()}
        wait(futures)
    kept = [f"p-{number}" for number in range(200) if number not in cancelled]
    assert rows_in(tmp_path) == kept


def test_closed_log_takes_no_more(tmp_path: Path) -> None:
    log = SpoolLog(tmp_path)
    log.close()
    with pytest.raises(SpoolFull, match="stopping"):
        log.append("predictions", "m", served(1))


def test_drafts_of_dead_processes_are_cleared(tmp_path: Path) -> None:
    spool_files.append(tmp_path, "predictions", "m", predictions([1]))
    old, new = (tmp_path / "predictions/m" / f".{name}.tmp" for name in ("old", "new"))
    for draft in (old, new):
        draft.write_bytes(b"half")
    os.utime(old, (1, 1))
    spool_files.clear_drafts(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)

"""The writer: the spool moves into Delta, touched windows are marked in one transaction, a crash repairs itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from backend import clock
from backend.database.session import reading, writing
from backend.identity.actor import system_actor
from backend.leases import WRITER, lease_of, take_lease
from backend.monitoring.tables import WindowState
from backend.observations.reader import row_counts
from backend.observations.spool import pending_bytes
from backend.observations.store import accept
from backend.observations.validation import label_batch, prediction_batch
from backend.queue import COMMIT_SPOOL, request_job
from backend.registry.service import register_model
from backend.settings import settings
from jobs import commit_spool
from jobs.commit_spool import LeaseLost, commit_once, mark_committed
from tests.integration.jobs.conftest import Start, run_of, wait_for

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def flights(database: str) -> str:
    with writing() as session:
        register_model(
            session, system_actor("worker"), name="flights", title="F", description="", tier="low",
            spec={"task": "binary", "features": {"x": "numeric"}, "window": "1d", "timezone": "Asia/Kolkata"},
        )  # fmt: skip
    return "flights"


def predict(*moments: datetime) -> None:
    rows = [
        {"prediction_id": f"p{moment:%m%d%H%M}", "ts": clock.to_iso(moment), "version": 1, "score": 0.5,
         "features": {"x": 1.0}}
        for moment in moments
    ]  # fmt: skip
    table = prediction_batch({"x": "numeric"}, rows, now=NOW)
    accept(settings().observations, settings().spool, "flights", "predictions", table, source="api", now=NOW)


def label(*moments: datetime) -> None:
    rows = [
        {
            "prediction_id": f"p{moment:%m%d%H%M}",
            "label": "1",
            "status": "known",
            "label_ts": clock.to_iso(NOW),
        }
        for moment in moments
    ]
    table = label_batch(rows, now=NOW)
    accept(settings().observations, settings().spool, "flights", "labels", table, source="api", now=NOW)


def windows() -> list[tuple[str, bool]]:
    with reading() as session:
        return [
            (f"{row.start:%m-%d %H:%M}", row.dirty_at is not None)
            for row in session.scalars(select(WindowState).order_by(WindowState.start))
        ]


def test_exactly_the_windows_of_rows_and_late_labels_are_marked(flights: str) -> None:
    first, second = NOW - timedelta(days=3), NOW - timedelta(days=1)
    predict(first, second)
    assert windows() == []
    assert commit_once("a") == 2
    # days of Kolkata begin at 18:30 UTC
    assert windows() == [("02-28 18:30", True), ("03-02 18:30", True)]
    assert row_counts(settings().observations, flights).predictions == 2
    assert pending_bytes(settings().spool) == 0
    with writing() as session:
        for row in session.scalars(select(WindowState)):
            row.dirty_at = None
    label(first)
    assert commit_once("a") == 1
    assert windows() == [("02-28 18:30", True), ("03-02 18:30", False)]
    with reading() as session:
        lease = lease_of(session, WRITER)
        assert lease is not None
        assert (lease.holder, lease.status["rows"], lease.status["models"]) == ("", 1, ["flights"])


def test_an_hour_that_lies_in_two_windows_marks_both(flights: str) -> None:
    predict(NOW - timedelta(days=1) + timedelta(hours=6, minutes=40))  # 18:40 UTC
    commit_once("a")
    assert [start for start, _ in windows()] == ["03-02 18:30", "03-03 18:30"]


def test_another_writer_waits_and_one_that_lost_the_lease_marks_nothing(flights: str) -> None:
    predict(NOW)
    with writing() as session:
        take_lease(session, WRITER, holder="other-host", lasts=timedelta(seconds=60))
    assert commit_once("a") is None
    assert pending_bytes(settings().spool) > 0
    with pytest.raises(LeaseLost):
        mark_committed([], holder="a", generation=7)
    assert windows() == []


def test_rows_whose_marking_failed_stay_in_the_spool_and_are_marked_next_time(
    flights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(NOW)
    with monkeypatch.context() as patch:
        patch.setattr(commit_spool, "LEASE_LASTS", timedelta(seconds=-1))
        original = commit_spool.mark_committed

        def taken_over(committed: object, *, holder: str, generation: int) -> None:
            with writing() as session:
                take_lease(session, WRITER, holder="other-host", lasts=timedelta(seconds=-1))
            original(committed, holder=holder, generation=generation)  # type: ignore[arg-type]

        patch.setattr(commit_spool, "mark_committed", taken_over)
        with pytest.raises(LeaseLost):
            commit_once("a")
    assert windows() == []
    assert pending_bytes(settings().spool) > 0
    assert commit_once("a") == 0  # in Delta already
    assert [dirty for _, dirty in windows()] == [True]
    assert row_counts(settings().observations, flights).predictions == 1
    assert pending_bytes(settings().spool) == 0


def test_a_worker_with_the_writer_queue_moves_the_spool_and_does_so_on_request(
    flights: str, start_worker: Start
) -> None:
    start_worker("w", queues="writer")
    predict(NOW)
    wait_for(lambda: [dirty for _, dirty in windows()] == [True])
    wait_for(lambda: pending_bytes(settings().spool) == 0)
    with writing() as session:
        run_id = request_job(session, COMMIT_SPOOL).id
    wait_for(lambda: run_of(run_id).state in ("succeeded", "failed"))
    assert run_of(run_id).error == ""

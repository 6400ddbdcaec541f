"""Scheduled work: once a slot, never in a pile, only what is due; and what is deleted afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, text, update

from backend import clock
from backend.alerting.tables import Alert
from backend.database.session import reading, writing
from backend.deployment.tables import Deployment
from backend.identity.actor import system_actor
from backend.leases import SCHEDULER, WRITER, give_back, holds_lease, lease_of, note_status, take_lease
from backend.monitoring.tables import WindowState
from backend.monitoring.windows_service import mark_dirty
from backend.queue import JobRun
from backend.registry.service import register_model
from backend.registry.tables import Version
from jobs import schedules
from jobs.prune import delete_attempts, delete_runs
from jobs.schedules import SCHEDULES, Due, models_due, request_due, unexplained_champions

NOON = datetime(2026, 3, 4, 12, 0, 10, tzinfo=UTC)
WORKER = system_actor("worker")


@pytest.fixture
def flights(database: str) -> str:
    with writing() as session:
        register_model(
            session, WORKER, name="flights", title="F", description="", tier="low",
            spec={"task": "binary", "features": {"x": "numeric"}, "window": "1d", "live_window": "1h"},
        )  # fmt: skip
    return "flights"


def test_a_slot_is_asked_for_once_and_nothing_piles_up(flights: str) -> None:
    made = request_due(NOON)
    assert sorted(made) == [
        "keep_data-2026-03-04T00:00:00Z",
        "measure_costs-2026-03-04T12:00:00Z",
        "mirror_registry-2026-03-04T12:00:00Z",
        "prune-2026-03-04T12:00:00Z",
        "reconcile_audit-2026-03-04T12:00:00Z",
        "sign_audit-2026-03-04T12:00:00Z",
        "verify_audit-2026-03-04T12:00:00Z",
    ]
    assert request_due(NOON + timedelta(seconds=5)) == []
    # none of them has run: hours later there is still one of each
    assert request_due(NOON + timedelta(hours=5)) == []
    with writing() as session:
        session.execute(update(JobRun).values(state="succeeded", finished_at=NOON))
    later = NOON + timedelta(hours=5)
    assert "mirror_registry-2026-03-04T17:00:00Z" in request_due(later)
    with reading() as session:
        assert (
            session.scalar(select(func.count()).select_from(JobRun)) == 12
        )  # the log is recomputed every six hours


def test_a_schedule_that_stumbles_holds_up_no_other_and_is_a_ticket(
    flights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fires() -> list[str]:
        with reading() as session:
            return list(session.scalars(select(Alert.title).where(Alert.state == "firing")))

    def stumble(*_: object) -> list[Due]:
        raise ValueError("the spec of flights has a window of no days")

    first, *others = SCHEDULES
    with monkeypatch.context() as patched:
        patched.setattr(schedules, "SCHEDULES", (replace(first, due=stumble), *others))
        assert "mirror_registry-2026-03-04T12:00:00Z" in request_due(NOON)
        said = "Asking when compute_metrics is due failed: ValueError: the spec of flights has a window of no days"
        assert fires() == [said]
        request_due(NOON + timedelta(minutes=1))
        assert fires() == [said]
    request_due(NOON + timedelta(minutes=2))
    assert fires() == []


def test_what_has_just_failed_rests(flights: str) -> None:
    request_due(NOON)
    with writing() as session:
        session.execute(update(JobRun).values(state="failed", finished_at=NOON))
    assert request_due(NOON + timedelta(minutes=2)) == []
    assert len(request_due(NOON + timedelta(minutes=6))) == 2  # the others have an hour and more


def test_metrics_are_due_for_dirty_ended_and_missing_windows_only(flights: str) -> None:
    def due() -> list[str]:
        with reading() as session:
            return [one.subject for one in models_due(session, clock.now())]

    now = clock.now()
    assert due() == []
    with writing() as session:
        marked = mark_dirty(session, model=flights, environment="production", times=[now, now])
    assert len(marked) == 2  # the day and the hour
    assert due() == [flights]
    with writing() as session:
        session.execute(update(WindowState).values(dirty_at=None))
    assert due() == []  # open, and not over
    hour = timedelta(hours=1)
    with writing() as session:
        session.execute(
            update(WindowState)
            .where(WindowState.size == "1h")
            .values(start=now - 3 * hour, end=now - 2 * hour, state="open")
        )
    assert due() == [flights]  # over, and not computed since
    with writing() as session:
        session.execute(update(WindowState).where(WindowState.size == "1h").values(state="complete"))
    assert due() == [flights]  # a whole hour without any row has passed
    with writing() as session:
        session.add(
            JobRun(id="r", name="compute_metrics", queue="metrics", subject=flights, arguments={},
                   state="succeeded", requested_at=now, finished_at=clock.now())
        )  # fmt: skip
    assert due() == []  # and has been looked at


def test_marking_again_moves_the_mark_and_adds_no_window(flights: str) -> None:
    moment = clock.now()
    with writing() as session:
        mark_dirty(session, model=flights, environment="production", times=[moment])
    with reading() as session:
        first = {row.id: row.dirty_at for row in session.scalars(select(WindowState))}
    with writing() as session:
        mark_dirty(session, model=flights, environment="production", times=[moment])
        assert mark_dirty(session, model="unknown", environment="production", times=[moment]) == []
    with reading() as session:
        second = {row.id: row.dirty_at for row in session.scalars(select(WindowState))}
    assert first.keys() == second.keys()
    assert all(second[one] > first[one] for one in first)


def test_a_champion_without_an_explanation_is_due(flights: str) -> None:
    with writing() as session:
        session.add(
            Version(model=flights, version=3, run_id="", uri="", artefact_digest="", trained_at=NOON, cutoff=0.5,
                    parameters={}, metrics={}, training={}, reference_path="", reference_digest="", card_path="",
                    card_digest="")
        )  # fmt: skip
        session.flush()
        session.add(
            Deployment(
                model=flights,
                environment="production",
                version=3,
                cutoff=0.5,
                state="serving",
                started_at=NOON,
            )
        )
    with reading() as session:
        assert unexplained_champions(session, NOON) == [Due(flights, {"version": 3}, "v3")]


def test_a_lease_has_one_holder_and_its_generation_rises(database: str) -> None:
    lasts = timedelta(seconds=30)
    with writing() as session:
        assert take_lease(session, WRITER, holder="a", lasts=lasts) == 1
        assert take_lease(session, WRITER, holder="a", lasts=lasts) == 1
        assert take_lease(session, WRITER, holder="b", lasts=lasts) is None
        assert take_lease(session, SCHEDULER, holder="b", lasts=lasts) == 1
        note_status(session, WRITER, holder="b", status={"rows": 1})
        note_status(session, WRITER, holder="a", status={"rows": 2})
        assert lease_of(session, WRITER).status == {"rows": 2}
        give_back(session, WRITER, holder="b")
        assert holds_lease(session, WRITER, holder="a", generation=1)
        give_back(session, WRITER, holder="a")
    with writing() as session:
        assert take_lease(session, WRITER, holder="b", lasts=-lasts) == 2
        assert take_lease(session, WRITER, holder="a", lasts=lasts) == 3
        assert not holds_lease(session, WRITER, holder="b", generation=2)


def test_old_runs_go_with_their_workflow_rows_and_failures_stay_longer(flights: str) -> None:
    request_due(NOON)
    old = clock.now() - timedelta(hours=2)
    with writing() as session:
        session.execute(update(JobRun).values(state="succeeded", finished_at=old))
        session.execute(update(JobRun).where(JobRun.name == "mirror_registry").values(state="failed"))
    assert delete_runs() == 2  # sign_audit and reconcile_audit
    with writing() as session:
        session.execute(update(JobRun).values(finished_at=clock.now() - timedelta(days=31)))
    assert delete_runs() == 5
    delete_attempts()
    schema = "" if database_is_sqlite() else "dbos."
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(JobRun)) == 0
        for table in ("workflow_status", "workflow_input", "workflow_output", "operation_outputs"):
            assert session.execute(text(f"SELECT count(*) FROM {schema}{table}")).scalar() == 0


def database_is_sqlite() -> bool:
    from backend.database.engine import database

    return database().dialect == "sqlite"

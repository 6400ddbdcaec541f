"""Real worker processes: killed, started again, put to sleep; each run's work happens once."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.queue import JOBS, WITH_METRICS, WorkerBeat, retry_job
from jobs.ownership import workflow_table
from jobs.worker import CONCURRENCY
from tests.integration.jobs.conftest import Start, marks, run_of, wait_for


def entries(action: Action) -> list[dict[str, object]]:
    with reading() as session:
        rows = session.execute(
            select(AuditEntry.object_id, AuditPayload.payload)
            .join(AuditPayload, AuditPayload.seq == AuditEntry.seq)
            .where(AuditEntry.action == action.value)
        )
        return [{"object_id": object_id, **json.loads(payload)} for object_id, payload in rows]


def engine_state(run_id: str) -> str:
    with reading() as session:
        status = workflow_table(session)
        return session.execute(select(status.c.status).where(status.c.workflow_uuid == run_id)).scalar_one()


def test_a_run_succeeds_with_progress_and_a_beat(start_worker: Start, request_probe, tmp_path: Path) -> None:
    run_id = request_probe(hold=True)
    worker = start_worker("a")
    wait_for((tmp_path / "in-two-a").exists)
    run = run_of(run_id)
    assert (run.state, run.worker_id, run.attempts, run.step) == ("running", "a", 1, "step two")
    assert 0.29 < run.progress < 0.31
    (tmp_path / "go").touch()
    wait_for(lambda: run_of(run_id).state == "succeeded")
    done = run_of(run_id)
    assert done.progress == 1.0
    assert done.started_at is not None
    assert done.finished_at is not None
    assert [mark[0] for mark in marks(tmp_path)] == ["one", "two", "three"]
    with reading() as session:
        beat = session.get_one(WorkerBeat, "a")
        assert (beat.queues, beat.pid) == ("metrics,watch,long", worker.pid)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=15) == 0
    with reading() as session:
        assert session.get(WorkerBeat, "a") is None


def test_what_people_are_told_by_does_not_wait_behind_long_work(
    start_worker: Start, request_probe, tmp_path: Path
) -> None:
    in_queue = {name: {one.name for one in JOBS.values() if one.queue == name} for name in WITH_METRICS}
    assert in_queue["watch"] == {"evaluate_slos", "tend_alerts", "watch_self"}
    assert in_queue["long"] >= {"make_backup", "restore_drill", "make_pack", "verify_audit", "write_report"}
    busy = [request_probe(hold=True) for _ in range(CONCURRENCY["metrics"])]
    busy += [request_probe(hold=True, queue="long") for _ in range(CONCURRENCY["long"])]
    start_worker("a")
    wait_for(lambda: all(run_of(one).state == "running" for one in busy))
    behind, short = request_probe(), request_probe(queue="watch")
    wait_for(lambda: run_of(short).state == "succeeded")
    assert run_of(behind).state == "queued"
    (tmp_path / "go").touch()


@pytest.mark.parametrize(
    "moment",
    ["after", pytest.param("before", marks=pytest.mark.slow), pytest.param("commit", marks=pytest.mark.slow)],
)
def test_a_worker_started_again_goes_on_where_it_was_killed(
    start_worker: Start, request_probe, tmp_path: Path, moment: str
) -> None:
    run_id = request_probe()
    killed = start_worker("a", WARRANT_CHAOS="1", WARRANT_KILL_AT=f"probe:two:{moment}")
    assert killed.wait(timeout=30) == -signal.SIGKILL
    assert run_of(run_id).state == "running"
    patient = {"WARRANT_WORKER_DEAD_AFTER_S": "600"}  # nobody reaps: the start itself goes on with the run
    start_worker("a", WARRANT_CHAOS="1", WARRANT_KILL_AT=f"probe:two:{moment}", **patient)
    wait_for(lambda: run_of(run_id).state == "succeeded")
    assert run_of(run_id).attempts == 2
    twos = {"before": 1, "after": 2, "commit": 1}[moment]
    assert [mark[0] for mark in marks(tmp_path)] == ["one", *["two"] * twos, "three"]
    resumed = entries(Action.RUN_RESUMED)
    assert [entry["object_id"] for entry in resumed] == [run_id]


@pytest.mark.slow
@pytest.mark.parametrize("point", ["begin:before", "begin:commit", "finish:before", "finish:after"])
def test_a_kill_around_the_body_loses_nothing(
    start_worker: Start, request_probe, tmp_path: Path, point: str
) -> None:
    run_id = request_probe()
    killed = start_worker("a", WARRANT_CHAOS="1", WARRANT_KILL_AT=f"probe:{point}")
    assert killed.wait(timeout=30) == -signal.SIGKILL
    start_worker(
        "a", WARRANT_WORKER_DEAD_AFTER_S="600"
    )  # nobody reaps: the start itself goes on with the run
    wait_for(lambda: run_of(run_id).state == "succeeded")
    assert [mark[0] for mark in marks(tmp_path)] == ["one", "two", "three"]
    wait_for(lambda: engine_state(run_id) == "SUCCESS")
    assert run_of(run_id).state == "succeeded"


def test_kill_points_need_the_chaos_switch(start_worker: Start, request_probe) -> None:
    run_id = request_probe()
    start_worker("a", WARRANT_KILL_AT="probe:two:after")
    wait_for(lambda: run_of(run_id).state == "succeeded")


@pytest.mark.slow
def test_the_runs_of_a_killed_worker_are_finished_once_by_another(
    start_worker: Start, request_probe, tmp_path: Path
) -> None:
    run_id = request_probe(hold=True)
    first = start_worker("a")
    wait_for((tmp_path / "in-two-a").exists)
    for other in ("b", "c"):
        start_worker(other)
    first.kill()
    first.wait()
    (tmp_path / "go").touch()
    wait_for(lambda: run_of(run_id).state == "succeeded")
    run = run_of(run_id)
    assert run.worker_id in ("b", "c")
    assert run.attempts == 2
    assert [mark[0] for mark in marks(tmp_path)] == ["one", "two", "three"]
    resumed = entries(Action.RUN_RESUMED)
    assert len(resumed) == 1
    assert resumed[0]["worker"] == "a"
    assert "no sign of life" in str(resumed[0]["why"])


@pytest.mark.slow
def test_a_worker_that_wakes_after_its_run_was_given_away_does_not_act(
    start_worker: Start, request_probe, tmp_path: Path
) -> None:
    run_id = request_probe(hold=True)
    asleep = start_worker("a")
    wait_for((tmp_path / "in-two-a").exists)
    os.kill(asleep.pid, signal.SIGSTOP)
    start_worker("b")
    wait_for((tmp_path / "in-two-b").exists)
    os.kill(asleep.pid, signal.SIGCONT)
    (tmp_path / "go").touch()
    wait_for(lambda: run_of(run_id).state == "succeeded")
    wait_for(lambda: "was given to another worker" in log_of(tmp_path, "a"))
    assert [mark[:2] for mark in marks(tmp_path)] == [["one", "a"], ["two", "b"], ["three", "b"]]
    assert run_of(run_id).worker_id == "b"
    # awake again, it is as good a worker as any
    again = request_probe()
    wait_for(lambda: run_of(again).state == "succeeded")


def log_of(tmp_path: Path, name: str) -> str:
    from backend.settings import settings

    return (settings().resolved_home() / f"{name}.log").read_text()


def test_a_failed_run_says_why_and_can_be_retried(start_worker: Start, request_probe, tmp_path: Path) -> None:
    run_id = request_probe(fail=True)
    start_worker("a")
    wait_for(lambda: run_of(run_id).state == "failed")
    failed = run_of(run_id)
    assert failed.error == "the reference has no rows; train the version again"
    assert failed.finished_at is not None
    (entry,) = entries(Action.JOB_FAILED)
    assert entry["object_id"] == run_id
    assert entry["reason"] == failed.error
    with writing() as session:
        again = retry_job(session, run_id, requested_by=None)  # type: ignore[arg-type]
        again.arguments = {**again.arguments, "fail": False}
    wait_for(lambda: run_of(again.id).state == "succeeded")
    assert run_of(run_id).state == "failed"
    with writing() as session, pytest.raises(BadInput, match="is succeeded"):
        retry_job(session, again.id, requested_by=None)  # type: ignore[arg-type]


def test_a_step_that_is_not_declared_is_refused(start_worker: Start, request_probe, tmp_path: Path) -> None:
    run_id = request_probe(undeclared=True)
    start_worker("a")
    wait_for(lambda: run_of(run_id).state == "failed")
    assert "'four' of probe is not in its STEPS" in run_of(run_id).error
    assert "four" not in [mark[0] for mark in marks(tmp_path)]


def test_a_name_in_use_is_refused(start_worker: Start, request_probe, tmp_path: Path) -> None:
    start_worker("a")
    wait_for(lambda: "takes runs from" in log_of(tmp_path, "a"))
    second = start_worker("a")
    assert second.wait(timeout=20) == 2
    assert "already runs" in log_of(tmp_path, "a")

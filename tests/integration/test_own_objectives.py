"""Warrant's own objectives: met, missed, and unknown where nobody can know."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app import answers, probes
from backend import clock
from backend.audit.actions import Action
from backend.audit.checkpoints import sign_head
from backend.audit.log import record
from backend.audit.tables import AuditCheckpoint
from backend.database.session import reading, writing
from backend.notifications.tables import Notice
from backend.own_objectives import OBJECTIVES, Answered, percentile_95, read_objectives
from backend.queue import COMPUTE_METRICS, JobRun, WorkerBeat, request_job
from tests.promtool import Scene, check_rules, run_scenes
from tests.worlds import SYSTEM

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus-rules.yml"


def states(answered: Answered = Answered()) -> dict[str, str]:  # noqa: B008 - frozen
    with reading() as session:
        return {one.objective.name: one.state for one in read_objectives(session, answered)}


def values() -> dict[str, float | None]:
    with reading() as session:
        return {one.objective.name: one.value for one in read_objectives(session, Answered())}


def run(number: int, *, waited_s: float | None, state: str = "succeeded") -> None:
    now = clock.now()
    with writing() as session:
        row: JobRun = request_job(session, COMPUTE_METRICS, run_id=f"run_{number}")
        row.requested_at, row.state = now - timedelta(minutes=10), state
        if waited_s is not None:
            row.started_at = row.requested_at + timedelta(seconds=waited_s)
            row.finished_at = now


def test_where_nothing_is_known_nothing_is_met(migrated_home: Path) -> None:
    unknown = {name for name, state in states().items() if state == "unknown"}
    assert unknown == {
        "job_lag", "queue_age", "job_failures", "signing_age", "anchor_age", "console_p95", "console_errors",
    }  # fmt: skip


def test_jobs_that_wait_and_fail_are_seen(migrated_home: Path) -> None:
    for number in range(20):
        run(number, waited_s=1.0)
    assert {name: states()[name] for name in ("job_lag", "job_failures", "queue_age")} == {
        "job_lag": "met", "job_failures": "met", "queue_age": "unknown",
    }  # fmt: skip
    with writing() as session:
        session.add(
            WorkerBeat(
                worker_id="w", queues="metrics", host="h", pid=1, started_at=clock.now(), seen_at=clock.now()
            )
        )
    assert states()["queue_age"] == "met"
    run(20, waited_s=100.0)
    run(21, waited_s=200.0, state="failed")
    run(22, waited_s=None, state="queued")
    found = values()
    assert found["job_lag"] == 100.0
    assert found["job_failures"] == pytest.approx(1 / 22)
    assert {states()[name] for name in ("job_lag", "job_failures", "queue_age")} == {"missed"}


def test_a_notice_that_is_not_sent_gets_old(migrated_home: Path) -> None:
    with writing() as session:
        session.add(
            Notice(channel="mail", why="", document={}, created_at=clock.now() - timedelta(minutes=3),
                   next_try_at=clock.now())
        )  # fmt: skip
    assert states()["outbox_age"] == "missed"


def test_an_entry_that_is_not_signed_gets_old(migrated_home: Path) -> None:
    def say() -> None:
        with writing() as session:
            record(session, SYSTEM, Action.SAMPLE_DRAWN, object_kind="log", object_id=1)

    say()
    sign_head()
    assert values()["signing_age"] == 0.0
    say()
    age = values()["signing_age"]
    assert age is not None and 0 <= age < 60
    with reading() as session:
        assert session.get(AuditCheckpoint, 1) is not None


def test_a_console_knows_how_fast_it_is() -> None:
    assert percentile_95([]) is None
    assert percentile_95([0.1] * 95 + [9.0] * 5) == 0.1
    assert percentile_95([0.1] * 94 + [9.0] * 6) == 9.0


@pytest.mark.parametrize(("path", "counted"), [("/approvals", 1), ("/healthz", 0)])
def test_requests_are_counted_and_probes_are_not(
    path: str, counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})

    async def send(_message: Any) -> None:
        return

    monkeypatch.setattr(answers, "_answers", answers.deque())
    asyncio.run(answers.Timed(app)({"type": "http", "path": path}, send, send))  # type: ignore[arg-type]
    found = answers.answered()
    assert (len(found.seconds), found.failed) == (counted, counted)


def test_metrics_are_counted_once_in_some_seconds_however_often_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = iter(range(10))
    monkeypatch.setattr(probes, "count_metrics", lambda: str(next(counted)).encode())
    kept = probes._Kept()
    assert [kept.text() for _ in range(5)] == [b"0"] * 5
    monkeypatch.setattr(probes, "COUNTED_EVERY_S", 0.0)
    with kept._lock:
        assert kept.text() == b"0", "while another request counts, what was counted before is told"
    assert kept.text() == b"1"


def test_metrics_have_every_limit_and_only_known_values(migrated_home: Path) -> None:
    text = probes.count_metrics().decode()
    families = {one.name: one for one in text_string_to_metric_families(text)}
    limits = {one.labels["objective"]: one.value for one in families["warrant_own_limit"].samples}
    assert limits == {one.name: one.limit for one in OBJECTIVES}
    known = {one.labels["objective"] for one in families["warrant_own_value"].samples}
    assert known == {name for name, value in values().items() if value is not None} | (
        {"console_p95", "console_errors"} if answers.answered().seconds else set()
    )
    used = {
        word
        for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
        for word in _metrics(rule["expr"])
    }
    backups = {name for name in used if "backup" in name or "drill" in name}
    assert used - backups <= set(families) and all(
        name in Path(probes.__file__).read_text() for name in _tails(backups)
    )


def _metrics(expr: str) -> set[str]:
    import re

    return set(re.findall(r"warrant_\w+", expr))


def _tails(names: set[str]) -> set[str]:
    return {name.removeprefix("warrant_") for name in names}


def test_the_page_of_operations_has_every_objective() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    for one in OBJECTIVES:
        most = (
            f"{one.limit:.1%}".replace(".0%", "%").replace("%", " %")
            if one.unit == "share"
            else f"{one.limit:g} {one.unit}"
        )
        assert f"| `{one.name}` | {most} |" in text


def test_the_rules_fire_for_what_is_missed_and_what_is_unknown(tmp_path: Path) -> None:
    check_rules(tmp_path, RULES.read_text())
    missed = {
        "exp_labels": {"severity": "ticket", "objective": "job_lag"},
        "exp_annotations": {
            "summary": "Warrant's own objective job_lag is missed at 90",
            "runbook": "docs/operations.md#warrants-own-objectives",
        },
    }
    series = {
        'warrant_own_limit{objective="job_lag"}': "30x100", 'warrant_own_value{objective="job_lag"}': "90x100",
        'warrant_own_limit{objective="anchor_age"}': "1800x100",
        'up{job="console",instance="a"}': "1x100", "warrant_live_workers": "1x100",
    }  # fmt: skip
    unknown = {
        "exp_labels": {"severity": "ticket", "objective": "anchor_age"},
        "exp_annotations": {
            "summary": "Nothing is known of Warrant's own objective anchor_age",
            "runbook": "docs/operations.md#warrants-own-objectives",
        },
    }
    alerts = [
        {"eval_time": "10m", "alertname": "WarrantObjectiveMissed", "exp_alerts": [missed]},
        {"eval_time": "70m", "alertname": "WarrantObjectiveUnknown", "exp_alerts": [unknown]},
        {"eval_time": "10m", "alertname": "WarrantConsoleAway", "exp_alerts": []},
        {"eval_time": "10m", "alertname": "WarrantNoWorker", "exp_alerts": []},
    ]
    run_scenes(tmp_path, [RULES], [Scene("objectives", series, alerts=alerts)])


def test_a_backup_that_is_late_or_that_nobody_knows_of_fires(tmp_path: Path) -> None:
    late = {
        "exp_labels": {"severity": "ticket"},
        "exp_annotations": {
            "summary": "The newest backup is older than two days, or nobody knows of one",
            "runbook": "docs/operations.md#backups",
        },
    }
    moment = "warrant_backup_moment_seconds"
    scenes = [
        Scene(
            name, series,
            alerts=[{"eval_time": at, "alertname": "WarrantBackupLate", "exp_alerts": fired}],
        )
        for name, series, at, fired in (
            ("none", {"warrant_live_workers": "1x200"}, "61m", [late]),
            ("first", {moment: "_x30 1800x100"}, "90m", []),
            ("old", {moment: "0x3200"}, "2945m", [late]),
            ("fresh", {moment: "0x3200"}, "2800m", []),
        )
    ]  # fmt: skip
    run_scenes(tmp_path, [RULES], scenes)

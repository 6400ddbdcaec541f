"""Loading the demo for real: the facts of its data, killed at many moments and resumed, and done once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.audit.verification import verify
from backend.database.session import reading
from backend.demo_state import loaded_marker
from backend.deployment.tables import Deployment
from backend.identity.tables import ApiToken, Person
from backend.identity.tokens import resolve_token
from backend.monitoring.tables import MetricPoint, WindowState
from backend.observations.reader import Filter, read
from backend.observations.spool import pending_bytes
from backend.queue import JobRun
from backend.registry.tables import Model, Version
from backend.settings import settings
from jobs.demo import census, flights
from jobs.demo.stages import COMPUTED_AT_LOAD

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def start(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.demo.load"], cwd=ROOT, env={**os.environ, "WARRANT_HOME": str(home)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def kill_during(home: Path, stage: int, after_s: float) -> bool:
    """Start a load and kill it so long after a stage began. False where it had ended before."""
    process = start(home)
    assert process.stdout is not None
    seen = ""
    while f"demo {stage}/6" not in seen:
        read_now = process.stdout.read(1)
        if not read_now:
            break
        seen += read_now
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def count(table: type, *where: object) -> int:
    with reading() as session:
        return session.scalar(select(func.count()).select_from(table).where(*where))  # type: ignore[arg-type,return-value]


def test_a_load_that_is_killed_again_and_again_ends_as_one_load(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_DEMO", "true")
    settings.cache_clear()
    moments = [(1, 0.5), (3, 8.0), (4, 4.0), (5, 2.0)]
    killed = [kill_during(home, stage, after_s) for stage, after_s in moments]
    assert any(killed)
    process = start(home)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, ""), out

    _the_data_are_there_once()
    _the_record_says_who_served_when()
    _windows_and_figures_are_there()
    _every_account_is_there_once(home)
    assert verify().ok
    assert count(AuditEntry, AuditEntry.action == Action.DEMO_LOADED.value) == 1
    assert count(JobRun, JobRun.name == "compute_shap") == 2

    before = count(AuditEntry), count(MetricPoint)
    began = _cpu_s()
    again = start(home)
    assert again.communicate() == ("", "")
    assert again.returncode == 0
    assert _cpu_s() - began < 2
    assert (count(AuditEntry), count(MetricPoint)) == before


def _cpu_s() -> float:
    """What ended children have used of a processor: the same however busy the machine is."""
    used = os.times()
    return used.children_user + used.children_system


def _anchored() -> datetime:
    document = json.loads(loaded_marker().read_text())
    return clock.from_iso(document["anchor"])


def _shift() -> timedelta:
    return flights.shift_weeks(_anchored())


def _the_data_are_there_once() -> None:
    store, shift = settings().observations, _shift()
    assert pending_bytes(settings().spool) == 0
    assert shift % timedelta(weeks=1) == timedelta(0)
    rows = read(
        store, "flight-delay", Filter(), columns=["prediction_id", "ts", "version", "label", "label_status"]
    )
    history = flights.backfilled(flights.build_flights())
    assert len(rows) == len(history)
    frame = rows.to_pandas().set_index("prediction_id")
    assert frame.index.is_unique
    assert ((frame["ts"] - history.set_index("prediction_id")["ts"].reindex(frame.index)) == shift).all()
    assert clock.now() - frame["ts"].max() < timedelta(days=8)
    flown = flights.build_flights()
    assert (flown["status"] == "will_not_come").mean() == pytest.approx(0.028, abs=0.0005)
    known_by_then = history[history["label_ts"] + shift <= _anchored()]
    status = Counter(frame["label_status"].dropna())
    assert status == Counter(known_by_then["status"])
    assert len(frame) - sum(status.values()) < 1500
    assert set(frame["version"]) == {1, 2, 3}
    known = frame[frame["label_status"] == "known"]
    truth = history.set_index("prediction_id")["label"].reindex(known.index)
    assert (known["label"] == truth).all()
    people = read(store, "employment-ma", Filter(), columns=["prediction_id"])
    assert len(people) == len(census.live(census.build_census()))
    assert len(set(people.column("prediction_id").to_pylist())) == len(people)


def _the_record_says_who_served_when() -> None:
    with reading() as session:
        models = {model.name: model for model in session.scalars(select(Model))}
        versions = session.execute(
            select(Version.model, Version.version).order_by(Version.model, Version.version)
        ).all()
        served = session.scalars(
            select(Deployment).where(Deployment.model == "flight-delay").order_by(Deployment.started_at)
        ).all()
    assert set(models) == {"flight-delay", "employment-ma"}
    assert "shifted by one whole number of weeks" in (models["flight-delay"].notice or "")
    assert models["employment-ma"].notice
    expected = [("employment-ma", p.version) for p in census.SERVING]
    expected += [("flight-delay", p.version) for p in flights.SERVING]
    assert [tuple(row) for row in versions] == sorted(expected)
    assert [(one.version, one.started_at) for one in served] == [
        (period.version, period.start + _shift()) for period in flights.SERVING
    ]
    assert [one.ended_at is None for one in served] == [False, False, True]


def _windows_and_figures_are_there() -> None:
    with reading() as session:
        windows = session.scalars(select(WindowState).where(WindowState.model == "flight-delay")).all()
        kinds = set(session.scalars(select(MetricPoint.kind).where(MetricPoint.model == "flight-delay")))
    assert kinds == {"drift", "quality", "prediction", "realised", "estimated", "volume"}
    days = [one for one in windows if one.size == "1d"]
    computed = [one for one in days if one.computed_at is not None]
    newest = clock.now() - COMPUTED_AT_LOAD + timedelta(days=9)
    assert all(one.computed_at is not None for one in days if one.end > newest)
    assert {one.state for one in computed} <= {"complete", "open", "no_traffic_expected"}
    assert len({(one.size, one.start) for one in windows}) == len(windows)
    hours = Counter(one.state for one in windows if one.size == "1h")
    assert hours["no_traffic"] == 0  # silence of the night, and from before the load, is expected


def _every_account_is_there_once(home: Path) -> None:
    roles = {"viewer", "oncall", "engineer", "lead", "compliance", "admin"}
    with reading() as session:
        people = Counter(session.scalars(select(Person.username)))
        token = resolve_token(session, (home / "demo" / "replay-token").read_text().strip())
        service = session.scalars(select(Person).where(Person.username == "flight-feed")).one()
    assert set(people.values()) == {1}
    assert len(people) >= len(roles)
    assert token is not None
    assert token.person_id == service.id
    assert count(ApiToken) >= 1

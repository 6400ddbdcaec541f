"""Loading the demo for real: the facts of its data, killed at many moments and resumed, and done once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
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
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@dataclass(frozen=True)
class Load:
    """A load that has ended, however."""

    returncode: int
    out: str
    err: str


def start(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.demo.load"], cwd=ROOT, env={**os.environ, "WARRANT_HOME": str(home)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def end(process: subprocess.Popen[str], when: str) -> Load:
    """Wait for its end, and show what it said: pytest prints it beside whatever fails later."""
    out, err = process.communicate()
    sys.stdout.write(f"--- load {when}: exit {process.returncode}\n{out}\n{err}\n")
    return Load(process.returncode, out, err)


# What a load makes, in this order: the first sight of each is a moment at which it is killed.
MOMENTS: dict[str, Callable[[Path], bool]] = {
    "its database is made": lambda home: (home / "warrant.db").exists(),
    "MLflow's database is made": lambda home: (home / "mlflow.db.draft").exists(),
    "its second version is trained": lambda home: (home / "training/flight-delay/2/model.skops").exists(),
    "labels lie in the spool": lambda home: any(home.glob("spool/labels/flight-delay/*.arrow")),
    "the store gets its first rows": lambda home: any(home.glob("observations/*/*/_delta_log/*.json")),
    "windows have figures": lambda _home: count(MetricPoint) > 0,
}


def kill_when(home: Path, moment: str) -> Load:
    """Start a load and kill it as soon as what it makes at that moment is seen, or let it end by itself."""
    seen = MOMENTS[moment]
    process = start(home)
    while process.poll() is None and not seen(home):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    return end(process, f"killed when {moment}")


def count(table: type, *where: object) -> int:
    with reading() as session:
        return session.scalar(select(func.count()).select_from(table).where(*where))  # type: ignore[arg-type,return-value]


def test_a_load_that_is_killed_again_and_again_ends_as_one_load(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_DEMO", "true")
    settings.cache_clear()
    for moment in MOMENTS:
        killed = kill_when(home, moment)
        assert (killed.returncode, killed.err) == (-signal.SIGKILL, ""), moment
    last = end(start(home), "to its end")
    assert (last.returncode, last.err) == (0, "")

    _the_data_are_there_once()
    _the_record_says_who_served_when()
    _windows_and_figures_are_there()
    _every_account_is_there_once(home)
    verified = verify()
    assert verified.ok, verified
    assert count(AuditEntry, AuditEntry.action == Action.DEMO_LOADED.value) == 1
    assert count(JobRun, JobRun.name == "compute_shap") == 2

    before = _files(home)
    assert end(start(home), "of what is loaded") == Load(0, "", "")
    assert _files(home) == before
    _nothing_is_imported_where_nothing_is_to_load(home)


def _files(home: Path) -> dict[Path, tuple[int, int]]:
    """Every file with the moment it was written last (ns) and its bytes."""
    found = {path: path.stat() for path in home.rglob("*") if path.is_file()}
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in found.items()}


def _nothing_is_imported_where_nothing_is_to_load(home: Path) -> None:
    """Every start of the demo comes through here: it must not cost the seconds that these imports take."""
    script = "import sys; from jobs.demo.load import main; code = main(); print(*sys.modules); sys.exit(code)"
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "WARRANT_HOME": str(home)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = set(told.stdout.split())
    assert "jobs.demo.load" in imported
    assert not imported & {
        "jobs.demo.stages",
        "mlflow",
        "numpy",
        "pandas",
        "pyarrow",
        "sklearn",
        "sqlalchemy",
    }


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

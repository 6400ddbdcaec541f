"""`toy` of `make_world`, watched: reference and window profiles, metric points, an alert, a report, and sign-ins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa

from backend import clock
from backend.alerting.service import Firing, fire
from backend.database.session import WriteSession, writing
from backend.explain.tables import Report, ShapSummary
from backend.identity.actor import Actor
from backend.identity.sessions import open_session
from backend.identity.tables import Person
from backend.monitoring.columns import parse_spec
from backend.monitoring.evaluate import evaluate_window
from backend.monitoring.profiles import Profile, freeze_grids, profile_table
from backend.monitoring.tables import MetricPoint, ReferenceProfile, WindowProfile, WindowState
from backend.queue import JobRun, WorkerBeat
from backend.registry.artefacts import file_digest
from backend.settings import settings
from backend.slo.objectives import Availability, Objective
from backend.slo.objectives_service import define_objective
from backend.slo.windows import Rolling
from tests.worlds import SPEC, SYSTEM, World

DAYS = 5
ROWS = 300


@dataclass(frozen=True)
class Watched:
    """What pages can be asked for."""

    last_window: datetime
    report_id: str


def watch(world: World) -> Watched:
    """Five daily windows up to today: three quiet ones, one without traffic, and one that moved and fires a page."""
    spec, draw = parse_spec(SPEC), np.random.default_rng(3)

    def rows(shift: float) -> pa.Table:
        return pa.table(
            {
                "distance": draw.uniform(50, 3000, ROWS) + shift,
                "carrier": draw.choice(["AA", "B6", "UA"], ROWS),
                "score": draw.uniform(0, 1, ROWS),
                "prediction": draw.choice(["0", "1"], ROWS),
            }
        )

    reference = rows(0)
    grids = freeze_grids(reference, spec.columns)
    frozen = profile_table(reference, grids)
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    with writing() as session:
        for name, grid in grids.items():
            session.add(
                ReferenceProfile(
                    model="toy", version=2, column=name, reference_digest="x", grid=grid.to_json(),
                    profile=frozen[name].to_json(),
                )
            )  # fmt: skip
        for age in range(DAYS, 0, -1):
            start = today - timedelta(days=age)
            moved = age == 1
            window = WindowState(
                model="toy", environment="production", size="1d", start=start, end=start + timedelta(days=1), version=2,
                rows=ROWS, labels_known=ROWS - 30, injected_rows=20 if moved else 0, state="complete",
                computed_at=clock.now(),
            )  # fmt: skip
            if age == 3:
                window.rows, window.labels_known, window.state = 0, 0, "no_traffic_expected"
            session.add(window)
            session.flush()
            if window.rows:
                counted = profile_table(rows(9000 if moved else 0), grids)
                _store(session, window, counted, moved=moved)
                for point in evaluate_window(spec, grids, frozen, counted):
                    _point(session, window, kind=point.family, column=point.column or "", statistic=point.statistic,
                           value=point.value, threshold=point.threshold, verdict=point.verdict)  # fmt: skip
        fire(
            session, SYSTEM,
            Firing("toy", "production", 2, "realised", "page", "realised roc_auc 0.720 -> 0.520 (limit 0.690)",
                   "/roc_auc",
                   today - timedelta(days=1), {"statistic": "roc_auc", "value": 0.52}),
        )  # fmt: skip
        promised = Objective(
            name="answers", model="toy", sli=Availability(), target=Decimal("0.99"), window=Rolling(720)
        )
        define_objective(session, SYSTEM, objective=promised)
        folder = settings().artefacts / "reports"
        folder.mkdir(exist_ok=True)
        one = folder / "one.html"
        one.write_text("<h1>Report</h1><script>document.title='ran'</script>")
        session.add_all(
            [
                Report(
                    id="rep_1", kind="evidently", model="toy", environment="production", window_start=today,
                    path="reports/one.html", media_type="text/html", bytes=one.stat().st_size,
                    sha256=file_digest(one), created_at=clock.now(),
                ),
                ShapSummary(
                    model="toy", version=2, computed_at=clock.now(), rows=300, method="tree", base_value=0.0,
                    features=[{"column": "distance", "mean_abs": 0.4, "direction": 0.9},
                              {"column": "carrier", "mean_abs": 0.1, "direction": None}],
                ),
                JobRun(
                    id="run_failed", name="compute_metrics", queue="metrics", subject="toy", arguments={"model": "toy"},
                    state="failed", error="the store is away", requested_at=clock.now(), finished_at=clock.now(),
                ),
                WorkerBeat(
                    worker_id="w1", queues="metrics", host="h", pid=1, started_at=clock.now(),
                    seen_at=clock.now() + timedelta(days=1),
                ),
            ]
        )  # fmt: skip
    return Watched(today - timedelta(days=1), "rep_1")


def _store(session: WriteSession, window: WindowState, counted: dict[str, Profile], *, moved: bool) -> None:
    for name, profile in counted.items():
        session.add(WindowProfile(window_id=window.id, column=name, version=2, profile=profile.to_json()))
    for kind in ("realised", "estimated"):
        value = 0.52 if moved else 0.72
        _point(session, window, kind=kind, column="", statistic="roc_auc", value=value, threshold=0.69,
               verdict="alarm" if moved else "ok", low=value - 0.03, high=value + 0.03)  # fmt: skip


def _point(session: WriteSession, window: WindowState, **facts: object) -> None:
    session.add(
        MetricPoint(
            window_id=window.id, model="toy", environment="production", size="1d", window_start=window.start,
            rows_reference=ROWS, rows=window.rows, completeness=0.9, first_value=facts["value"],
            first_computed_at=clock.now(), computed_at=clock.now(), **facts,
        )
    )  # fmt: skip


def cookie_of(actor: Actor) -> str:
    """The session cookie of somebody who has just signed in."""
    with writing() as session:
        found = session.get_one(Person, actor.person_id)
        return open_session(session, found, address="127.0.0.1", user_agent="test").token

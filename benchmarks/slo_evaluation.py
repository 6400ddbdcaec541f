"""One look at every objective and every monitor of an installation: 500 objectives over a month, 5,000 monitors.

A home of its own on SQLite. A hundred models have five objectives each, counted over thirty days in slots as coarse as
`jobs/prune.py` leaves them, and fifty monitors each over forty days of figures. Measured is what one round costs: the
requests of the last minutes counted and every objective judged (`jobs/evaluate_slos.py`), and every monitor of every
model judged, as if all models had got a window in the same minute.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from unittest.mock import patch

from benchmarks.figures import Figure, figure, percentile

MODELS: Final = 100
OBJECTIVES: Final = 5
MONITORS: Final = 50
WINDOWS: Final = 40
ROUNDS: Final = 5
TARGET_S: Final = 10.0
SPEC: Final = {"task": "binary", "window": "1d", "timezone": "UTC", "features": {"x": "numeric"}}


def measure() -> list[Figure]:
    """Median seconds of a round: objectives, monitors, and both."""
    from backend.database.engine import use_database
    from backend.database.upgrade import upgrade
    from backend.settings import settings

    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"WARRANT_HOME": folder}):
        settings.cache_clear()
        use_database(None)
        try:
            upgrade()
            now = datetime.now(UTC).replace(second=0, microsecond=0)
            slots = _fill(now)
            objectives, monitors = _rounds(now)
        finally:
            use_database(None)
            settings.cache_clear()
    both = [one + two for one, two in zip(objectives, monitors, strict=True)]
    count = MODELS * OBJECTIVES
    return [
        figure(f"{count} objectives counted and judged", percentile(objectives, 0.5), "s", rows=slots),
        figure(f"{MODELS * MONITORS:,} monitors judged", percentile(monitors, 0.5), "s", rows=MODELS * MONITORS),
        figure(
            f"evaluation of {count} objectives and {MODELS * MONITORS:,} monitors", percentile(both, 0.5), "s",
            rows=count + MODELS * MONITORS, target=TARGET_S,
        ),
    ]  # fmt: skip


def _rounds(now: datetime) -> tuple[list[float], list[float]]:
    from backend.database.session import reading, writing
    from backend.identity.actor import system_actor
    from backend.monitoring.monitor_judgement import evaluate_monitors
    from backend.registry.service import list_models
    from jobs.evaluate_slos import count_due, judge_due

    actor = system_actor("benchmark")
    objectives, monitors = [], []
    for number in range(ROUNDS + 1):
        at = now + timedelta(minutes=number)
        _requests(at)
        began = time.perf_counter()
        count_due(actor, now=at)
        judge_due(actor, now=at)
        objectives.append(time.perf_counter() - began)
        began = time.perf_counter()
        with reading() as session:
            models = list_models(session, actor)
        for model in models:
            with writing() as session:
                evaluate_monitors(session, actor, model=model, environment="production")
        monitors.append(time.perf_counter() - began)
    return objectives[1:], monitors[1:]  # the first round reads definitions that later ones have


def _requests(at: datetime) -> None:
    """What the gateways wrote in the last minute."""
    from backend.database.session import writing
    from backend.serving.tables import GatewayHour, RequestOutcome

    start = at - timedelta(minutes=1)
    with writing() as session:
        hour = session.get(GatewayHour, ("production", start.replace(minute=0), "g"))
        if hour is None:
            hour = GatewayHour(
                environment="production", hour=start.replace(minute=0), gateway_id="g", minutes=0
            )
            session.add(hour)
        hour.minutes |= 1 << start.minute
        session.add_all(
            RequestOutcome(
                model=f"m{number}", environment="production", span_s=60, start=start, version="1", role="champion",
                gateway_id="g", process="p", codes={"200": 99, "503": 1}, kinds={}, buckets=[100] + [0] * 13,
                seconds_sum=0.1, updated_at=at,
            )
            for number in range(MODELS)
        )  # fmt: skip


def _fill(now: datetime) -> int:
    """Models, monitors, objectives and their counted month. Returns how many slots are stored."""
    from backend.database.session import writing
    from backend.identity.actor import system_actor
    from backend.registry.service import register_model

    actor, draw = system_actor("benchmark"), random.Random(0)  # noqa: S311 - figures
    slots = 0
    for number in range(MODELS):
        name = f"m{number}"
        with writing() as session:
            register_model(session, actor, name=name, title=name, description="", tier="low", spec=dict(SPEC))
            _serve(session, name)
            _monitors(session, actor, name, now, draw)
            slots += _objectives(session, actor, name, now, draw)
    return slots


def _serve(session: Any, model: str) -> None:
    from backend.deployment.tables import Deployment
    from backend.registry.tables import Version

    at = datetime(2026, 1, 1, tzinfo=UTC)
    session.add(
        Version(
            model=model, version=1, run_id="r", uri="u", artefact_digest="sha256:x", trained_at=at, cutoff=0.5,
            parameters={}, metrics={}, training={}, reference_path="", reference_digest="", card_path="",
            card_digest="",
        )
    )  # fmt: skip
    session.flush()
    session.add(
        Deployment(
            model=model, environment="production", version=1, role="champion", cutoff=0.5, state="serving",
            started_at=at, serving_at=at,
        )
    )  # fmt: skip
    session.flush()


def _monitors(session: Any, actor: Any, model: str, now: datetime, draw: random.Random) -> None:
    from backend.monitoring.monitors_service import create_monitor
    from backend.monitoring.tables import MetricPoint, WindowState

    today = now.replace(hour=0, minute=0)
    for back in range(WINDOWS, 0, -1):
        start = today - timedelta(days=back)
        window = WindowState(
            model=model, environment="production", size="1d", start=start, end=start + timedelta(days=1), version=1,
            rows=1000, labels_known=1000, state="complete", computed_at=now, labelled_at=now,
        )  # fmt: skip
        session.add(window)
        session.flush()
        session.add_all(
            MetricPoint(
                window_id=window.id, model=model, environment="production", size="1d", window_start=start,
                kind="drift", column="x", statistic=statistic, value=draw.random() / 10, threshold=0.2, verdict="ok",
                rows=1000, first_computed_at=now, computed_at=now,
            )
            for statistic in ("psi", "jensen_shannon", "wasserstein")
        )  # fmt: skip
    for number in range(MONITORS):
        create_monitor(
            session, actor, model=model, environment="production",
            definition={
                "name": f"monitor {number}", "level": "ticket", "size": "1d",
                "when": {
                    "kind": "drift", "column": "x", "statistic": ("psi", "jensen_shannon", "wasserstein")[number % 3],
                    "threshold": {"kind": "constant", "side": "above", "value": 0.2 + number / 100},
                },
            },
        )  # fmt: skip


def _objectives(session: Any, actor: Any, model: str, now: datetime, draw: random.Random) -> int:
    """Five objectives, with the slots that a month leaves."""
    from dataclasses import replace
    from decimal import Decimal

    from sqlalchemy import insert

    from backend.slo.objectives import Availability, Latency, Objective
    from backend.slo.objectives_service import define_objective
    from backend.slo.slots import FIVE, HOUR, MINUTE, floor_to
    from backend.slo.tables import ObjectiveState, SliCount
    from backend.slo.windows import Rolling

    until = int(now.timestamp())
    hours, fives = floor_to(until - 27 * HOUR, HOUR), floor_to(until - 3 * HOUR, HOUR)
    first = floor_to(until - 30 * 86_400, HOUR)
    first_objective = Objective(
        name="answers", model=model, sli=Availability(), target=Decimal("0.99"), window=Rolling(720),
        minimum_events=20,
    )  # fmt: skip
    edges = ("25", "50", "100", "250")
    wanted = [first_objective] + [
        replace(first_objective, name=f"within-{edge}", sli=Latency(Decimal(edge))) for edge in edges
    ]
    count = 0
    for objective in wanted[:OBJECTIVES]:
        row = define_objective(session, actor, objective=objective)
        slots = [
            {
                "objective": row.key, "end_s": at + length, "length_s": length, "excluded": False, "excluded_s": 0.0,
                "good": length * 1.6 - draw.randint(0, 3), "total": length * 1.6, "observed_s": float(length),
                "source": "gateway",
            }
            for start, end, length in ((first, hours, HOUR), (hours, fives, FIVE), (fives, until, MINUTE))
            for at in range(start, end, length)
        ]  # fmt: skip
        session.execute(insert(SliCount), slots)
        session.add(
            ObjectiveState(
                objective=row.key, model=model, environment="production", number=1, read_until_s=until,
                seen_until_s=until, period_start_s=until - 30 * 86_400, state="no_data", since=now, figures={},
            )
        )  # fmt: skip
        count += len(slots)
    return count

"""A small monitored model with real rows: a calibrated score on one number and one category, in real Delta tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from backend import clock
from backend.database.session import reading, writing
from backend.deployment.service import mark_serving, start_deployment
from backend.monitoring.tables import MetricPoint, WindowState
from backend.observations.service import accept_batch
from backend.registry.artefacts import artefact_digest
from backend.registry.service import NewVersion, register_model, register_version
from backend.registry.tables import Model
from jobs.commit_spool import commit_once
from jobs.compute_metrics import compute_due
from tests import midnight
from tests.worlds import SYSTEM

SPEC = {"task": "binary", "window": "1d", "features": {"x": "numeric", "shop": "categorical"}}


def ago(days: float) -> datetime:
    """Midnight UTC so many days before that of the day in which the running test began."""
    return midnight.today() - timedelta(days=days)


def sample(start: datetime, rows: int, *, seed: int, hours: float = 24, shift: float = 0.0) -> pa.Table:
    """`rows` predictions over `hours` from `start`, with the labels that come true; `shift` moves x after training."""
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    shop = random.choice(["north", "south", "west"], size=rows)
    score = 1 / (1 + np.exp(-(1.5 * x + 0.5 * (shop == "north"))))
    label = (random.random(rows) < score).astype(int).astype(str)
    spacing = timedelta(hours=hours) / rows
    return pa.table(
        {
            "prediction_id": [f"p{seed}-{start:%m%d%H}-{number}" for number in range(rows)],
            "ts": pa.array([start + number * spacing for number in range(rows)], pa.timestamp("us", "UTC")),
            "score": score, "prediction": (score >= 0.5).astype(int).astype(str), "x": x + shift, "shop": shop,
            "label": label,
        }
    )  # fmt: skip


@dataclass(frozen=True)
class Monitored:
    """One model, its rows going in by the service and out through the metrics job."""

    name: str

    def predict(self, rows: pa.Table, *, version: int = 1) -> None:
        sent = rows.drop_columns(["label"]).append_column("version", pa.repeat(version, len(rows)))
        self._send("predictions", sent)

    def label(self, rows: pa.Table, *, absent: bool = False) -> None:
        count = len(rows)
        sent = pa.table(
            {
                "prediction_id": rows.column("prediction_id"),
                "label": pa.nulls(count, pa.string()) if absent else rows.column("label"),
                "status": pa.repeat("will_not_come" if absent else "known", count),
                "label_ts": pa.repeat(pa.scalar(clock.now(), pa.timestamp("us", "UTC")), count),
            }
        )
        self._send("labels", sent)

    def _send(self, stream: Any, rows: pa.Table) -> None:
        with reading() as session:
            accept_batch(session, SYSTEM, model=self.name, stream=stream, payload=rows, source="api")
        commit_once("tests")

    def compute(self, **how: Any) -> int:
        return compute_due(self.name, **how)

    def windows(self, size: str = "1d") -> list[WindowState]:
        with reading() as session:
            return list(
                session.scalars(
                    select(WindowState)
                    .where(WindowState.model == self.name, WindowState.size == size)
                    .order_by(WindowState.start)
                )
            )

    def points(self, start: datetime, *kinds: str, size: str = "1d") -> list[MetricPoint]:
        with reading() as session:
            return list(
                session.scalars(
                    select(MetricPoint)
                    .where(
                        MetricPoint.model == self.name, MetricPoint.size == size, MetricPoint.window_start == start,
                        MetricPoint.kind.in_(kinds or ("drift", "quality", "prediction", "realised", "estimated")),
                    )
                    .order_by(MetricPoint.kind, MetricPoint.column, MetricPoint.statistic)
                )
            )  # fmt: skip

    def point(
        self, start: datetime, kind: str, statistic: str, column: str = "", *, size: str = "1d"
    ) -> MetricPoint:
        points = [p for p in self.points(start, kind, size=size) if not p.segment]
        found = [p for p in points if (p.statistic, p.column) == (statistic, column)]
        assert len(found) == 1, [(p.statistic, p.column) for p in points]
        return found[0]


def make_monitored(
    files: Path, *, versions: Sequence[int] = (1,), reference_rows: int = 400, watched_since: datetime | None = None,
    reference_data: pa.Table | None = None, **spec: Any,
) -> Monitored:  # fmt: skip
    """Register `shopper` with versions on reference rows of their own; the last one has served for 60 days."""
    files.mkdir(exist_ok=True)
    (files / "card.md").write_text("# Shopper\n")
    (files / "artefact").mkdir(exist_ok=True)
    (files / "artefact" / "model.bin").write_bytes(b"weights")
    with writing() as session:
        register_model(
            session,
            SYSTEM,
            name="shopper",
            title="Shopper",
            description="",
            tier="medium",
            spec={**SPEC, **spec},
        )
        session.get_one(Model, "shopper").created_at = watched_since or ago(60)
        for number in versions:
            path, rows = files / f"reference-{number}.parquet", reference_data
            if rows is None:
                rows = sample(ago(90), reference_rows, seed=1000 + number, hours=24 * 30)
            pq.write_table(rows.drop_columns(["prediction_id"]), path)
            register_version(
                session, SYSTEM,
                new=NewVersion(
                    model="shopper", version=number, run_id=f"r{number}", uri=str(files / "artefact"),
                    artefact_digest=artefact_digest(files / "artefact"), trained_by=None, trained_at=clock.now(),
                    cutoff=0.5, parameters={}, metrics={}, training={}, reference_path=str(path),
                    card_path=str(files / "card.md"),
                ),
            )  # fmt: skip
            opened = start_deployment(
                session, SYSTEM, model="shopper", environment="production", version=number, change_id=None,
                reason="history", at=ago(60) + timedelta(minutes=number),
            )  # fmt: skip
            mark_serving(session, SYSTEM, opened)
    return Monitored("shopper")


@pytest.fixture
def shopper(database: str, tmp_path: Path) -> Monitored:
    return make_monitored(tmp_path / "files")

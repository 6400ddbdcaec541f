"""Any number of models, small and alike, written in bulk: for what has to hold of houses with many."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select

from backend import clock
from backend.database.many import among
from backend.database.session import WriteSession, writing
from backend.deployment.tables import Deployment
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.tables import Model, Version

SPEC = {"task": "binary", "window": "1d", "timezone": "UTC", "features": {"x": "numeric"}}
DAY = timedelta(days=1)


def make_fleet(count: int, *, windows: int = 2, size: str = "1d") -> list[str]:
    """That many models, each with a version that serves and windows of `size`: all judged but the newest, whose labels
    have come and are not judged yet."""
    names = [f"m{one:04d}" for one in range(count)]
    with writing() as session:
        _serve(session, names, size)
    add_windows(names, windows=windows, size=size)
    return names


def add_windows(names: list[str], *, windows: int, size: str) -> None:
    """Windows that end now, a day each, with a point each."""
    with writing() as session:
        now = clock.now()
        rows = [_window(name, now - back * DAY, size) for name in names for back in range(windows, 0, -1)]
        session.execute(insert(WindowState), rows)
        query = select(WindowState.id, WindowState.model, WindowState.start).where(WindowState.size == size)
        found = session.execute(query.where(among(WindowState.model, names))).all()
        session.execute(insert(MetricPoint), [_point(*one, size=size) for one in found])


def _window(model: str, start: datetime, size: str) -> dict[str, Any]:
    return {
        "model": model,
        "environment": "production",
        "size": size,
        "number": 0,
        "start": start,
        "end": start + DAY,
        "version": 1,
        "rows": 100,
        "injected_rows": 0,
        "labels_known": 90,
        "labels_absent": 0,
        "state": "complete",
        "computed_at": clock.now(),
    }


def _serve(session: WriteSession, names: list[str], size: str) -> None:
    now = clock.now()
    session.execute(
        insert(Model),
        [
            {
                "name": name,
                "title": "",
                "description": "",
                "tier": "low",
                "enforcement": "enforce",
                "spec": {**SPEC, "window": size},
                "created_at": now,
            }
            for name in names
        ],
    )
    session.execute(
        insert(Version),
        [
            {
                "model": name,
                "version": number,
                "run_id": "r",
                "uri": "u",
                "artefact_digest": "sha256:a",
                "trained_at": now,
                "cutoff": 0.5,
                "parameters": {},
                "metrics": {"roc_auc": {"value": 0.8}},
                "training": {},
                "reference_path": "r",
                "reference_digest": "sha256:r",
                "card_path": "c",
                "card_digest": "sha256:c",
            }
            for name in names
            for number in (1, 2)
        ],
    )
    session.execute(
        insert(Deployment),
        [
            {
                "model": name,
                "environment": "production",
                "version": 1,
                "role": "champion",
                "cutoff": 0.5,
                "state": "serving",
                "started_at": now,
                "serving_at": now,
            }
            for name in names
        ],
    )


def _point(window: int, model: str, start: Any, *, size: str) -> dict[str, Any]:
    now = clock.now()
    settled = start < now - 1.5 * DAY
    return {
        "window_id": window,
        "model": model,
        "environment": "production",
        "size": size,
        "window_start": start,
        "segment": "",
        "kind": "realised",
        "column": "",
        "statistic": "roc_auc",
        "value": 0.8 if settled else 0.5,
        "threshold": 0.7,
        "reference_value": 0.8,
        "verdict": "ok" if settled else "inconclusive",
        "text": "",
        "reason": "",
        "rows_reference": 1,
        "rows": 1,
        "first_computed_at": now,
        "computed_at": now,
    }

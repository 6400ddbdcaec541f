"""How long it takes to replay a proposed monitor over a year that is stored: what its editor does at each change.

One model with 30 columns, windows by the day and by the hour, and the points that the metrics job stores of each: some
2 million. Every definition is replayed as the editor does it, from the database to the charts it sends, first with
nothing kept of what was read before (the editor is opened), then with another number in it (the editor is used).
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import numpy as np

from benchmarks.figures import Figure, figure, percentile

if TYPE_CHECKING:
    from backend.database.session import WriteSession

COLUMNS: Final = 30
DAYS: Final = 365
ROUNDS: Final = 3
TARGET_S: Final = 1.0
MODEL: Final = "replayed"
BEGAN: Final = datetime(2025, 11, 1, tzinfo=UTC)
OF_A_COLUMN: Final = (
    ("drift", "psi"), ("drift", "jensen_shannon"), ("drift", "kolmogorov_smirnov"), ("drift", "wasserstein"),
    ("quality", "constant_value"), ("quality", "missing_rate"), ("quality", "out_of_range_rate"),
)  # fmt: skip
OF_A_WINDOW: Final = (
    ("realised", "roc_auc"), ("realised", "accuracy"), ("realised", "brier"), ("estimated", "roc_auc"),
)  # fmt: skip


def measure() -> list[Figure]:
    """Seconds of one replay: median and p95, opened and used, over every definition and both sizes of windows."""
    with _stored_year() as points:
        opened, used = _times()
    return [
        figure(f"replay of a proposed monitor over a year, {what}, {word}", value, "s", rows=points, target=TARGET_S)
        for what, times in (("first look", opened), ("another number", used))
        for word, value in (("median", statistics.median(times)), ("p95", percentile(times, 0.95)))
    ]  # fmt: skip


def definitions(size: str) -> Iterator[dict[str, Any]]:
    """One of each way to say what is too much; the last asks for six figures at once."""
    psi = {"kind": "drift", "statistic": "psi"}
    fall = {"kind": "realised", "statistic": "roc_auc", "threshold": {"kind": "calibrated"}}
    history = {"side": "above", "points": 28}
    parts: list[dict[str, Any]] = [
        fall,
        psi | {"column": "x0", "threshold": {"kind": "constant", "side": "above", "value": 0.2, "clear": 0.1}},
        psi | {"column": "x1", "threshold": {"kind": "sigma", "value": 3.0, **history}},
        psi | {"column": "x2", "threshold": {"kind": "quantile", "value": 0.99, **history}},
        psi | {"column": "x3", "threshold": {"kind": "p_value", "value": 0.05, "side": "above", "points": 90}},
        {"kind": "volume", "statistic": "rows", "threshold": {"kind": "sigma", "value": 4.0, "side": "below",
                                                             "points": 28}},
    ]  # fmt: skip
    rest = {
        "name": "tried",
        "level": "ticket",
        "size": size,
        "windows": {"fire": 2, "of": 3},
        "clear_after": 2,
    }
    for part in parts:
        yield rest | {"when": part}
    yield rest | {"when": {"any": parts}}


def _times() -> tuple[list[float], list[float]]:
    import streamlit as st
    from streamlit.logger import set_log_level

    set_log_level("ERROR")  # outside a console every cache warns
    from app.components.monitor_parts import replay_figures
    from app.data.monitors import replayed
    from app.data.scope import scope_of
    from backend.identity.actor import system_actor

    scope = scope_of(system_actor("worker"))

    def seconds(definition: dict[str, Any]) -> float:
        began = time.perf_counter()
        monitor, found = replayed(scope, MODEL, json.dumps(definition, sort_keys=True))
        for _, chart in replay_figures(monitor, found, "Europe/Berlin"):
            chart.to_json()
        return time.perf_counter() - began

    opened, used = [], []
    for size in ("1d", "1h"):
        for definition in definitions(size):
            for round_ in range(ROUNDS):
                st.cache_data.clear()
                opened.append(seconds(definition))
                used.append(seconds(definition | {"clear_after": 3 + round_}))
    return opened, used


@contextmanager
def _stored_year() -> Iterator[int]:
    """A database of its own with the year in it; gives how many points it holds."""
    from backend import clock
    from backend.database.engine import use_database
    from backend.database.session import writing
    from backend.database.upgrade import upgrade
    from backend.registry.tables import Model
    from backend.settings import settings

    spec = {
        "task": "binary", "window": "1d", "live_window": "1h", "positive_label": "1",
        "features": {f"x{i}": "numeric" for i in range(COLUMNS)},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"WARRANT_HOME": folder}):
        os.environ.pop("WARRANT_DATABASE_URL", None)
        settings.cache_clear()
        use_database(None)
        try:
            upgrade()
            with writing() as session:
                session.add(Model(name=MODEL, title=MODEL, spec=spec, created_at=clock.now()))
                session.flush()
                count = sum(_store(session, size) for size in (timedelta(days=1), timedelta(hours=1)))
            yield count
        finally:
            use_database(None)
            settings.cache_clear()


def _store(session: WriteSession, size: timedelta) -> int:
    """A year of windows of one size, and every point of each."""
    from sqlalchemy import insert, select

    from backend.monitoring.tables import MetricPoint, WindowState

    random = np.random.default_rng(7)
    many = int(timedelta(days=DAYS) / size)
    told = "1d" if size == timedelta(days=1) else "1h"
    common = {"model": MODEL, "environment": "production", "size": told}
    session.execute(
        insert(WindowState),
        [
            common
            | {
                "start": BEGAN + i * size, "end": BEGAN + (i + 1) * size, "version": 1, "rows": 900,
                "labels_known": 900, "state": "complete", "computed_at": BEGAN + (i + 1) * size,
            }
            for i in range(many)
        ],
    )  # fmt: skip
    windows = session.execute(
        select(WindowState.id, WindowState.start).where(WindowState.size == told).order_by(WindowState.start)
    ).all()
    names = [(kind, f"x{i}", name) for i in range(COLUMNS) for kind, name in OF_A_COLUMN]
    names += [(kind, "", name) for kind, name in OF_A_WINDOW]
    for at in range(0, many, 500):
        values = random.gamma(2, 0.05, (500, len(names)))
        session.execute(
            insert(MetricPoint),
            [
                common
                | {
                    "window_id": window.id, "window_start": window.start, "kind": kind, "column": column,
                    "statistic": name, "value": value, "threshold": 0.3, "reference_value": 0.0, "rows": 900,
                    "verdict": "alarm" if value > 0.3 else "ok", "completeness": 1.0, "first_value": value,
                    "first_computed_at": window.start + size, "computed_at": window.start + size,
                }
                for window, row in zip(windows[at : at + 500], values.tolist(), strict=False)
                for (kind, column, name), value in zip(names, row, strict=True)
            ],
        )  # fmt: skip
    return many * len(names)

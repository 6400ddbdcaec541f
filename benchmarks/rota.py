"""A rota of quiet models: how many pages reach one person when nothing is wrong with any of them.

Each model is drawn afresh: its features, how they follow the hour and the weekday, how slowly they wander, its skill,
its traffic and its label delay. The same law gives reference and live rows, so every page is false. Four weeks are
replayed by `backend.monitoring.backtest`, two processes at a time.
"""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd

from benchmarks.figures import Figure, figure

MODELS: Final = 200
REFERENCE_DAYS: Final = 28
LIVE_DAYS: Final = 28
SHIFTS: Final = LIVE_DAYS * 2
PAGES_PER_SHIFT: Final = 2.0
PAGES_PER_QUARTER: Final = 1.0
QUARTER_DAYS: Final = 365.25 / 4
START: Final = datetime(2026, 1, 5, tzinfo=UTC)
SEED: Final = 20_260_105


def measure(*, models: int | None = None) -> list[Figure]:
    """False pages per 12-hour shift over the rota, and per model and quarter."""
    many = models or int(os.environ.get("WARRANT_ROTA_MODELS", MODELS))
    with ProcessPoolExecutor(max_workers=2) as pool:
        paged = list(pool.map(count_pages, range(many), chunksize=5))
    pages = sum(notified for notified, _ in paged)
    rows = sum(rows for _, rows in paged)
    return [
        figure(
            "rota_false_pages_per_shift", pages / SHIFTS * MODELS / many, "pages in 12 hours over 200 models",
            rows=rows, target=PAGES_PER_SHIFT,
        ),
        figure(
            "rota_false_pages_per_model", pages / many / LIVE_DAYS * QUARTER_DAYS, "pages a quarter",
            rows=rows, target=PAGES_PER_QUARTER,
        ),
    ]  # fmt: skip


def count_pages(number: int) -> tuple[int, int]:
    """(pages that notified, live rows) of one quiet model."""
    warnings.simplefilter("ignore")
    from backend.monitoring.backtest import replay
    from backend.monitoring.columns import parse_spec
    from backend.monitoring.history import check_history

    document, frame = draw_model(number)
    spec = parse_spec(document)
    found = replay(spec, check_history(frame, spec))
    return sum(alarm.level == "page" and alarm.notifies for alarm in found.alarms), sum(
        w.rows for w in found.windows
    )


def draw_model(number: int) -> tuple[dict[str, Any], pd.DataFrame]:
    """SPEC and DATA of one quiet model; every second one is a regression."""
    draw = np.random.default_rng([SEED, number])
    days = REFERENCE_DAYS + LIVE_DAYS
    a_day = int(draw.integers(150, 600))
    ts = np.sort(draw.random(days * a_day)) * days * 86_400
    wander = _wandering(draw, ts, days)
    columns: dict[str, Any] = {}
    for at in range(int(draw.integers(3, 7))):
        rhythm = draw.normal(0, 0.3) * np.sin(2 * np.pi * ts / 86_400) + draw.normal(0, 0.2) * np.sin(
            2 * np.pi * ts / (7 * 86_400)
        )
        columns[f"x{at}"] = draw.normal(size=ts.size) + rhythm + draw.normal(0, 0.2) * wander
    levels = int(draw.integers(2, 12))
    columns["group"] = draw.choice(levels, ts.size, p=draw.dirichlet(np.ones(levels))).astype(str)
    signal = sum(draw.normal() * columns[name] for name in columns if name != "group")
    regression = number % 2 == 1
    frame = pd.DataFrame(columns)
    if regression:
        frame["prediction"], frame["label"] = signal, signal + draw.standard_t(5, ts.size)
        frame["score"] = np.nan
    else:
        chance = 1 / (1 + np.exp(-(signal - draw.normal(1, 0.5))))
        frame["score"], frame["prediction"] = chance, (chance > 0.5).astype(int)
        frame["label"] = (draw.random(ts.size) < chance).astype(int)
    frame["ts"] = START + pd.to_timedelta(ts, unit="s")
    frame["label_ts"] = frame["ts"] + pd.to_timedelta(
        draw.exponential(draw.choice([1, 24, 72]), ts.size), unit="h"
    )
    frame["prediction_id"] = np.arange(ts.size).astype(str)
    frame["split"] = np.where(ts < REFERENCE_DAYS * 86_400, "reference", "live")
    features = {name: "categorical" if name == "group" else "numeric" for name in columns}
    return {"task": "regression" if regression else "binary", "features": features, "window": "1d"}, frame


def _wandering(draw: np.random.Generator, ts: np.ndarray, days: int) -> np.ndarray:
    """A slow stationary process by the hour (autocorrelation of two days), read at each row's time."""
    hours = days * 24 + 2
    keep = np.exp(-1 / 48)
    steps = draw.normal(0, np.sqrt(1 - keep**2), hours)
    path = np.empty(hours)
    path[0] = draw.normal()
    for hour in range(1, hours):
        path[hour] = keep * path[hour - 1] + steps[hour]
    return np.interp(ts / 3600, np.arange(hours), path)

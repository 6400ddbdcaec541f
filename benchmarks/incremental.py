"""What one more day costs after a year: 50 columns and the 5 segments of one of them, beside the second day.

A day is profiled by column and segment from rows in memory, and merged into the sum of the days before it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa

from backend.monitoring.columns import Column
from backend.monitoring.profiles import Profile, Segment, freeze_grids, profile_segments
from backend.monitoring.windows import Window
from benchmarks.figures import Figure, figure, percentile

DAYS: Final = 365
ROWS: Final = 2000
START: Final = datetime(2025, 1, 1, tzinfo=UTC)
COLUMNS: Final = [Column(f"n{i}", "numeric") for i in range(35)] + [
    Column(f"c{i}", "categorical") for i in range(15)
]

Year = dict[tuple[Segment | None, str], Profile]


def measure(*, repeats: int = 5) -> list[Figure]:
    """The median cost of day 366 and of day 2, and their ratio."""
    grids = freeze_grids(_rows(0, 10_000), COLUMNS)

    def add(year: Year, day: int, table: pa.Table) -> Year:
        window = Window(START + timedelta(days=day), START + timedelta(days=day + 1))
        found = profile_segments(table, grids, [window], ["c0"])
        parts = {(segment, name): profile for (_, segment, name), profile in found.items()}
        return {key: year[key].merge(profile) if key in year else profile for key, profile in parts.items()}

    year = add({}, 0, _rows(0, ROWS))
    early, late = year, year
    for _ in range(1, DAYS):
        late = {key: profile.merge(year[key]) for key, profile in late.items()}
    took: dict[str, list[float]] = {"second": [], "last": []}
    for turn in range(repeats + 1):
        for name, before, day in (("second", early, 1), ("last", late, DAYS)):
            table = _rows(day, ROWS)
            began = time.perf_counter()
            add(before, day, table)
            if turn:
                took[name].append((time.perf_counter() - began) * 1000)
    second, last = (percentile(took[name], 0.5) for name in ("second", "last"))
    return [
        figure(
            "incremental_day",
            last,
            "ms",
            rows=ROWS,
            target=1.3 * second,
            peer="the second day",
            peer_value=second,
        )
    ]


def _rows(day: int, count: int) -> pa.Table:
    random = np.random.default_rng(day)
    start = np.datetime64(START.replace(tzinfo=None) + timedelta(days=day), "us")
    seconds = random.integers(0, 86_400, count).astype("timedelta64[s]")
    columns: dict[str, object] = {"ts": pa.array(start + seconds, pa.timestamp("us", "UTC"))}
    for column in COLUMNS:
        if column.kind == "numeric":
            columns[column.name] = random.lognormal(size=count)
        else:
            levels = 5 if column.name == "c0" else 30
            columns[column.name] = [f"level {k}" for k in random.integers(0, levels, count)]
    return pa.table(columns)

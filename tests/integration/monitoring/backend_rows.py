"""Rows with everything odd in them, and how a backend's counts of them are written down.

Run as a program it counts a Parquet file with Spark, in the environment of requirements-spark.txt:

    python -m tests.integration.monitoring.backend_rows ROWS.parquet GRIDS.json COUNTS.json
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from backend.monitoring.columns import Column
from backend.monitoring.grids import Grid
from backend.monitoring.profiles import Profile, profile_groups, profile_segments
from backend.monitoring.windows import Window, windows_between

START = datetime(2026, 3, 7, tzinfo=UTC)
BY = ["carrier", "seats", "fare"]
COLUMNS = [
    *(
        Column(name, "numeric")
        for name in ("fare", "delay", "seats", "zeros", "typed", "flag", "many", "booked")
    ),
    *(
        Column(name, "categorical")
        for name in ("carrier", "code", "share", "flag_text", "day", "booked_text")
    ),
]


def windows() -> list[Window]:
    """Days of New York over the change of its clocks, two of which overlap a longer one."""
    days = windows_between(START, START + timedelta(days=4), "1d", "America/New_York")
    return [*days, Window(START + timedelta(hours=30, microseconds=7), START + timedelta(hours=70))]


def odd_rows(count: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    delay = random.normal(5, 40, count)
    delay[:8] = [np.nan, np.inf, -np.inf, 1e200, -1e200, 1e-200, 0.0, -0.0]
    fare = random.lognormal(size=count)
    typed = [f"{x:.3f}" for x in random.normal(size=count)]
    typed[:12] = ["", " 1.5 ", "1e5", "nan", "Infinity", "-inf", "1e999", "0x10", "1,5", ".5", "5.", "n/a"]
    booked = [START - timedelta(seconds=float(s)) for s in random.exponential(86400, count).round(6)]
    carrier = random.choice(["AA", "B6", "UA", 'it\'s "q" é'], count).tolist()
    carrier[:3] = ["", " AA", "new one"]
    share = np.round(random.random(count), 1)
    share[:4] = [np.nan, np.inf, 1e20, 0.1 + 0.2]
    columns = {
        "fare": fare,
        "delay": delay,
        "seats": random.integers(0, 6, count),
        "zeros": np.where(random.random(count) < 0.4, 0.0, random.exponential(size=count)),
        "typed": typed,
        "flag": random.random(count) < 0.3,
        "many": random.integers(0, 3000, count) / 7,
        "booked": pa.array(booked, pa.timestamp("us", "UTC")),
        "carrier": carrier,
        "code": random.integers(-3, 300, count),
        "share": share,
        "flag_text": random.random(count) < 0.3,
        "day": pa.array([b.date() for b in booked], pa.date32()),
        "booked_text": pa.array(
            [b.replace(microsecond=500, second=0, minute=0) for b in booked], pa.timestamp("us")
        ),
        "part": random.integers(0, 5, count),
        "ts": pa.array(
            [START + timedelta(microseconds=int(m)) for m in random.integers(0, 4 * 86_400_000_000, count)],
            pa.timestamp("us", "UTC"),
        ),
    }
    holes = {name: random.random(count) < 0.03 for name in columns if name not in ("part", "ts")}
    return pa.table(
        {
            name: pa.array(np.asarray(values, dtype=object) if isinstance(values, list) else values,
                           mask=holes.get(name)) if not isinstance(values, pa.Array)
            else pa.array(values.to_pylist(), values.type, mask=holes.get(name))
            for name, values in columns.items()
        }
    )  # fmt: skip


SUMS = ("total", "squares", "under_sum", "over_sum")


def count_all(source: Any, grids: dict[str, Grid]) -> dict[str, Any]:
    """Every count of every window, segment, group and column, and the sums (`SUMS`)."""
    found: dict[str, Any] = {}
    for (start, segment, name), profile in profile_segments(source, grids, windows(), BY).items():
        found[f"{start.isoformat()} {segment} {name}"] = _written(profile)
    for (group, name), profile in profile_groups(source, grids, "part").items():
        found[f"{group} {name}"] = _written(profile)
    return found


def _written(profile: Profile) -> dict[str, Any]:
    # Where rows lie in their cells follows from sums: their last unit is the order in which threads finish.
    return replace(profile, offsets=None).to_json()


if __name__ == "__main__":
    rows, grids_file, out = (Path(argument) for argument in sys.argv[1:])
    from backend.monitoring.sources import open_source

    known = {name: Grid.from_json(grid) for name, grid in json.loads(grids_file.read_text()).items()}
    out.write_text(json.dumps(count_all(open_source(f"spark:{rows}"), known)))

"""Rows per second from a Parquet body to durable: read, validate, digest, look up in a store, fsync.

`measure()` accepts bodies of 100,000 rows with 12 features into a store that already holds 300,000 rows.
"""

from __future__ import annotations

import io
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backend.observations.schema import Kind
from backend.observations.spool_log import SpoolLog
from backend.observations.store import accept, gateway_row
from backend.observations.validation import prediction_batch, prediction_row
from backend.observations.writer import commit_spool

ROWS: Final = 100_000
STORED: Final = 300_000
TARGET_ROWS_PER_S: Final = 100_000
NUMERIC, CATEGORICAL = 9, 3
NOW: Final = datetime(2026, 3, 2, tzinfo=UTC)
FEATURES: Final[dict[str, Kind]] = {
    **{f"number_{i}": "numeric" for i in range(NUMERIC)},
    **{f"category_{i}": "categorical" for i in range(CATEGORICAL)},
}


def body(first: int, rows: int, *, days: int) -> bytes:
    """A Parquet body as a client would send it, its times spread over `days`."""
    random = np.random.default_rng(first)
    seconds = np.sort(random.integers(0, days * 86_400, rows))
    columns: dict[str, Any] = {
        "prediction_id": [f"{number:032x}" for number in range(first, first + rows)],
        "ts": pa.array(
            (np.datetime64((NOW - timedelta(days=days)).replace(tzinfo=None), "us") + seconds * 1_000_000),
            pa.timestamp("us"),
        ).cast(pa.timestamp("us", "UTC")),
        "version": np.full(rows, 1, np.int32),
        "score": random.random(rows),
    }
    for name, kind in FEATURES.items():
        columns[name] = (
            random.normal(size=rows) if kind == "numeric" else random.integers(0, 20, rows).astype(str)
        )
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def ingest(folder: Path, content: bytes, *, source: str = "api") -> float:
    """Seconds from the body to durable rows."""
    began = time.perf_counter()
    table = pq.read_table(pa.BufferReader(content))
    batch = prediction_batch(FEATURES, table, now=NOW)
    accepted = accept(
        folder / "observations", folder / "spool", "m", "predictions", batch, source=source, now=NOW
    )
    took = time.perf_counter() - began
    assert accepted.rows_known == 0
    return took


def measure(*, repeats: int = 5) -> list[dict[str, Any]]:
    """Parquet ingest, a small batch beside a large store, the writer's commit, and the gateway's durable append."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ingest(folder, body(0, STORED, days=300))
        commit_spool(folder / "observations", folder / "spool")
        bodies = [body(STORED + ROWS * (1 + i), ROWS, days=2) for i in range(repeats)]
        ingested = [ingest(folder, content) for content in bodies]
        small = [ingest(folder, body(10**8 + i, 1, days=1)) for i in range(repeats)]
        began = time.perf_counter()
        moved = sum(done.rows for done in commit_spool(folder / "observations", folder / "spool"))
        commit_rate = moved / (time.perf_counter() - began)
        appends = _gateway_appends(folder / "spool")
    rate = ROWS / statistics.median(ingested)
    return [
        _result("ingest_parquet", rate, "rows/s", ROWS, target=TARGET_ROWS_PER_S),
        _result("ingest_one_row", statistics.median(small) * 1000, "ms", 1),
        _result("commit_spool", commit_rate, "rows/s", moved),
        _result("gateway_append_p50", statistics.median(appends) * 1000, "ms", 1),
        _result("gateway_append_p95", statistics.quantiles(appends, n=20)[-1] * 1000, "ms", 1),
    ]


def _gateway_appends(spool: Path) -> list[float]:
    """Seconds to check, digest and make one prediction durable."""
    times = []
    with SpoolLog(spool) as log:
        for number in range(300):
            given = {
                "prediction_id": f"gateway-{number}",
                "ts": NOW,
                "version": 1,
                "score": 0.5,
                "features": {name: 1.5 if kind == "numeric" else "a" for name, kind in FEATURES.items()},
            }
            began = time.perf_counter()
            log.append("predictions", "m", gateway_row(prediction_row(FEATURES, given, now=NOW), now=NOW))
            times.append(time.perf_counter() - began)
    return times


def _result(name: str, value: float, unit: str, rows: int, *, target: float | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "peer": None,
        "peer_value": None,
        "ratio": None,
        "target": target,
        "met": None if target is None else value > target,
        "rows": rows,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }


if __name__ == "__main__":
    for result in measure():
        print(f"{result['name']}: {result['value']} {result['unit']}")

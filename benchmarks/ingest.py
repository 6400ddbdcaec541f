"""Rows per second from a Parquet body to durable: read, validate, digest, look up in a store, fsync.

`measure()` accepts bodies of 100,000 rows with 12 features into a store that already holds 300,000 rows in 300
daily partitions. The peer is `deltalake` alone, in one partition: what rows cost that nobody checks.
"""

from __future__ import annotations

import io
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake

from backend.observations.schema import Kind
from backend.observations.spool_log import SpoolLog
from backend.observations.store import accept, gateway_row
from backend.observations.validation import label_batch, prediction_batch, prediction_row
from backend.observations.writer import commit_spool
from benchmarks.figures import Figure, figure, percentile

ROWS: Final = 100_000
STORED: Final = 300_000
TARGET_ROWS_PER_S: Final = 100_000
TARGET_SMALL_MS: Final = 20.0
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


def measure(*, repeats: int = 5) -> list[Figure]:
    """Parquet ingest beside a bare Delta append, small batches beside a large store, and the writer's commit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ingest(folder, body(0, STORED, days=300))
        _ingest_labels(folder, 0, 300)
        commit_spool(folder / "observations", folder / "spool")
        first = ingest(folder, body(STORED, ROWS, days=2))
        ingested, bare = [], []
        for turn in range(repeats):
            content = body(STORED + ROWS * (2 + turn), ROWS, days=2)
            ingested.append(ingest(folder, content))
            bare.append(_bare_append(folder / "bare", content))
        small = [ingest(folder, body(10**8 + i, 1, days=1)) for i in range(3 * repeats)]
        labels = [_ingest_labels(folder, 10**6 + 50 * i, 50) for i in range(3 * repeats)]
        began = time.perf_counter()
        moved = sum(done.rows for done in commit_spool(folder / "observations", folder / "spool"))
        commit_rate = moved / (time.perf_counter() - began)
        appends = _gateway_appends(folder / "spool")
    return [
        figure(
            "ingest_parquet",
            ROWS / percentile(ingested, 0.5),
            "rows/s",
            rows=ROWS,
            target=TARGET_ROWS_PER_S,
            more_is_better=True,
            peer="bare deltalake append",
            peer_value=ROWS / percentile(bare, 0.5),
        ),
        figure("ingest_parquet_after_start", ROWS / first, "rows/s", rows=ROWS),
        figure("ingest_one_row", percentile(small, 0.5) * 1000, "ms", target=TARGET_SMALL_MS),
        figure("ingest_50_labels", percentile(labels, 0.5) * 1000, "ms", rows=50, target=TARGET_SMALL_MS),
        figure("commit_spool", commit_rate, "rows/s", rows=moved),
        figure("gateway_append_p50", percentile(appends, 0.5) * 1000, "ms"),
        figure("gateway_append_p95", percentile(appends, 0.95) * 1000, "ms"),
    ]


def _ingest_labels(folder: Path, first: int, rows: int) -> float:
    """Seconds for JSON labels, each of another day."""
    given = [
        {
            "prediction_id": f"{first + i:032x}",
            "label": "1",
            "status": "known",
            "label_ts": (NOW - timedelta(days=i % 300)).isoformat(),
        }
        for i in range(rows)
    ]
    began = time.perf_counter()
    batch = label_batch(given, now=NOW)
    accept(folder / "observations", folder / "spool", "m", "labels", batch, source="api", now=NOW)
    return time.perf_counter() - began


def _bare_append(path: Path, content: bytes) -> float:
    """Seconds for the peer: the same body read and appended by `deltalake`, nothing checked and nothing fsynced."""
    began = time.perf_counter()
    write_deltalake(str(path), pq.read_table(pa.BufferReader(content)), mode="append")
    return time.perf_counter() - began


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

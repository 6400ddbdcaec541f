"""Rows per second of Parquet bodies over HTTP, through a running console into the fsynced spool.

The rows are those of the demo's flight model with new ids: 14 features, its spec, its store. One client sends one
body after the other and waits for each answer: the figure is rows divided by the time of a request, in which the
console reads, checks, digests and looks up every row, makes it durable and writes the audit entry. The console's
processor time for a body is beside it: unlike the rate, it hardly depends on what else runs.
"""

from __future__ import annotations

import io
import json
import time
import uuid
from datetime import timedelta
from typing import Any, Final

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backend.clock import now
from benchmarks.figures import Figure, figure, not_measured, percentile
from benchmarks.installation import Installation, NoLoadedHome, shared

MODEL: Final = "flight-delay"
ROWS: Final = 100_000
TARGET_ROWS_PER_S: Final = 100_000
PARQUET: Final = {"Content-Type": "application/vnd.apache.parquet"}


def measure(*, repeats: int = 5) -> list[Figure]:
    """Medians over `repeats` bodies of 100,000 rows, and over batches of 50 labels and of one."""
    try:
        site = shared()
    except NoLoadedHome as missing:
        return not_measured("ingest_http_parquet", "rows/s", str(missing), target=TARGET_ROWS_PER_S)
    bodies = [_body(site, number) for number in range(repeats + 1)]
    with site.api("engineer") as client:
        _send(
            client, "predictions", bodies[0], PARQUET
        )  # the first look-up after a start reads the stored ids
        used = site.cpu_s("console")
        took = [_send(client, "predictions", body, PARQUET) for body in bodies[1:]]
        used = None if used is None else ((site.cpu_s("console") or used) - used) / repeats
        small = {rows: [_send_labels(client, rows) for _ in range(4 * repeats)] for rows in (1, 50)}
    return [
        figure(
            "ingest_http_parquet",
            ROWS / percentile(took, 0.5),
            "rows/s",
            rows=ROWS,
            target=TARGET_ROWS_PER_S,
            more_is_better=True,
        ),
        figure(
            "ingest_http_parquet_cpu",
            used,
            "s",
            rows=ROWS,
            reason="processor time is read from /proc" if used is None else None,
        ),
        *(
            figure(f"ingest_http_labels_{rows}", percentile(times, 0.5) * 1000, "ms", rows=rows)
            for rows, times in small.items()
        ),
    ]


def _send(client: httpx.Client, stream: str, body: bytes, headers: dict[str, str]) -> float:
    began = time.perf_counter()
    answer = client.post(f"/models/{MODEL}/{stream}", content=body, headers=headers)
    took = time.perf_counter() - began
    if answer.status_code != 202 or answer.json()["rows_known"]:
        raise RuntimeError(f"the console answered {answer.status_code}: {answer.text[:500]}")
    return took


def _send_labels(client: httpx.Client, rows: int) -> float:
    moment = now().isoformat()
    labels = [
        {"prediction_id": f"bench-{uuid.uuid4().hex}", "label": "0", "status": "known", "label_ts": moment}
        for _ in range(rows)
    ]
    return _send(
        client, "labels", json.dumps({"labels": labels}).encode(), {"Content-Type": "application/json"}
    )


def _body(site: Installation, number: int) -> bytes:
    """Rows drawn from the newest version's reference data, their times within the last two days."""
    random = np.random.default_rng(number)
    (path,) = site.rows(
        "SELECT reference_path FROM versions WHERE model = :model ORDER BY version DESC LIMIT 1", model=MODEL
    )[0]
    (spec,) = site.rows("SELECT spec FROM models WHERE name = :model", model=MODEL)[0]
    reference = pq.read_table(path, columns=[*json.loads(spec)["features"], "score"])
    rows = reference.take(random.integers(0, len(reference), ROWS))
    begin = np.datetime64((now() - timedelta(days=2)).replace(tzinfo=None), "us")
    seconds = np.sort(random.integers(0, 2 * 86_400 - 60, ROWS))
    columns: dict[str, Any] = {name: rows.column(name) for name in rows.column_names}
    columns["prediction_id"] = [f"{random.integers(2**62):016x}{n:016x}" for n in range(ROWS)]
    columns["ts"] = pa.array(begin + seconds * 1_000_000, pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    columns["version"] = pa.array(np.full(ROWS, 3, np.int32))
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()

"""From the final approval to the first prediction by the other version, in a running installation.

Rollbacks and promotions of the demo's flight model take turns. The clock runs from the moment the approval is
sent until a real prediction request to the gateway is answered by the new version; between the two lie the
commit with its audit entry, the job, the deployment record, and the gateway that loads and switches.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.figures import Figure, figure, not_measured, percentile
from benchmarks.installation import Installation, NoLoadedHome, shared

MODEL: Final = "flight-delay"
REPEATS: Final = 12
TARGET_S: Final = 5.0
LIMIT_S: Final = 60.0
PROBE_EVERY_S: Final = 0.02


def measure(*, repeats: int = REPEATS) -> list[Figure]:
    """Median and 95th percentile of `repeats` changes, half of them rollbacks."""
    try:
        site = shared()
    except NoLoadedHome as missing:
        return not_measured("approval_to_traffic_p50", "s", str(missing), target=TARGET_S)
    features = features_of(site)
    took: dict[str, list[float]] = {"rollback": [], "promote": []}
    with site.api("lead") as asking, site.api("lead2") as deciding, httpx.Client(timeout=30) as client:
        for _ in range(repeats):
            before = _predict(client, site, features)
            kind, wanted = ("rollback", 2) if before == 3 else ("promote", 3)
            took[kind].append(_carry_out(site, asking, deciding, client, features, kind, wanted))
    every = [*took["rollback"], *took["promote"]]
    return [
        figure("approval_to_traffic_p50", percentile(every, 0.5), "s", rows=len(every), target=TARGET_S),
        figure("approval_to_traffic_p95", percentile(every, 0.95), "s", rows=len(every), target=TARGET_S),
        figure(
            "rollback_to_traffic_p50",
            percentile(took["rollback"], 0.5),
            "s",
            rows=len(took["rollback"]),
            target=TARGET_S,
        ),
    ]


def _carry_out(
    site: Installation,
    asking: httpx.Client,
    deciding: httpx.Client,
    client: httpx.Client,
    features: dict[str, Any],
    kind: str,
    wanted: int,
) -> float:
    """Seconds from sending the approval to traffic on `wanted`."""
    what = {"kind": kind, "model": MODEL, "to_version": wanted}
    preview = _checked(asking.get("/changes/preview", params=what))
    asked = {**what, "reason": "benchmark", "digest": preview["digest"]}
    change = _checked(asking.post("/changes", json=asked, headers=_key()))
    began = time.perf_counter()
    _checked(
        deciding.post(
            f"/changes/{change['id']}/decisions",
            json={"verdict": "approve", "comment": "benchmark", "digest": change["digest"]},
            headers=_key(),
        )
    )
    while _predict(client, site, features) != wanted:
        if time.perf_counter() - began > LIMIT_S:
            state = _checked(asking.get(f"/changes/{change['id']}"))
            raise RuntimeError(f"no traffic on version {wanted}: {state['state']}, {state['outcome']}")
        time.sleep(PROBE_EVERY_S)
    took = time.perf_counter() - began
    while (state := _checked(asking.get(f"/changes/{change['id']}"))["state"]) != "executed":
        if state in ("failed", "void") or time.perf_counter() - began > LIMIT_S:
            raise RuntimeError(f"change {change['id']} ended as {state}")
        time.sleep(0.1)
    return took


def _predict(client: httpx.Client, site: Installation, features: dict[str, Any]) -> int:
    """The version that answers a prediction request now."""
    answer = client.post(f"{site.gateway}/v1/models/{MODEL}/predict", json={"features": features})
    return int(_checked(answer)["version"])


def features_of(site: Installation) -> dict[str, Any]:
    """Features of one real row, as a client would send them."""
    import json

    import pyarrow.parquet as pq

    (path,) = site.rows("SELECT reference_path FROM versions WHERE model = ? AND version = 3", MODEL)[0]
    (spec,) = site.rows("SELECT spec FROM models WHERE name = ?", MODEL)[0]
    names = list(json.loads(spec)["features"])
    with pq.ParquetFile(Path(path)) as reference:
        row: dict[str, Any] = next(reference.iter_batches(1, columns=names)).to_pylist()[0]
    return row


def _checked(answer: httpx.Response) -> Any:
    if not answer.is_success:
        raise RuntimeError(f"{answer.request.url} answered {answer.status_code}: {answer.text[:500]}")
    return answer.json()


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}

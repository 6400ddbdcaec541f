"""From the final approval to the first prediction by the other version, in a running installation.

Rollbacks and promotions of one model take turns: the demo's flight model where a loaded demo is found, else the small
model of a home that is made here. Each is asked for and waits until its gates are in. The clock runs from the moment
the approval is sent until a real prediction request to the gateway is answered by the new version; between the two lie
the commit with its audit entry, the job, the deployment record, and the gateway that loads and switches.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks import small_home
from benchmarks.figures import Figure, figure, percentile
from benchmarks.installation import Installation, NoLoadedHome, shared

MODEL: Final = "flight-delay"
REPEATS: Final = 12
TARGET_S: Final = 5.0
LIMIT_S: Final = 60.0
PROBE_EVERY_S: Final = 0.02
ENDED: Final = ("executed", "failed", "void", "rejected", "expired", "cancelled")


def measure(*, repeats: int = REPEATS) -> list[Figure]:
    """Median and 95th percentile of `repeats` changes, half of them rollbacks."""
    site, model, (older, newer) = _served()
    features = features_of(site, model)
    took: dict[str, list[float]] = {"rollback": [], "promote": []}
    with site.api("lead") as asking, site.api("lead2") as deciding, httpx.Client(timeout=30) as client:
        traffic = Traffic(site, client, model, features)
        for _ in range(repeats):
            kind, wanted = ("rollback", older) if traffic.version() == newer else ("promote", newer)
            took[kind].append(_carry_out(asking, deciding, traffic, kind, wanted))
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


def _served() -> tuple[Installation, str, tuple[int, int]]:
    """What runs, its model, and the two versions of it that take turns."""
    try:
        return shared(), MODEL, (2, 3)
    except NoLoadedHome:
        return shared(demo=False), small_home.MODEL, small_home.VERSIONS


@dataclass(frozen=True)
class Traffic:
    """Prediction requests for one model."""

    site: Installation
    client: httpx.Client
    model: str
    features: dict[str, Any]

    def version(self) -> int:
        """The version that answers a request now."""
        url = f"{self.site.gateway}/v1/models/{self.model}/predict"
        return int(_checked(self.client.post(url, json={"features": self.features}))["version"])


def _carry_out(
    asking: httpx.Client, deciding: httpx.Client, traffic: Traffic, kind: str, wanted: int
) -> float:
    """Seconds from sending the approval to traffic on `wanted`."""
    what: dict[str, str | int] = {"kind": kind, "model": traffic.model, "to_version": wanted}
    preview = _checked(asking.get("/changes/preview", params=what))
    asked = {**what, "reason": "benchmark", "digest": preview["digest"]}
    number = _checked(asking.post("/changes", json=asked, headers=_key()))["id"]
    change = _awaited(asking, number, "waiting")
    began = time.perf_counter()
    _checked(
        deciding.post(
            f"/changes/{number}/decisions",
            json={"verdict": "approve", "comment": "benchmark", "digest": change["digest"]},
            headers=_key(),
        )
    )
    while traffic.version() != wanted:
        if time.perf_counter() - began > LIMIT_S:
            change = _checked(asking.get(f"/changes/{number}"))
            raise RuntimeError(f"no traffic on version {wanted}: {change['state']}, {change['outcome']}")
        time.sleep(PROBE_EVERY_S)
    took = time.perf_counter() - began
    _awaited(asking, number, "executed")
    return took


def _awaited(asking: httpx.Client, number: int, state: str) -> dict[str, Any]:
    """The change once it has come to this state."""
    until = time.perf_counter() + LIMIT_S
    while (change := _checked(asking.get(f"/changes/{number}")))["state"] != state:
        if change["state"] in ENDED or time.perf_counter() > until:
            raise RuntimeError(f"change {number} is {change['state']}, not {state}: {change['outcome']}")
        time.sleep(0.1)
    found: dict[str, Any] = change
    return found


def features_of(site: Installation, model: str = MODEL) -> dict[str, Any]:
    """Features of one real row, as a client would send them."""
    import json

    import pyarrow.parquet as pq

    newest = "SELECT reference_path FROM versions WHERE model = :model ORDER BY version DESC LIMIT 1"
    (path,) = site.rows(newest, model=model)[0]
    (spec,) = site.rows("SELECT spec FROM models WHERE name = :model", model=model)[0]
    names = list((json.loads(spec) if isinstance(spec, str) else spec)["features"])
    with pq.ParquetFile(Path(path)) as reference:
        row: dict[str, Any] = next(reference.iter_batches(1, columns=names)).to_pylist()[0]
    return row


def _checked(answer: httpx.Response) -> Any:
    if not answer.is_success:
        raise RuntimeError(f"{answer.request.url} answered {answer.status_code}: {answer.text[:500]}")
    return answer.json()


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}

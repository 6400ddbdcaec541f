"""Latency and throughput of the gateway: one prediction scored, made durable and answered, over HTTP."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx

from benchmarks.figures import Figure, figure, not_measured, percentile
from benchmarks.installation import Installation, NoLoadedHome, shared
from benchmarks.rollback import MODEL, features_of

CLIENTS: Final = 8


def measure(*, requests: int = 800) -> list[Figure]:
    """Latency of one client after the other; requests per second of eight at once."""
    try:
        site = shared()
    except NoLoadedHome as missing:
        return not_measured("gateway_predict_p50", "ms", str(missing))
    features = features_of(site)
    _latencies(site, features, 50)
    alone = _latencies(site, features, requests // 2)
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        for done in [clients.submit(_latencies, site, features, requests // CLIENTS) for _ in range(CLIENTS)]:
            done.result()
    rate = requests / (time.perf_counter() - began)
    return [
        figure("gateway_predict_p50", percentile(alone, 0.5), "ms"),
        figure("gateway_predict_p95", percentile(alone, 0.95), "ms"),
        figure("gateway_throughput", rate, "requests/s", rows=requests),
    ]


def _latencies(site: Installation, features: dict[str, Any], requests: int) -> list[float]:
    """Milliseconds of each of `requests` on one kept-alive connection."""
    times = []
    with httpx.Client(base_url=site.gateway, timeout=30) as client:
        for _ in range(requests):
            began = time.perf_counter()
            answer = client.post(f"/v1/models/{MODEL}/predict", json={"features": features})
            times.append((time.perf_counter() - began) * 1000)
            answer.raise_for_status()
    return times

"""The same indicators from the gateway's own /metrics, where no Prometheus is configured.

Counters since that gateway started: there is no history, so the time covered is its uptime and says so.
"""

from __future__ import annotations

import time
from typing import Final

import requests
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from backend.errors import Unavailable
from backend.slo.indicators import Indicator, indicators_of, quantile_of_buckets

TIMEOUT_S: Final = (1.0, 5.0)


class GatewayAway(Unavailable):
    title = "The gateway is away"


def read_from_gateway(url: str, model: str) -> list[Indicator]:
    """Availability, p95 latency and request rate of a model since the gateway at `url` started.

    Raises `GatewayAway` when it does not answer.
    """
    try:
        response = requests.get(f"{url.rstrip('/')}/metrics", timeout=TIMEOUT_S)
        response.raise_for_status()
        samples = [
            sample for family in text_string_to_metric_families(response.text) for sample in family.samples
        ]
    except (requests.RequestException, ValueError) as error:
        raise GatewayAway(
            f"the gateway at {url} gives no metrics ({type(error).__name__}); is it running?"
        ) from error
    return _indicators(samples, model)


def _indicators(samples: list[Sample], model: str) -> list[Indicator]:
    ours = [sample for sample in samples if sample.labels.get("model") == model]
    requests_seen = [sample for sample in ours if sample.name == "warrant_requests_total"]
    buckets: dict[float, float] = {}
    for sample in ours:
        if sample.name == "warrant_request_seconds_bucket":
            bound = float(sample.labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + sample.value
    started = next((s.value for s in samples if s.name == "process_start_time_seconds"), None)
    return indicators_of(
        source="gateway",
        total=sum(sample.value for sample in requests_seen) if requests_seen else None,
        bad=sum(sample.value for sample in requests_seen if sample.labels.get("code", "").startswith("5")),
        latency_s=quantile_of_buckets(0.95, list(buckets.items())),
        window_s=max(1, round(time.time() - started)) if started is not None else 0,
        details={"note": "counted since the gateway started; configure WARRANT_PROMETHEUS_URL for one hour"},
    )

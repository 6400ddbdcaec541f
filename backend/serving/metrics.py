"""What the gateway exports to Prometheus. Labels hold registered names only, never what a client sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LOAD_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class GatewayMetrics:
    """A registry of its own, so that two gateways in one process (tests) do not share counts."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.requests = Counter(
            "warrant_requests", "Prediction requests answered, by HTTP status.", ["model", "version", "code"],
            registry=registry,
        )  # fmt: skip
        self.errors = Counter(
            "warrant_request_errors", "Prediction requests not answered with a prediction.",
            ["model", "version", "kind"], registry=registry,
        )  # fmt: skip
        self.predictions = Counter(
            "warrant_predictions",
            "Predictions made durable and answered.",
            ["model", "version"],
            registry=registry,
        )
        self.seconds = Histogram(
            "warrant_request_seconds", "From the request's arrival to its answer, spool included.",
            ["model", "version"], buckets=BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge("warrant_in_flight", "Prediction requests being answered.", registry=registry)
        self.load_seconds = Histogram(
            "warrant_model_load_seconds", "Fetching, checking and loading an artefact.", ["model", "version"],
            buckets=LOAD_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.load_failures = Counter(
            "warrant_model_load_failures", "Artefacts that could not be loaded.", ["model", "version"],
            registry=registry,
        )  # fmt: skip
        self.version_info = Gauge(
            "warrant_version_info", "1 for the version that serves.",
            ["model", "version", "deployment_id", "environment", "role"], registry=registry,
        )  # fmt: skip
        self._record_age = Gauge(
            "warrant_deployment_record_age_seconds",
            "Since the deployment record was last read.",
            registry=registry,
        )
        self._stale = Gauge(
            "warrant_gateway_stale", "1 while the deployment record cannot be read and the last good is served.",
            registry=registry,
        )  # fmt: skip

    def watch_record(self, age_s: Callable[[], float], stale: Callable[[], bool]) -> None:
        """Read the record's age and staleness at each scrape."""
        self._record_age.set_function(age_s)
        self._stale.set_function(lambda: float(stale()))

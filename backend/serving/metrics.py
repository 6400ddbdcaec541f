"""What the gateway exports to Prometheus. Labels hold registered names only, never what a client sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Metric,
    PlatformCollector,
    ProcessCollector,
)

from backend.serving.board import Serving
from backend.serving.gpu import LABELS as GPU_LABELS
from backend.serving.gpu import READINGS, GpuCollector
from backend.serving.outcomes import EDGES_S
from backend.serving.predictor import Scored
from backend.serving.requests import Instance

LOAD_EDGES_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SCORE_EDGES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
# A regression's predictions have any scale: decades, so that one set of buckets fits all models.
VALUE_EDGES: Final = (-1e6, -1e5, -1e4, -1e3, -100, -10, -1, 0, 1, 10, 100, 1e3, 1e4, 1e5, 1e6)
SERVING: Final = ("model", "version", "role")


class _OneEnvironment(CollectorRegistry):
    """Adds its environment to all that is Warrant's as it is scraped, not as it is counted: a Prometheus may scrape the
    gateways of several."""

    def __init__(self, environment: str) -> None:
        super().__init__()
        self._said = {"environment": environment}

    def collect(self) -> Iterator[Metric]:
        for family in super().collect():
            if family.name.startswith("warrant_"):
                family.samples = [one._replace(labels={**one.labels, **self._said}) for one in family.samples]
            yield family


class GatewayMetrics:
    """A registry of its own, so that two gateways in one process (tests) do not share counts. Of one environment.

    A batch whose rows several versions answered counts as one request of version and role `several`. Requests that were
    refused before a version was chosen have version and role `none`, those for a name that is not registered the model
    `unknown`.
    """

    def __init__(self, environment: str) -> None:
        self.registry = _OneEnvironment(environment)
        for collect in (ProcessCollector, PlatformCollector, GCCollector):
            collect(registry=self.registry)
        self.requests = self._counter(
            "warrant_requests", "Prediction requests ended, by HTTP status.", *SERVING, "code"
        )
        self.errors = self._counter(
            "warrant_request_errors", "Prediction requests not answered with a prediction.", *SERVING, "kind"
        )
        self.seconds = self._histogram(
            "warrant_request_seconds",
            "From a request's arrival to its answer, spool included.",
            EDGES_S,
            *SERVING,
        )
        self.in_flight = self._gauge("warrant_in_flight", "Prediction requests being answered.")
        self.waiting_rows = self._gauge("warrant_waiting_rows", "Rows that wait to be scored.")
        self.predictions = self._counter(
            "warrant_predictions", "Predictions made durable and answered.", *SERVING
        )
        self.scores = self._histogram(
            "warrant_prediction_score", "Scores of classifiers, shadows included.", SCORE_EDGES, *SERVING
        )
        self.classes = self._counter(
            "warrant_predicted_class",
            "Predictions of classifiers by class, shadows included.",
            *SERVING,
            "prediction",
        )
        self.values = self._histogram(
            "warrant_prediction_value", "Predictions of regressions, shadows included.", VALUE_EDGES, *SERVING
        )
        self.nulls = self._counter(
            "warrant_feature_nulls",
            "Rows that were scored without a value of this feature.",
            "model",
            "feature",
        )
        self.rows = self._counter(
            "warrant_feature_rows", "Rows that were scored, to divide null counts by.", "model"
        )
        self.scoring_failures = self._counter(
            "warrant_scoring_failures", "Rows that a version could not score, also those that the champion then did.",
            *SERVING,
        )  # fmt: skip
        self.shadow_rows = self._counter(
            "warrant_shadow_rows", "Rows of shadows: scored, failed, unstored, or dropped for want of room.",
            "model", "version", "outcome",
        )  # fmt: skip
        self.load_seconds = self._histogram(
            "warrant_model_load_seconds",
            "Fetching, checking and loading an artefact.",
            LOAD_EDGES_S,
            "model",
            "version",
        )
        self.load_failures = self._counter(
            "warrant_model_load_failures", "Artefacts that could not be loaded.", "model", "version"
        )
        self.version_info = self._gauge(
            "warrant_version_info", "1 for each version that is in service.",
            "model", "version", "deployment_id", "role",
        )  # fmt: skip
        self._record_age = self._gauge(
            "warrant_deployment_record_age_seconds", "Since the deployment record was last read."
        )
        self._stale = self._gauge(
            "warrant_gateway_stale",
            "1 while the deployment record cannot be read and the last good is served.",
        )
        self._ready = self._gauge("warrant_gateway_ready", "1 while /ready answers 200.")
        self._lag = self._gauge(
            "warrant_loop_lag_seconds",
            "How late the event loop was at worst in the last 15 seconds: no duration has it.",
        )
        self._spool_refuses = self._gauge(
            "warrant_spool_refusing", "1 while predictions cannot be made durable and are refused."
        )
        GpuCollector(registry=self.registry)

    def watch(
        self,
        *,
        record_age_s: Callable[[], float],
        stale: Callable[[], bool],
        ready: Callable[[], bool],
        spool_refuses: Callable[[], bool],
        lag_s: Callable[[], float],
    ) -> None:
        """Ask at each scrape."""
        self._record_age.set_function(record_age_s)
        self._stale.set_function(lambda: float(stale()))
        self._ready.set_function(lambda: float(ready()))
        self._lag.set_function(lag_s)
        self._spool_refuses.set_function(lambda: float(spool_refuses()))

    def count_scored(self, serving: Serving, instances: Sequence[Instance], scored: Sequence[Scored]) -> None:
        """Rows that a version scored: their nulls, and what it said."""
        of = (serving.model, serving.version, serving.role)
        for one in scored:
            if serving.task == "regression":
                self.values.labels(*of).observe(float(one.prediction))
                continue
            self.classes.labels(*of, one.prediction).inc()
            if one.score is not None:
                self.scores.labels(*of).observe(one.score)
        if serving.role == "shadow":  # its rows were counted where they were answered
            return
        self.rows.labels(serving.model).inc(len(instances))
        for name in serving.features:
            missing = sum(name not in instance.features for instance in instances)
            self.nulls.labels(serving.model, name).inc(missing)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(name, words, labels, registry=self.registry)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(name, words, labels, registry=self.registry)

    def _histogram(self, name: str, words: str, edges: Iterable[float], *labels: str) -> Histogram:
        return Histogram(name, words, labels, buckets=tuple(edges), registry=self.registry)


def exported() -> list[tuple[str, str, tuple[str, ...], str]]:
    """Everything that the gateway names itself: (name, type, labels beside `environment`, what it is)."""
    own = [one for one in vars(GatewayMetrics("")).values() if isinstance(one, Counter | Gauge | Histogram)]
    found = [
        (
            one._name + "_total" * (one._type == "counter"),
            one._type,
            tuple(one._labelnames),
            one._documentation,
        )
        for one in own
    ]
    return found + [(name, "gauge", GPU_LABELS, words) for name, words, _ in READINGS.values()]

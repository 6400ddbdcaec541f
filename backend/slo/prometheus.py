"""Reading a Prometheus server, through prometheus-api-client with its gaps closed.

The library (0.7.2) has no default time-out, ignores the body's `status`, drops warnings and the result's type, and puts
label values into PromQL unescaped. Here every request has time-outs and is tried again when the server is busy,
the body is checked, warnings reach the reading, and label values go through `quote`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from backend.errors import BadInput, Unavailable
from backend.slo.indicators import Indicator, indicators_of

CONNECT_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 10.0
WINDOW_S: Final = 3600
_BUSY: Final = (429, 502, 503, 504)


class PrometheusAway(Unavailable):
    title = "Prometheus is away"


class QueryRefused(BadInput):
    """Prometheus did not accept the query, or answered it with an error."""

    title = "Query refused"


@dataclass(frozen=True)
class Sample:
    """One series' value. `value` is None where Prometheus said NaN or ±Inf: not a number to show."""

    labels: Mapping[str, str]
    value: float | None
    at: float  # seconds since 1970


@dataclass(frozen=True)
class Answer:
    """An instant query's result: its type, its samples, and what the server said beside them."""

    kind: str  # vector | scalar
    samples: tuple[Sample, ...]
    notes: tuple[str, ...]

    @property
    def single(self) -> float | None:
        """The value of a result that has one series; None where there is no series or no number."""
        if len(self.samples) > 1:
            raise QueryRefused(f"one series was expected, the answer has {len(self.samples)}")
        return self.samples[0].value if self.samples else None


def quote(value: str) -> str:
    """A label value as a PromQL string literal: `a"b` becomes `"a\\"b"`."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class _Session(requests.Session):
    """Adds the time-outs that the library leaves out, and keeps the body it throws away."""

    body: Any = None

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.body = None
        kwargs["timeout"] = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        response = super().request(*args, **kwargs)
        try:
            self.body = response.json()
        except ValueError:
            self.body = None
        return response


class Prometheus:
    """One server. Not thread-safe; close it after use (`with`)."""

    def __init__(self, url: str) -> None:
        retry = Retry(total=2, backoff_factor=0.2, status_forcelist=_BUSY, raise_on_status=False)
        self._session = _Session()
        self._client = PrometheusConnect(url=url.rstrip("/"), session=self._session, retry=retry)
        parts = urlsplit(url)
        self._name = f"{parts.scheme}://{parts.hostname}:{parts.port or ''}".rstrip(
            ":"
        )  # without its password

    def __enter__(self) -> Prometheus:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def query(self, promql: str, *, at: float | None = None) -> Answer:
        """An instant query, now or `at` seconds since 1970.

        Raises `PrometheusAway` when no usable answer comes and `QueryRefused` when the query is at fault.
        """
        params = {} if at is None else {"time": f"{at:.3f}"}
        try:
            result = self._client.custom_query(promql, params=params)
        except PrometheusApiClientException as error:
            said = self._said() or str(error)
            if _status_of(error) < 500:
                raise QueryRefused(f"Prometheus at {self._name} refuses {promql!r}: {said}") from error
            raise PrometheusAway(f"Prometheus at {self._name} answers with an error: {said}") from error
        except (KeyError, TypeError, requests.JSONDecodeError) as error:
            raise PrometheusAway(
                f"what answers at {self._name} is not Prometheus: {self._said() or 'its body is not the API’s JSON'}"
            ) from error
        except requests.RequestException as error:
            raise PrometheusAway(
                f"Prometheus at {self._name} does not answer ({type(error).__name__}); check WARRANT_PROMETHEUS_URL"
            ) from error
        return _answer(self._session.body, result)

    def _said(self) -> str:
        body = self._session.body
        return str(body.get("error", "")) if isinstance(body, dict) else ""


def _status_of(error: PrometheusApiClientException) -> int:
    words = str(error).split()
    return next((int(word) for word in words if word.isdigit()), 500)


def _answer(body: Any, result: Any) -> Answer:
    if not isinstance(body, dict) or body.get("status") != "success":
        raise QueryRefused(f"Prometheus answered with an error: {body.get('error') if body else 'no body'}")
    notes = tuple(str(note) for key in ("warnings", "infos") for note in body.get(key) or ())
    kind = str(body["data"].get("resultType"))
    if kind == "scalar":
        return Answer(kind, (_sample({}, result),), notes)
    if kind != "vector":
        raise QueryRefused(f"an instant query gave a {kind}; ask for a vector or a scalar")
    return Answer(kind, tuple(_sample(one["metric"], one["value"]) for one in result), notes)


def _sample(labels: Mapping[str, str], pair: Any) -> Sample:
    at, text = pair
    value = float(text)  # Prometheus sends text: "0.5", "NaN", "+Inf"
    return Sample(dict(labels), value if math.isfinite(value) else None, float(at))


def read_from_prometheus(url: str, model: str, *, window_s: int = WINDOW_S) -> list[Indicator]:
    """Availability, p95 latency and request rate of a model over the last `window_s` seconds.

    Over all gateways that the server scrapes. A model without series has no data, which is not zero.
    """
    chosen = f"model={quote(model)}"
    queries = {
        "total": f"sum(increase(warrant_requests_total{{{chosen}}}[{window_s}s]))",
        "bad": f'sum(increase(warrant_requests_total{{{chosen},code=~"5.."}}[{window_s}s]))',
        "p95": "histogram_quantile(0.95, sum by (le) "
        f"(rate(warrant_request_seconds_bucket{{{chosen}}}[{window_s}s])))",
    }
    with Prometheus(url) as server:
        answers = {name: server.query(query) for name, query in queries.items()}
    notes = sorted({note for answer in answers.values() for note in answer.notes})
    return indicators_of(
        source="prometheus",
        total=answers["total"].single,
        bad=answers["bad"].single,
        latency_s=answers["p95"].single,
        window_s=window_s,
        details={"queries": queries} | ({"warnings": notes} if notes else {}),
    )

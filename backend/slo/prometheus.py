"""Reading a Prometheus server, through prometheus-api-client with its gaps closed.

The library (0.7.2) has no default time-out, ignores the body's `status`, drops warnings and the result's type, and puts
label values into PromQL unescaped. Here every request has time-outs, also for its whole answer, and is tried again when
the server is busy; the body is bounded and checked, warnings reach the reading, and label values go through `quote`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from backend.errors import BadInput, Unavailable
from backend.slo.promql import quote as quote  # part of asking a server

CONNECT_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 10.0
MOST_POINTS: Final = 10_000  # of a series in one answer; Prometheus refuses more than 11,000
LARGEST_ANSWER: Final = 64 * 1024 * 1024  # bytes
LONGEST_SAID: Final = 300  # characters of what a server says of itself
MOST_NOTES: Final = 10
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


@dataclass(frozen=True)
class Series:
    """A range query's series. Points that are NaN or ±Inf are left out, as is what the server has no value for."""

    labels: Mapping[str, str]
    points: Mapping[int, float]  # {seconds since 1970: value}


@dataclass(frozen=True)
class RangeAnswer:
    series: tuple[Series, ...]
    notes: tuple[str, ...]


class _Session(requests.Session):
    """Adds the time-outs that the library leaves out, and keeps the body it throws away."""

    body: Any = None

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.body = None
        kwargs |= {"timeout": (CONNECT_TIMEOUT_S, READ_TIMEOUT_S), "stream": True}
        response = super().request(*args, **kwargs)
        try:
            response._content = _whole(response)
        except HTTPError as error:  # of the library below, which reads
            raise requests.ConnectionError(str(error)) from error
        try:
            self.body = response.json()
        except ValueError:
            self.body = None
        return response


def _whole(response: requests.Response) -> bytes:
    """The body of an answer. One that comes in drops is cut off: each drop restarts the library's clock, not ours."""
    ends, content = time.monotonic() + READ_TIMEOUT_S, bytearray()
    with response:
        while part := response.raw.read1(65_536, decode_content=True):
            content += part
            if len(content) > LARGEST_ANSWER:
                raise QueryRefused(
                    f"the answer has more than {LARGEST_ANSWER >> 20} MiB; ask for fewer series, such as their sum()"
                )
            if time.monotonic() > ends:
                raise requests.ReadTimeout("the answer did not end in time")
    return bytes(content)


class Prometheus:
    """One server. Not thread-safe; close it after use (`with`)."""

    def __init__(self, url: str) -> None:
        retry = Retry(total=2, read=False, backoff_factor=0.2, status_forcelist=_BUSY, raise_on_status=False)
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
        result = self._ask(promql, lambda: self._client.custom_query(promql, params=params))
        with _readable(promql):
            return _answer(self._session.body, result)

    def query_range(self, promql: str, *, start_s: int, end_s: int, step_s: int) -> RangeAnswer:
        """The values at start_s, start_s + step_s, … up to end_s, in as many requests as the server's limit asks for.

        Raises as `query` does.
        """
        points: dict[tuple[tuple[str, str], ...], dict[int, float]] = {}
        notes: list[str] = []
        first = start_s
        while first <= end_s:
            last = min(end_s, first + (MOST_POINTS - 1) * step_s)
            bounds = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)
            result = self._ask(
                promql,
                lambda bounds=bounds: self._client.custom_query_range(promql, *bounds, str(step_s)),  # type: ignore[misc]
            )
            notes += _notes(_checked(self._session.body))
            with _readable(promql):
                for one in result:
                    key = tuple(sorted(one["metric"].items()))
                    values = [(int(float(at)), float(text)) for at, text in one["values"]]
                    points.setdefault(key, {}).update(
                        (at, value) for at, value in values if math.isfinite(value)
                    )
            first = last + step_s
        found = (Series(dict(labels), values) for labels, values in points.items())
        return RangeAnswer(tuple(found), tuple(dict.fromkeys(notes)))

    def _ask(self, promql: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except PrometheusApiClientException as error:
            raise self._refusal(promql, _status_of(error), str(error)) from error
        except (KeyError, TypeError, requests.JSONDecodeError) as error:
            raise PrometheusAway(
                f"what answers at {self._name} is not Prometheus: {self._said() or 'its body is not the API’s JSON'}"
            ) from error
        except requests.RequestException as error:
            raise PrometheusAway(
                f"Prometheus at {self._name} does not answer ({type(error).__name__}); check WARRANT_PROMETHEUS_URL"
            ) from error

    def _refusal(self, promql: str, status: int, told: str) -> PrometheusAway | QueryRefused:
        said = self._said()
        if status in (401, 403):
            return PrometheusAway(
                f"Prometheus at {self._name} does not let Warrant in ({status}); write user and password into "
                "WARRANT_PROMETHEUS_URL"
            )
        if status >= 500 or status == 429:
            return PrometheusAway(
                f"Prometheus at {self._name} answers with an error: {said or _clipped(told)}"
            )
        if not said:
            return PrometheusAway(f"what answers at {self._name} is not Prometheus ({status})")
        return QueryRefused(f"Prometheus at {self._name} refuses {promql!r}: {said}")

    def _said(self) -> str:
        body = self._session.body
        return _clipped(body.get("error", "")) if isinstance(body, dict) else ""


@contextmanager
def _readable(promql: str) -> Iterator[None]:
    """Raises `QueryRefused` where a result has another shape than series of numbers."""
    try:
        yield
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise QueryRefused(
            f"the answer to {promql!r} is no series of numbers ({type(error).__name__}: {error}); "
            "of a native histogram ask for histogram_count() or histogram_fraction()"
        ) from error


def _status_of(error: PrometheusApiClientException) -> int:
    words = str(error).split()
    return next((int(word) for word in words if word.isdigit()), 500)


def _checked(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict) or body.get("status") != "success":
        raise QueryRefused(f"Prometheus answered with an error: {body.get('error') if body else 'no body'}")
    return body


def _notes(body: Mapping[str, Any]) -> tuple[str, ...]:
    """What the server warned of beside a result that it calls a success."""
    found = [body.get(key) or [] for key in ("warnings", "infos")]
    notes = [note for one in found for note in (one if isinstance(one, list) else [one])]
    return tuple(_clipped(note) for note in notes[:MOST_NOTES])


def _clipped(text: object) -> str:
    told = str(text)
    return told if len(told) <= LONGEST_SAID else f"{told[: LONGEST_SAID - 1]}…"


def _answer(body: Any, result: Any) -> Answer:
    body = _checked(body)
    notes = _notes(body)
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

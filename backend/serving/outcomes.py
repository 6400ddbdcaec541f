"""What became of requests, as counts that add up: of gateways, processes, versions and minutes.

The prediction log holds what was answered with a prediction; these counts hold every request, also what never became
one. They say the same as `warrant_requests_total`, `warrant_request_errors_total` and `warrant_request_seconds` of the
same time, minute by minute, without a Prometheus.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import Final

from backend.errors import BadInput

# Upper edges in seconds, fit for 1 ms to 10 s. A latency objective sits on one of them.
EDGES_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PENDING_MINUTES: Final = 1440  # without a database; then the oldest go
# Codes of requests that were ours to answer, as a regular expression. A full queue (429) is no mistake of who asks.
FAILED_CODES: Final = "5..|429"

# Why a request did not become a prediction: values of the label `kind` of warrant_request_errors_total.
KINDS: Final[Mapping[str, str]] = {
    "bad_request": "the body does not fit the model's spec or signature (422)",
    "too_large": "the body is over the limit (413)",
    "slow_body": "the body did not arrive in time (408)",
    "id_taken": "the prediction_id was used with other content (409)",
    "unknown_model": "no model of that name is registered (404)",
    "overloaded": "too much waits already (429)",
    "client_left": "the client closed the connection before its body was read (499)",
    "not_serving": "no version is loaded, none is deployed, or the gateway stops (503)",
    "spool_full": "the prediction could not be made durable (503)",
    "timed_out": "no answer within WARRANT_GATEWAY_TIMEOUT_S (504)",
    "scoring_failed": "the model failed on this input (500)",
    "internal": "anything else (500); the log says what",
}


def is_failure(code: str) -> bool:
    """Whether a request that ended so was ours to answer, and was not answered."""
    return re.fullmatch(FAILED_CODES, code) is not None


@dataclass(frozen=True)
class Outcomes:
    """What became of requests in a time. `latency` is cumulative, one count an edge of `EDGES_S`, then +Inf.

    Latency is from the arrival of a request to its answer, whatever the answer was. `observed_s` is how much of the
    time a gateway ran, in whole minutes: without requests and unobserved is *no data*, without requests and observed
    is silence.
    """

    codes: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, int] = field(default_factory=dict)
    latency: tuple[int, ...] = (0,) * (len(EDGES_S) + 1)
    seconds_sum: float = 0.0
    observed_s: int = 0
    rows: int = 0
    """in the bodies of the requests that were read, whether they were answered or not"""

    @property
    def requests(self) -> int:
        return sum(self.codes.values())

    @property
    def answered(self) -> int:
        """With a prediction."""
        return self._with("2")

    @property
    def rejected(self) -> int:
        """Refused for what the client sent or did: 4xx, without those for which there was no room."""
        return self._with("4") - self.too_many

    @property
    def too_many(self) -> int:
        return self.codes.get("429", 0)

    @property
    def failed(self) -> int:
        """Ours to answer, and not answered: 5xx (also those that timed out), and 429 for want of room."""
        return sum(count for code, count in self.codes.items() if is_failure(code))

    @property
    def timed_out(self) -> int:
        return self.codes.get("504", 0)

    def within(self, seconds: float) -> int:
        """Requests that took at most so long. `BadInput` where that is no edge: between edges nothing was counted."""
        if seconds not in EDGES_S:
            edges = ", ".join(f"{edge:g}" for edge in EDGES_S)
            raise BadInput(
                f"latency is counted at {edges} s; {seconds:g} s is not among them", seconds=seconds
            )
        return self.latency[EDGES_S.index(seconds)]

    def _with(self, first: str) -> int:
        return sum(count for code, count in self.codes.items() if code.startswith(first))


@dataclass
class Minute:
    """Counts of one minute of one process. `buckets` are not cumulative; the last one lies above every edge."""

    codes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(EDGES_S) + 1))
    seconds_sum: float = 0.0
    rows: int = 0

    def count(self, code: str, kind: str | None, seconds: float, rows: int) -> None:
        self.codes[code] += 1
        if kind is not None:
            self.kinds[kind] += 1
        self.buckets[bisect_left(EDGES_S, seconds)] += 1
        self.seconds_sum += seconds
        self.rows += rows

    def add(
        self,
        codes: Mapping[str, int],
        kinds: Mapping[str, int],
        buckets: Sequence[int],
        seconds_sum: float,
        rows: int,
    ) -> None:
        """Counts of another time or process."""
        self.codes.update(codes)
        self.kinds.update(kinds)
        self.buckets = [one + two for one, two in zip(self.buckets, buckets, strict=True)]
        self.seconds_sum += seconds_sum
        self.rows += rows

    def copy(self) -> Minute:
        return Minute(
            Counter(self.codes), Counter(self.kinds), list(self.buckets), self.seconds_sum, self.rows
        )

    @property
    def outcomes(self) -> Outcomes:
        return Outcomes(
            self.codes, self.kinds, tuple(accumulate(self.buckets)), self.seconds_sum, rows=self.rows
        )


Key = tuple[str, str, str, datetime]  # model, version, role, start of the minute


class OutcomeCounts:
    """Thread-safe. Requests count; the reporter takes what changed and writes it down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: dict[Key, Minute] = {}
        self._changed: set[Key] = set()

    def count(
        self,
        model: str,
        version: str,
        role: str,
        *,
        code: str,
        kind: str | None,
        seconds: float,
        at: datetime,
        rows: int = 0,
    ) -> None:
        """One request that ended at `at`. Without a known model, `model` is empty."""
        key = (model, version, role, at.replace(second=0, microsecond=0))
        with self._lock:
            minute = self._minutes.get(key)
            if minute is None:
                minute = self._minutes[key] = Minute()
            minute.count(code, kind, seconds, rows)
            self._changed.add(key)

    def take(self, now: datetime) -> dict[Key, Minute]:
        """Copies of what changed since the last call. What is over and was taken is forgotten."""
        present = now.replace(second=0, microsecond=0)
        with self._lock:
            taken = {key: self._minutes[key].copy() for key in self._changed}
            self._changed.clear()
            self._minutes = {
                key: one for key, one in self._minutes.items() if key[3] >= present or key in taken
            }
        return taken

    def give_back(self, keys: Iterable[Key]) -> None:
        """What was taken could not be written: it is taken again."""
        with self._lock:
            self._changed |= {key for key in keys if key in self._minutes}
            starts = sorted({key[3] for key in self._changed})
            if len(starts) > PENDING_MINUTES:
                oldest = starts[-PENDING_MINUTES]
                self._changed = {key for key in self._changed if key[3] >= oldest}

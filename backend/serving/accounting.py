"""One request from its arrival to its answer: its id, its labels, and what is counted and said of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from backend import clock
from backend.errors import WarrantError
from backend.observations.spool import SpoolFull
from backend.serving.errors import (
    BadFeature,
    BodyTooLarge,
    IdTaken,
    NotServing,
    Overloaded,
    ScoringFailed,
    SlowBody,
    TimedOut,
    UnknownModel,
)
from backend.serving.metrics import GatewayMetrics
from backend.serving.outcomes import OutcomeCounts
from backend.serving.request_ids import HEADER, request_id

log = logging.getLogger(__name__)

LINES_PER_S: Final = 20  # of refused requests; a flood of them must not become one of the log
KIND_OF: Final[Mapping[type[WarrantError], str]] = {
    BadFeature: "bad_request",
    BodyTooLarge: "too_large",
    SlowBody: "slow_body",
    IdTaken: "id_taken",
    UnknownModel: "unknown_model",
    Overloaded: "overloaded",
    NotServing: "not_serving",
    SpoolFull: "spool_full",
    TimedOut: "timed_out",
    ScoringFailed: "scoring_failed",
}
NO_VERSION: Final = ("none", "none")


@dataclass(slots=True)
class Call:
    """What is known of a request so far. `model` is empty until it is known to be registered."""

    request_id: str
    started: float
    model: str = ""
    version: str = "none"
    role: str = "none"
    kind: str | None = None
    body_read: bool = False
    rows: int = 0  # once they were read and checked


@dataclass
class Accounts:
    """Counts and logs each request once. Used from the event loop only."""

    metrics: GatewayMetrics
    counts: OutcomeCounts
    in_flight: int = 0
    draining: bool = False
    _second: int = 0
    _lines: int = 0
    _untold: int = field(default=0)

    def begin(self, request: Request) -> Call:
        self.in_flight += 1
        self.metrics.in_flight.set(self.in_flight)
        return Call(request_id(request.headers.get(HEADER)), time.perf_counter())

    def refuse(self, call: Call, refusal: WarrantError) -> Response:
        """The answer that says why there is none."""
        call.kind = KIND_OF.get(type(refusal), "internal")
        return problem(refusal, call.request_id)

    def leave(self, call: Call) -> Response:
        """The client has closed the connection; nobody sees this answer."""
        call.kind = "client_left"
        return Response(status_code=499)

    def end(self, call: Call, response: Response) -> Response:
        """Count the request; gives the answer with its id."""
        self.in_flight -= 1
        self.metrics.in_flight.set(self.in_flight)
        seconds, code = time.perf_counter() - call.started, str(response.status_code)
        labels = (call.model or "unknown", call.version, call.role)
        self.metrics.requests.labels(*labels, code).inc()
        self.metrics.seconds.labels(*labels).observe(seconds)
        if call.kind is not None:
            self.metrics.errors.labels(*labels, call.kind).inc()
            self._tell(call, code, seconds)
        self.counts.count(
            call.model, call.version, call.role, code=code, kind=call.kind, seconds=seconds, at=clock.now(),
            rows=call.rows,
        )  # fmt: skip
        return stamped(response, call.request_id, draining=self.draining)

    def _tell(self, call: Call, code: str, seconds: float) -> None:
        second = int(time.monotonic())
        if second != self._second:
            if self._untold:
                log.info("%d more requests were not answered with a prediction", self._untold)
            self._second, self._lines, self._untold = second, 0, 0
        if self._lines >= LINES_PER_S:
            self._untold += 1
            return
        self._lines += 1
        log.log(
            logging.WARNING if code.startswith("5") else logging.INFO,
            "request %s for %s answered %s (%s) after %.1f ms",
            call.request_id, call.model or "no registered model", code, call.kind, seconds * 1000,
            extra={"request_id": call.request_id},
        )  # fmt: skip


def stamped(response: Response, given: str, *, draining: bool = False) -> Response:
    """With the request's id; a gateway that stops asks its clients to connect elsewhere."""
    response.headers[HEADER] = given
    if draining:
        response.headers["Connection"] = "close"
    return response


def problem(error: WarrantError, given: str) -> JSONResponse:
    """RFC 9457: `detail` is for people, the other members for programs."""
    body = {"type": "about:blank", "title": error.title, "status": error.status, "detail": error.message,
            "request_id": given}  # fmt: skip
    headers = {"Retry-After": "1"} if error.status in (429, 503) else None
    return JSONResponse(
        body | error.details, status_code=error.status, media_type="application/problem+json", headers=headers
    )

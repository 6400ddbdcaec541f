"""The gateway: answers prediction requests with what the deployment record says should serve.

    POST /v1/models/{model}/predict   {"prediction_id"?, "features", "injected"?}  or  {"instances": [...]}
    POST /v1/models/{model}/smoke     the same; answered by what serves, and neither stored nor counted as traffic
    GET  /healthz                     the process answers
    GET  /readyz                      what serves, and whether the record is followed
    GET  /metrics                     Prometheus

Run it with `python -m backend.serving.gateway`. An answer is sent after its prediction is fsynced in the spool.
"""

from __future__ import annotations

import os

# Read when OpenMP starts: one row is scored faster by one thread, and requests share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault(
    "PGCONNECT_TIMEOUT", "3"
)  # seconds; a database that hangs must not look like one that is there

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from backend import clock
from backend.errors import WarrantError
from backend.observations.spool import SpoolFull
from backend.observations.spool_log import SpoolLog
from backend.serving import history
from backend.serving.answers import Answer, Answers
from backend.serving.board import Serving
from backend.serving.errors import (
    BadFeature,
    BodyTooLarge,
    IdTaken,
    NotServing,
    Overloaded,
    ScoringFailed,
    UnknownModel,
)
from backend.serving.loader import Loader
from backend.serving.metrics import GatewayMetrics
from backend.serving.record import LastGood, Record
from backend.serving.reporter import Reporter
from backend.serving.requests import Instance, parse_request
from backend.serving.scoring import Outcome, Scorer, score_instances
from backend.serving.watcher import Watcher
from backend.settings import Settings, settings

log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 8 << 20
MAX_IN_FLIGHT: Final = 1000
DRAIN_S: Final = 8  # the supervisor kills after ten

ERROR_KINDS: Final[Mapping[type[WarrantError], str]] = {
    UnknownModel: "unknown_model",
    BadFeature: "bad_request",
    BodyTooLarge: "too_large",
    IdTaken: "id_taken",
    Overloaded: "overloaded",
    NotServing: "not_serving",
    SpoolFull: "spool_full",
    ScoringFailed: "scoring_failed",
}


class Gateway:
    """The parts of one gateway process, wired; `app` is its ASGI application."""

    def __init__(self, config: Settings, *, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        home = config.resolved_home() / "gateway"
        self.environment = config.environment
        self.gateway_id = f"{socket.gethostname()}:{config.gateway_port}"
        self.metrics = GatewayMetrics()
        self.watcher = Watcher(
            Record(config.environment),
            LastGood(home, config.environment),
            Loader(home / "artefacts", tracking_uri=config.mlflow),
            self.metrics,
            environment=config.environment,
            poll_s=config.poll_s,
        )
        self.metrics.watch_record(self.watcher.record_age_s, self.watcher.stale)
        self.reporter = Reporter(
            self.watcher, gateway_id=self.gateway_id, environment=config.environment, url=config.gateway
        )
        self.answers = Answers()
        self._config = config
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._scorer: Scorer | None = None
        self.app = Starlette(
            routes=[
                Route("/v1/models/{model}/predict", self.predict, methods=["POST"]),
                Route("/v1/models/{model}/smoke", self.smoke, methods=["POST"]),
                Route("/healthz", self.healthz),
                Route("/readyz", self.readyz),
                Route("/metrics", self.export_metrics),
            ],
            lifespan=self.lifespan,
        )

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Start the threads; at the end finish what was accepted, in the order in which it flows."""
        spool = SpoolLog(self._config.spool)
        self._scorer = Scorer(
            spool, environment=self.environment, max_waiting_rows=self._config.gateway_queue_rows
        )
        earlier = await asyncio.to_thread(
            history.recent_answers, self._config.spool, self._config.observations, self.environment
        )
        for known in earlier:
            self.answers.keep(*known)
        self.watcher.start()
        self.reporter.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self._scorer.close)
            await asyncio.to_thread(spool.close)
            await asyncio.to_thread(self.reporter.close)
            await asyncio.to_thread(self.watcher.close)

    async def predict(self, request: Request) -> Response:
        """Answer one request and count it, whatever becomes of it."""
        started = time.perf_counter()
        labels = ("unknown", "none")
        self._in_flight += 1
        self.metrics.in_flight.set(self._in_flight)
        try:
            board = self.watcher.board
            model = request.path_params["model"]
            if model in board.entries:
                labels = (model, "none")
            serving = board.serving(model)
            labels = (model, serving.version)
            response = await self._answer(request, serving)
        except WarrantError as refusal:
            self.metrics.errors.labels(*labels, ERROR_KINDS.get(type(refusal), "internal")).inc()
            response = problem(refusal)
        except ClientDisconnect:
            self.metrics.errors.labels(*labels, "client_left").inc()
            response = Response(status_code=499)
        except Exception:
            log.exception("a request for %s could not be answered", labels[0])
            self.metrics.errors.labels(*labels, "internal").inc()
            response = problem(WarrantError("the gateway failed on this request; its log says why"))
        finally:
            self._in_flight -= 1
            self.metrics.in_flight.set(self._in_flight)
        self.metrics.requests.labels(*labels, str(response.status_code)).inc()
        self.metrics.seconds.labels(*labels).observe(time.perf_counter() - started)
        return response

    async def smoke(self, request: Request) -> Response:
        """Score rows to see that the right version answers rightly; they are no predictions of anything."""
        try:
            serving = self.watcher.board.serving(request.path_params["model"])
            asked = parse_request(await _read_body(request), serving.features, now=clock.now())
            scored = await asyncio.to_thread(score_instances, serving, asked.instances)
        except WarrantError as refusal:
            return problem(refusal)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as failure:
            log.exception("a smoke request for %s failed", request.path_params["model"])
            return problem(
                ScoringFailed(f"the model failed on this input: {type(failure).__name__}: {failure}")
            )
        target = serving.target
        return JSONResponse(
            {
                "predictions": [
                    {"version": target.version, "deployment_id": target.deployment_id, "score": one.score,
                     "prediction": one.prediction}
                    for one in scored
                ]
            }
        )  # fmt: skip

    async def _answer(self, request: Request, serving: Serving) -> Response:
        if self._in_flight > self._max_in_flight:
            raise Overloaded(f"{self._in_flight - 1:,} requests are being answered; send again more slowly")
        body = await _read_body(request)
        if len(body) > 65_536:  # a large batch takes milliseconds to check: other requests go on meanwhile
            asked = await asyncio.to_thread(parse_request, body, serving.features, now=clock.now())
        else:
            asked = parse_request(body, serving.features, now=clock.now())
        answers = await self._answers(serving, asked.instances)
        if asked.batch:
            return JSONResponse({"predictions": answers})
        return JSONResponse(answers[0])

    async def _answers(self, serving: Serving, instances: tuple[Instance, ...]) -> list[Answer]:
        """One answer an instance: known ones again, the others scored and stored now."""
        model = serving.model
        found = [self.answers.find(model, instance) for instance in instances]
        fresh = [instance for instance, known in zip(instances, found, strict=True) if known is None]
        if fresh:
            assert self._scorer is not None  # noqa: S101 - requests come after start-up
            done = self._scorer.submit(serving, fresh)
            begun = iter(self._settle_when(done, serving, fresh))
            found = [next(begun) if known is None else known for known in found]
        # Shielded: a request that is cancelled must not cancel the answer that another one waits for.
        return [
            await asyncio.shield(known) if isinstance(known, asyncio.Future) else known
            for known in found
            if known is not None
        ]

    def _settle_when(
        self, done: Any, serving: Serving, fresh: list[Instance]
    ) -> list[asyncio.Future[Answer]]:
        futures = self.answers.begin(serving.model, fresh)

        def settle(finished: asyncio.Future[list[Outcome]]) -> None:
            stored = 0
            for instance, future, outcome in zip(fresh, futures, finished.result(), strict=True):
                stored += not isinstance(outcome, Exception)
                self.answers.end(serving.model, instance, future, outcome)
            self.metrics.predictions.labels(serving.model, serving.version).inc(stored)

        asyncio.wrap_future(done).add_done_callback(settle)
        return futures

    async def healthz(self, _request: Request) -> Response:
        """The event loop turns."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """200 when every model that should serve does, if only with its last good version; else 503."""
        board, watcher = self.watcher.board, self.watcher
        models = {
            name: {
                "version": None if entry.serving is None else entry.serving.target.version,
                "deployment_id": None if entry.serving is None else entry.serving.target.deployment_id,
                "loaded_at": None if entry.serving is None else clock.to_iso(entry.serving.loaded_at),
                "wanted_version": None if entry.wanted is None else entry.wanted.version,
                "error": entry.error,
            }
            for name, entry in sorted(board.entries.items())
        }
        return JSONResponse(
            {
                "ready": board.ready,
                "gateway_id": self.gateway_id,
                "environment": self.environment,
                "stale": watcher.stale(),
                "record_age_s": round(watcher.record_age_s(), 3),
                "record_error": watcher.record_error,
                "models": models,
            },
            status_code=200 if board.ready else 503,
        )

    async def export_metrics(self, _request: Request) -> Response:
        """Prometheus text format."""
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def problem(error: WarrantError) -> JSONResponse:
    """RFC 9457: `detail` is for people, the other members for programs."""
    body = {"type": "about:blank", "title": error.title, "status": error.status, "detail": error.message}
    headers = {"Retry-After": "1"} if error.status in (429, 503) else None
    return JSONResponse(
        body | error.details, status_code=error.status, media_type="application/problem+json", headers=headers
    )


async def _read_body(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise BodyTooLarge(f"the body is larger than {MAX_BODY_BYTES >> 20} MiB; send smaller batches")
        chunks.append(chunk)
    return b"".join(chunks)


def main() -> None:
    """Serve until a signal asks to stop; then finish what was accepted."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = settings()
    uvicorn.run(
        Gateway(config).app,
        host=config.host,
        port=config.gateway_port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=DRAIN_S,
    )


if __name__ == "__main__":
    main()

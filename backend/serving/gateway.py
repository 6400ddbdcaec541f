"""The gateway: answers prediction requests with what the deployment record says should serve.

    POST /v1/models/{model}/predict   {"prediction_id"?, "key"?, "features", "injected"?}  or  {"instances": [...]}
    POST /v1/models/{model}/smoke     the same; answered by the champion, or by what is loaded for ?deployment=,
                                      and neither stored nor counted as traffic
    GET  /live (also /healthz)        200 while only a restart could not help
    GET  /ready (also /readyz)        200 while requests should be sent here; what serves, how the record is followed
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
import gc
import logging
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from backend import clock
from backend.confined import give_up_privileges
from backend.errors import WarrantError
from backend.http_heads import BoundedHeads
from backend.logs import about, configure_logging
from backend.observations.spool_log import SpoolLog
from backend.refused_calls import refuse_calls
from backend.serving import history
from backend.serving.accounting import Accounts, Call, problem, stamped
from backend.serving.answers import Answer, Answers, Outcome, Pending
from backend.serving.board import Entry, Serving
from backend.serving.bodies import Bodies, read_body
from backend.serving.draining import DrainingServer
from backend.serving.errors import (
    BadFeature,
    NotServing,
    Overloaded,
    ScoringFailed,
    SlowBody,
    TimedOut,
)
from backend.serving.loader import Loader
from backend.serving.loop_lag import LoopLag
from backend.serving.metrics import GatewayMetrics
from backend.serving.outcome_writer import OutcomeWriter
from backend.serving.outcomes import OutcomeCounts
from backend.serving.record import LastGood, Record
from backend.serving.reporter import Reporter
from backend.serving.request_ids import HEADER, request_id
from backend.serving.requests import Instance, PredictRequest, parse_request
from backend.serving.scoring import Job, Scorer, score_instances
from backend.serving.shadowing import Shadower
from backend.serving.tallies import Tallies
from backend.serving.usage import UsageMeter
from backend.serving.watcher import Watcher
from backend.settings import Settings, settings
from backend.tracing import continued, span, start_tracing

log = logging.getLogger(__name__)

MAX_IN_FLIGHT: Final = 1000
# How long a thread that computes may keep the event loop waiting; Python's is five times that.
SWITCH_INTERVAL_S: Final = 0.001
# For what is in flight; lingering comes before, flushing after, and the supervisor kills after ten.
DRAIN_S: Final = 6


class Gateway:
    """The parts of one gateway process, wired; `app` is its ASGI application."""

    def __init__(self, config: Settings, *, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        home = config.resolved_home() / "gateway"
        self.environment = config.environment
        self.gateway_id = f"{socket.gethostname()}:{config.gateway_port}"
        self.metrics = GatewayMetrics(config.environment)
        self.watcher = Watcher(
            Record(config.environment),
            LastGood(home, config.environment),
            Loader(home / "artefacts", tracking_uri=config.mlflow),
            self.metrics,
            poll_s=config.poll_s,
        )
        self.counts = OutcomeCounts()
        self.accounts = Accounts(self.metrics, self.counts)
        self.tallies, self._lag = Tallies(), LoopLag()
        self.watcher.on_board = self.tallies.follow
        self.reporter = Reporter(
            self.watcher,
            self.tallies,
            OutcomeWriter(
                self.counts,
                home,
                environment=config.environment,
                gateway_id=self.gateway_id,
                usage=UsageMeter(self._lag.worst_s),
            ),
            gateway_id=self.gateway_id,
            environment=config.environment,
            url=config.gateway,
        )
        self.answers = Answers()
        self._config = config
        self._max_in_flight = max_in_flight
        self._bodies = Bodies()
        self._spool: SpoolLog | None = None
        self._scorer: Scorer | None = None
        self._shadower: Shadower | None = None
        self.app = Starlette(
            routes=[
                Route("/v1/models/{model}/predict", self.predict, methods=["POST"]),
                Route("/v1/models/{model}/smoke", self.smoke, methods=["POST"]),
                *(Route(path, self.live) for path in ("/live", "/healthz")),
                *(Route(path, self.ready) for path in ("/ready", "/readyz")),
                Route("/metrics", self.export_metrics),
            ],
            lifespan=self.lifespan,
        )
        self.metrics.watch(
            record_age_s=self.watcher.record_age_s,
            stale=self.watcher.stale,
            ready=lambda: self.why_not_ready() is None,
            lag_s=self._lag.worst_s,
            spool_refuses=lambda: self._spool is not None and self._spool.refusal is not None,
        )

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Start the threads; at the end finish what was accepted, in the order in which it flows."""
        spool = self._spool = SpoolLog(self._config.spool)
        self._scorer = Scorer(
            spool, self.tallies, self.metrics, environment=self.environment,
            max_waiting_rows=self._config.gateway_queue_rows,
        )  # fmt: skip
        shadow_spool = SpoolLog(self._config.spool, shadows=True)
        self._shadower = Shadower(shadow_spool, self.tallies, self.metrics, environment=self.environment)
        earlier = await asyncio.to_thread(
            history.recent_answers, self._config.spool, self._config.observations, self.environment
        )
        for known in earlier:
            self.answers.keep(*known)
        self.watcher.start()
        self.reporter.start()
        lag = asyncio.create_task(self._lag.run())
        try:
            yield
        finally:
            lag.cancel()
            await asyncio.to_thread(self._scorer.close)
            await asyncio.to_thread(self._shadower.close)
            for log_file in (shadow_spool, spool):
                await asyncio.to_thread(log_file.close)
            await asyncio.to_thread(self.reporter.close)
            await asyncio.to_thread(self.watcher.close)

    async def predict(self, request: Request) -> Response:
        """Answer one request and count it, whatever becomes of it."""
        call = self.accounts.begin(request)
        try:
            async with asyncio.timeout(self._config.gateway_timeout_s):
                response = await self._predict(request, call)
        except WarrantError as refusal:
            response = self.accounts.refuse(call, refusal)
        except TimeoutError:
            response = self.accounts.refuse(call, self._too_slow(call))
        except ClientDisconnect:
            response = self.accounts.leave(call)
        except asyncio.CancelledError:  # the time to finish in is over
            self.accounts.end(call, self.accounts.refuse(call, NotServing("the gateway was stopped")))
            raise
        except Exception:
            log.exception(
                "request %s for %s could not be answered", call.request_id, call.model,
                extra={"request_id": call.request_id},
            )  # fmt: skip
            response = self.accounts.refuse(
                call, WarrantError("the gateway failed on this request; its log says why")
            )
        return self.accounts.end(call, response)

    async def _predict(self, request: Request, call: Call) -> Response:
        board, model = self.watcher.board, request.path_params["model"]
        if model in board.entries:
            call.model = model
        entry = board.entry(model)
        champion = _champion(entry)
        call.version, call.role = champion.version, champion.role
        asked = await self._read(request, champion, call)
        call.rows = len(asked.instances)
        routes = _routes(entry, asked.instances)
        call.version, call.role = _labels(routes)
        answers = await self._answers(entry, routes, asked)
        return JSONResponse({"predictions": answers} if asked.batch else answers[0])

    def _too_slow(self, call: Call) -> WarrantError:
        limit_s = self._config.gateway_timeout_s
        if not call.body_read:
            return SlowBody(f"the body was not received within {limit_s:g} s")
        return TimedOut(
            f"no answer within {limit_s:g} s; ask again with the same prediction_id, or more slowly: the prediction "
            "may be stored by now"
        )

    async def smoke(self, request: Request) -> Response:
        """Score rows to see that the right version answers rightly; they are no predictions of anything."""
        given = request_id(request.headers.get(HEADER))
        with (
            about(request_id=given),
            continued(request.headers),
            span("gateway smoke", kind="server", request_id=given),
        ):
            answer = await self._smoke(request, given)
        return stamped(answer, given, draining=self.accounts.draining)

    async def _smoke(self, request: Request, given: str) -> Response:
        try:
            serving = self._smoked(request)
            body = await read_body(request)
            asked = parse_request(body, serving.features, now=clock.now(), whole=serving.predictor.whole)
            scored = await asyncio.to_thread(score_instances, serving, asked.instances)
        except WarrantError as refusal:
            return problem(refusal, given)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as failure:
            log.exception("a smoke request for %s failed", request.path_params["model"])
            failed = ScoringFailed(f"the model failed on this input: {type(failure).__name__}: {failure}")
            return problem(failed, given)
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

    def _smoked(self, request: Request) -> Serving:
        board, model = self.watcher.board, request.path_params["model"]
        deployment_id = request.query_params.get("deployment")
        if deployment_id is None:
            return _champion(board.entry(model))
        if not deployment_id.isdecimal() or len(deployment_id) > 18:
            raise BadFeature("deployment", "is not the number of a deployment")
        return board.deployed(model, int(deployment_id))

    async def _read(self, request: Request, serving: Serving, call: Call) -> PredictRequest:
        if self.accounts.in_flight > self._max_in_flight:
            raise Overloaded(
                f"{self.accounts.in_flight - 1:,} requests are being answered; send again more slowly"
            )
        assert self._scorer is not None  # noqa: S101 - requests come after start-up
        return await self._bodies.read(request, serving, call, self._scorer.check_room)

    async def _answers(self, entry: Entry, routes: list[Serving], asked: PredictRequest) -> list[Answer]:
        """One answer an instance: known ones again, the others scored and stored now."""
        instances = asked.instances
        champion = _champion(entry)
        found = [self.answers.find(champion.model, instance) for instance in instances]
        rows_of: dict[int, list[int]] = {}
        for index, (serving, known) in enumerate(zip(routes, found, strict=True)):
            if known is None:
                rows_of.setdefault(serving.target.deployment_id, []).append(index)
        expires_at = time.monotonic() + self._config.gateway_timeout_s
        jobs = [
            Job(
                routes[indexes[0]],
                [instances[index] for index in indexes],
                None if routes[indexes[0]] is champion else champion,
                expires_at,
                indexes if asked.batch else (),
            )
            for indexes in rows_of.values()
        ]
        if jobs:
            assert self._scorer is not None  # noqa: S101 - requests come after start-up
            self._scorer.submit(*jobs)
        for indexes, job in zip(rows_of.values(), jobs, strict=True):
            for index, pending in zip(indexes, self._settle_when(job, entry.shadows()), strict=True):
                found[index] = pending
        # Shielded: a request that is cancelled must not cancel the answer that another one waits for.
        for future in {one.future for one in found if isinstance(one, Pending)}:
            await asyncio.shield(future)
        return [one.answer() if isinstance(one, Pending) else one for one in found if one is not None]

    def _settle_when(self, job: Job, shadows: tuple[Serving, ...]) -> list[Pending]:
        model, fresh = job.serving.model, job.instances
        pending = self.answers.begin(model, fresh)

        def settle(finished: asyncio.Future[list[Outcome]]) -> None:
            outcomes = finished.result()
            self.answers.end(model, fresh, pending, outcomes)
            answered: list[Instance] = []
            by: Counter[tuple[str, str]] = Counter()
            for instance, outcome in zip(fresh, outcomes, strict=True):
                if not isinstance(outcome, Exception):
                    answered.append(instance)
                    by[str(outcome["version"]), outcome["role"]] += 1
            for (version, role), rows in by.items():
                self.metrics.predictions.labels(model, version, role).inc(rows)
            for shadow in shadows if answered else ():
                assert self._shadower is not None  # noqa: S101 - started with the scorer
                self._shadower.submit(shadow, answered)

        asyncio.wrap_future(job.done).add_done_callback(settle)
        return pending

    async def live(self, _request: Request) -> Response:
        """200 while the process can do its work; 503 with the reason once only a restart would help."""
        trouble = None if self._scorer is None else self._scorer.trouble()
        if trouble is not None:
            return JSONResponse({"status": "stuck", "reason": trouble}, status_code=503)
        return JSONResponse({"status": "ok"})

    def why_not_ready(self) -> str | None:
        """Why requests should go elsewhere; None when they should come here.

        Ready is also a gateway whose record is away: every model serves, if only with its last good version.
        """
        if self.accounts.draining:
            return "the gateway is stopping"
        if self._spool is not None and self._spool.refusal is not None:
            return self._spool.refusal.message
        return self.watcher.board.why_not_ready()

    async def ready(self, _request: Request) -> Response:
        """200 when requests should be sent here, else 503 with the reason; in both cases what serves."""
        reason = self.why_not_ready()
        state = {
            "ready": reason is None,
            "reason": reason,
            "draining": self.accounts.draining,
            "gateway_id": self.gateway_id,
            "environment": self.environment,
            "stale": self.watcher.stale(),
            "record_age_s": round(self.watcher.record_age_s(), 3),
            "record_error": self.watcher.record_error,
            "models": self.watcher.board.state(),
        }
        return JSONResponse(state, status_code=200 if reason is None else 503)

    def drain(self) -> None:
        """Say from now on that requests should go elsewhere; those that come are answered."""
        self.accounts.draining = True

    async def export_metrics(self, _request: Request) -> Response:
        """Prometheus text format."""
        text = await asyncio.to_thread(
            generate_latest, self.metrics.registry
        )  # milliseconds with many series
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def _champion(entry: Entry) -> Serving:
    assert entry.serving is not None  # noqa: S101 - `Board.entry` gives none without
    return entry.serving


def _routes(entry: Entry, instances: tuple[Instance, ...]) -> list[Serving]:
    """Which version answers each row."""
    champion = _champion(entry)
    if not any(one.wanted.role == "canary" for one in entry.beside):
        return [champion] * len(instances)
    return [entry.answering(instance.key, instance.features) or champion for instance in instances]


def _labels(routes: Sequence[Serving]) -> tuple[str, str]:
    """Version and role of a request, for metrics."""
    first = routes[0]
    if any(one is not first for one in routes):
        return "several", "several"
    return first.version, first.role


def main() -> None:
    """Serve until a signal asks to stop; then finish what was accepted."""
    configure_logging("gateway")
    start_tracing("gateway")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    config = settings()
    _drop_privileges()
    gateway = Gateway(config)
    gateway.watcher.on_settled = (
        gc.freeze
    )  # collecting all that was imported holds requests up for 0.1 s and more
    options = uvicorn.Config(
        gateway.app, host=config.host, port=config.gateway_port, log_config=None, access_log=False,
        http=BoundedHeads,
        timeout_graceful_shutdown=DRAIN_S,
    )  # fmt: skip
    DrainingServer(options, linger_s=config.gateway_linger_s, on_drain=gateway.drain).run()


def _drop_privileges() -> None:
    """Before any model is loaded: one that runs code gains no rights, and reaches into no other process."""
    give_up_privileges()
    try:
        refuse_calls(leading_out=False)
    except OSError as refused:
        log.warning("models may reach into other processes of this user: %s", refused.strerror)


if __name__ == "__main__":
    main()

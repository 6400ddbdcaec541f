"""Play recorded flights through the gateway, and their labels into ingest, at a chosen speed.

Data time runs `speed` times as fast as the wall clock; predictions and labels are stamped with the wall
clock, so the real delay between them divides by the speed. The position is on disk before it counts: a killed
replay sends again at most the requests of its last tick, under the same ids.

Data time waits for the gateway: while it is away nothing is skipped, and nothing is caught up in a burst.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pandas as pd

from backend.clock import from_iso, now, to_iso
from backend.durable import write_json
from backend.errors import BadInput, Conflict
from jobs.demo.faults import ActiveFault, active_fault
from jobs.demo.flights import FEATURES

log = logging.getLogger(__name__)

DEFAULT_SPEED: Final = 60.0  # one minute of data a second
TICK_S: Final = 0.25
MAX_ADVANCE_S: Final = 2.0  # what one tick may advance, however long the one before took
BACK_OFF_S: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
LABELS_PER_REQUEST: Final = 500
_JSON: Final = {"Content-Type": "application/json"}
RETRIED: Final = frozenset({404, 408, 425, 429})  # 404: nothing is deployed yet


class ReplayRefused(BadInput):
    """A request that trying again cannot mend: a wrong token, a body that ingest does not accept."""

    title = "Replay refused"


class PositionForeign(Conflict):
    """The saved position belongs to other flights than the ones to be played."""

    title = "Position of another replay"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the replay sends: the gateway takes predictions, the console takes labels for a bearer token."""

    gateway_url: str
    console_url: str
    token: str
    model: str = "flight-delay"

    @property
    def predict_url(self) -> str:
        return f"{self.gateway_url.rstrip('/')}/v1/models/{self.model}/predict"

    @property
    def labels_url(self) -> str:
        return f"{self.console_url.rstrip('/')}/api/v1/models/{self.model}/labels"


@dataclass(frozen=True, slots=True)
class Batch:
    """Labels written down before they are sent: a restart repeats the same body under the same key."""

    through: int
    labels: list[dict[str, Any]]

    @property
    def body(self) -> bytes:
        return json.dumps({"labels": self.labels}, sort_keys=True).encode()

    @property
    def key(self) -> str:
        return f"demo-replay-{hashlib.sha256(self.body).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class Position:
    """How far the replay is. `next_flight` and `next_label` count rows of the plan; times are data time."""

    plan: str
    data_ts: str
    flights: int
    labels: int
    next_flight: int = 0
    next_label: int = 0
    answered: int = 0
    refused: tuple[int, ...] = ()  # flights that the gateway refused: they have no prediction, so no label
    injected: int = 0
    retries: int = 0
    labels_sent: int = 0
    labels_conflicting: int = 0
    upstream_p50_ms: float = 0.0
    upstream_p95_ms: float = 0.0
    speed: float = DEFAULT_SPEED
    fault: str | None = None
    waiting_for: str | None = None
    batch: Batch | None = None
    finished: bool = False
    saved_at: str = ""


def read_position(path: Path) -> Position | None:
    """The saved position, None before the first tick. Raises `BadInput` when the file is not one."""
    try:
        record = json.loads(path.read_text())
        batch = record.pop("batch")
        return Position(
            **record | {"refused": tuple(record["refused"])}, batch=None if batch is None else Batch(**batch)
        )
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(f"{path} is not a replay position ({error}); delete it to start again") from error


def write_position(path: Path, position: Position) -> None:
    """Replace the file as a whole; on return it is on disk."""
    write_json(path, asdict(position))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be sent: requests by scheduled departure, labels by the moment they became known."""

    digest: str
    ids: list[str]
    features: list[dict[str, Any]]
    due: np.ndarray  # datetime64[us], data time, ascending
    labels: list[tuple[str, str | None, str]]  # prediction_id, label, status
    labels_due: np.ndarray
    label_flight: np.ndarray  # index of the label's flight, -1 when its prediction was loaded before

    @property
    def start(self) -> datetime:
        moment: datetime = pd.Timestamp(self.due[0]).tz_localize("UTC").to_pydatetime()
        return moment


def plan_replay(flights: pd.DataFrame, awaiting: pd.DataFrame | None = None) -> Plan:
    """Order flights and labels. `awaiting`: flights already loaded as history whose labels came later.

    Both frames are `build_flights` rows in data time. Raises `BadInput` when there is no flight to play.
    """
    if flights.empty:
        raise BadInput("there is no flight to replay")
    flights = flights.sort_values("ts", kind="stable", ignore_index=True)
    known = flights.assign(flight_index=np.arange(len(flights)))
    if awaiting is not None and len(awaiting):
        known = pd.concat([awaiting.assign(flight_index=-1), known], ignore_index=True)
    known = known.sort_values("label_ts", kind="stable", ignore_index=True)
    values = flights[list(FEATURES)].astype("object")
    features: list[dict[str, Any]] = values.where(values.notna(), None).to_dict("records")  # type: ignore[assignment]
    ids = flights["prediction_id"].tolist()
    labels = known["label"].astype("object")
    return Plan(
        digest=hashlib.sha256("\n".join([*ids, *known["prediction_id"]]).encode()).hexdigest()[:16],
        ids=ids,
        features=features,
        due=_instants(flights["ts"]),
        labels=list(
            zip(known["prediction_id"], labels.where(labels.notna(), None), known["status"], strict=True)
        ),
        labels_due=_instants(known["label_ts"]),
        label_flight=known["flight_index"].to_numpy(),
    )


def _instants(moments: pd.Series) -> np.ndarray:
    instants: np.ndarray = moments.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    return instants


@dataclass(slots=True)
class Replay:
    """One run. `await run(stop)` returns the last position: at the end of the data, or when `stop` is set."""

    plan: Plan
    to: Destination
    state_file: Path
    home: Path  # where the fault file lies
    speed: float = DEFAULT_SPEED
    concurrency: int = 16
    tick_s: float = TICK_S
    transport: httpx.AsyncBaseTransport | None = None
    _position: Position = field(init=False)
    _upstream_ms: deque[float] = field(init=False, default_factory=lambda: deque(maxlen=500))

    async def run(self, stop: asyncio.Event) -> Position:
        """Raises `PositionForeign`, `ReplayRefused`; an unreachable or failing server is waited for."""
        self._position = self._resume()
        if self._ended():
            log.info("the replay has ended: all %d flights were played before", self._position.flights)
            return self._position
        limits = httpx.Limits(max_connections=self.concurrency)
        async with httpx.AsyncClient(transport=self.transport, timeout=10.0, limits=limits) as client:
            last = time.monotonic()
            while not stop.is_set():
                started = time.monotonic()
                await self._tick(client, stop, min(started - last, MAX_ADVANCE_S))
                last = started
                if self._ended():
                    log.info("the replay has ended: %d flights played", self._position.flights)
                    break
                await _pause(stop, self.tick_s - (time.monotonic() - started))
        return self._position

    def _ended(self) -> bool:
        return self._position.finished

    def _resume(self) -> Position:
        if self.speed <= 0:
            raise BadInput(f"the replay speed must be above 0, not {self.speed:g}")
        saved = read_position(self.state_file)
        if saved is None:
            return Position(
                plan=self.plan.digest,
                data_ts=to_iso(self.plan.start),
                flights=len(self.plan.ids),
                labels=len(self.plan.labels),
                speed=self.speed,
            )
        if saved.plan != self.plan.digest:
            raise PositionForeign(
                f"{self.state_file} is of a replay of other flights; delete it to start anew"
            )
        return replace(saved, speed=self.speed)

    async def _tick(self, client: httpx.AsyncClient, stop: asyncio.Event, advance_s: float) -> None:
        """Send what became due, then write the position. The position moves only past what was answered."""
        position = self._position
        data_ts = from_iso(position.data_ts) + timedelta(seconds=advance_s * self.speed)
        moment = np.datetime64(data_ts.replace(tzinfo=None), "us")
        if position.batch is not None and not await self._send_labels(client, stop, position.batch):
            return
        flights_to = int(np.searchsorted(self.plan.due, moment, side="right"))
        if not await self._send_flights(client, stop, flights_to):
            return
        labels_to = int(np.searchsorted(self.plan.labels_due, moment, side="right"))
        while self._position.next_label < labels_to:
            batch = self._next_batch(labels_to)
            self._save(batch=batch)
            if not await self._send_labels(client, stop, batch):
                return
        done = flights_to == len(self.plan.ids) and labels_to == len(self.plan.labels)
        recent = list(self._upstream_ms) or [0.0]
        self._save(
            data_ts=to_iso(data_ts),
            upstream_p50_ms=round(float(np.quantile(recent, 0.5)), 1),
            upstream_p95_ms=round(float(np.quantile(recent, 0.95)), 1),
            finished=done,
        )

    def _save(self, **changes: Any) -> None:
        self._position = replace(self._position, **changes, saved_at=to_iso(now()))
        write_position(self.state_file, self._position)

    async def _send_flights(self, client: httpx.AsyncClient, stop: asyncio.Event, to: int) -> bool:
        """Ask the gateway about each flight that is due. False when stopped before all were answered."""
        due = range(self._position.next_flight, to)
        if not due:
            return True
        fault = self._fault()
        permits = asyncio.Semaphore(self.concurrency)

        async def ask(index: int) -> tuple[httpx.Response | None, bool]:
            async with permits:
                body, injected = await self._look_up(index, fault)
                content = json.dumps(body).encode()
                return await self._post(client, stop, self.to.predict_url, content, {}), injected

        answers = await asyncio.gather(*(ask(index) for index in due))
        if any(response is None for response, _ in answers):
            return False
        refused = [
            index
            for index, (response, _) in zip(due, answers, strict=True)
            if response is not None and response.status_code == 422
        ]
        self._save(
            next_flight=to,
            answered=self._position.answered + len(due) - len(refused),
            refused=(*self._position.refused, *refused),
            injected=self._position.injected + sum(injected for _, injected in answers),
            fault=None if fault is None else fault.fault.name,
        )
        return True

    async def _look_up(self, index: int, fault: ActiveFault | None) -> tuple[dict[str, Any], bool]:
        """The upstream feature look-up: where a fault changes values or costs time. Returns the request's
        body.
        """
        started = time.monotonic()
        features, injected = self.plan.features[index], False
        if fault is not None:
            seed = hashlib.sha256(f"{fault.fault.name}/{self.plan.ids[index]}".encode()).digest()[:8]
            rng = np.random.default_rng(int.from_bytes(seed))
            changed, delay_s = fault.fault.apply(features, rng), fault.fault.delay_s(rng)
            injected = changed is not features or delay_s > 0
            features = changed
            await asyncio.sleep(delay_s)
        self._upstream_ms.append((time.monotonic() - started) * 1000)
        name = fault.fault.name if fault is not None and injected else None
        return {"prediction_id": self.plan.ids[index], "features": features, "injected": name}, injected

    def _fault(self) -> ActiveFault | None:
        """An unreadable fault file injects nothing: the demo goes on, and says so."""
        try:
            return active_fault(self.home, now())
        except BadInput as error:
            log.warning("%s", error.message)
            return None

    def _next_batch(self, labels_to: int) -> Batch:
        """The next labels that are due, stamped now, without those whose flight the gateway refused."""
        through = min(labels_to, self._position.next_label + LABELS_PER_REQUEST)
        refused = frozenset(self._position.refused)
        stamp = to_iso(now())
        labels = [
            {"prediction_id": prediction_id, "label": label, "status": status, "label_ts": stamp}
            for prediction_id, label, status in (
                self.plan.labels[index]
                for index in range(self._position.next_label, through)
                if int(self.plan.label_flight[index]) not in refused
            )
        ]
        return Batch(through, labels)

    async def _send_labels(self, client: httpx.AsyncClient, stop: asyncio.Event, batch: Batch) -> bool:
        """Deliver one batch. False when stopped before it was taken; the batch then stays written down."""
        conflicting = 0
        if batch.labels:
            headers = {"Authorization": f"Bearer {self.to.token}", "Idempotency-Key": batch.key}
            response = await self._post(client, stop, self.to.labels_url, batch.body, headers)
            if response is None:
                return False
            if response.status_code == 422:
                raise ReplayRefused(f"ingest refused the labels: {response.text[:500]}")
            conflicting = len(batch.labels) if response.status_code == 409 else 0
        self._save(
            batch=None,
            next_label=batch.through,
            labels_sent=self._position.labels_sent + len(batch.labels) - conflicting,
            labels_conflicting=self._position.labels_conflicting + conflicting,
        )
        return True

    async def _post(
        self, client: httpx.AsyncClient, stop: asyncio.Event, url: str, body: bytes, headers: dict[str, str]
    ) -> httpx.Response | None:
        """Post until somebody answers. None when stopped first.

        2xx, 409 (it is there already) and 422 (it is wrong) are answers. 5xx, 404, 408, 429 and a failed
        connection are tried again with back-off. Anything else raises `ReplayRefused`.
        """
        attempt = 0
        while not stop.is_set():
            try:
                response = await client.post(url, content=body, headers=_JSON | headers)
            except httpx.TransportError as error:
                reason = f"{url} cannot be reached ({type(error).__name__})"
            else:
                if response.is_success or response.status_code in (409, 422):
                    if attempt:
                        self._position = replace(self._position, waiting_for=None)
                    return response
                if response.status_code < 500 and response.status_code not in RETRIED:
                    raise ReplayRefused(f"{url} answered {response.status_code}: {response.text[:500]}")
                reason = f"{url} answered {response.status_code}"
            if attempt == 0:
                log.warning("%s; trying again until it answers", reason)
            self._save(retries=self._position.retries + 1, waiting_for=reason)
            await _pause(stop, BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
            attempt += 1
        return None


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, or until stopped. Always yields once, so that a busy replay can be stopped."""
    try:
        await asyncio.wait_for(stop.wait(), max(seconds, 0.001))
    except TimeoutError:
        return

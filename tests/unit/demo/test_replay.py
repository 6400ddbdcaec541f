"""The replay sends everything once, in order, through failures and restarts, and labels after their real
delay.

The far side is a small ASGI application that keeps the gateway's and ingest's contract.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from backend.clock import from_iso, now
from backend.demo_state import fault_file
from backend.errors import BadInput
from jobs.demo import faults, flights
from jobs.demo.replay import (
    Destination,
    Plan,
    PositionForeign,
    Replay,
    ReplayRefused,
    plan_replay,
    read_position,
)

TO = Destination("http://gateway", "http://console", token="t0ken")
FAST = 400_000.0  # the test's afternoon passes in a fraction of a second


class Receiver:
    """Answers as gateway and ingest do, and remembers what it answered. `fail` may answer first."""

    def __init__(self) -> None:
        self.predictions: list[dict[str, Any]] = []
        self.labels: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.fail: Callable[[str], int | None] = lambda _path: None
        self.app = Starlette(
            routes=[
                Route("/v1/models/flight-delay/predict", self._predict, methods=["POST"]),
                Route("/api/v1/models/flight-delay/labels", self._label, methods=["POST"]),
            ]
        )
        self.transport = httpx.ASGITransport(self.app)

    async def _predict(self, request: Request) -> JSONResponse:
        if status := self.fail(request.url.path):
            return JSONResponse({}, status)
        body = await request.json()
        if set(body["features"]) != set(flights.FEATURES):
            return JSONResponse({"title": "Bad input"}, 422)
        self.predictions.append(body | {"at": time.time()})
        return JSONResponse({"prediction_id": body["prediction_id"], "score": 0.5, "prediction": "1"})

    async def _label(self, request: Request) -> JSONResponse:
        if request.headers["authorization"] != "Bearer t0ken":
            return JSONResponse({"title": "Not signed in"}, 401)
        if status := self.fail(request.url.path):
            return JSONResponse({}, status)
        self.labels += (await request.json())["labels"]
        self.keys.append(request.headers["idempotency-key"])
        return JSONResponse({})

    @property
    def predicted(self) -> list[str]:
        return [body["prediction_id"] for body in self.predictions]

    @property
    def labelled(self) -> list[str]:
        return [label["prediction_id"] for label in self.labels]


@pytest.fixture(scope="module")
def afternoon(all_flights: pd.DataFrame) -> pd.DataFrame:
    """An afternoon of December with a hundred departures or so, and a cancelled one among them."""
    start = pd.Timestamp("2013-12-05T20:00Z")
    rows = flights.between(all_flights, start, start + timedelta(hours=2))
    assert (rows["status"] == "will_not_come").any()
    return rows


@pytest.fixture(scope="module")
def plan(afternoon: pd.DataFrame) -> Plan:
    return plan_replay(afternoon)


def _replay(plan: Plan, home: Path, receiver: Receiver, **options: Any) -> Replay:
    return Replay(
        plan,
        options.pop("to", TO),
        home / "demo" / "replay.json",
        home,
        speed=options.pop("speed", FAST),
        tick_s=0.005,
        transport=receiver.transport,
        **options,
    )


def _run(replay: Replay, stop_after_s: float | None = None) -> Any:
    async def run() -> Any:
        stop = asyncio.Event()
        if stop_after_s is not None:
            asyncio.get_running_loop().call_later(stop_after_s, stop.set)
        return await asyncio.wait_for(replay.run(stop), 60)

    return asyncio.run(run())


def test_every_flight_and_every_label_is_sent_once_and_then_it_stops(
    plan: Plan, afternoon: pd.DataFrame, home: Path
) -> None:
    receiver = Receiver()
    end = _run(_replay(plan, home, receiver))
    assert end.finished
    assert sorted(receiver.predicted) == sorted(afternoon["prediction_id"])
    assert sorted(receiver.labelled) == sorted(afternoon["prediction_id"])
    assert end.answered == end.labels_sent == len(afternoon)
    labels = {label["prediction_id"]: (label["label"], label["status"]) for label in receiver.labels}
    for row in afternoon.itertuples():
        assert labels[row.prediction_id] == (row.label, row.status)
    json.dumps(receiver.predictions, allow_nan=False)


def test_a_finished_replay_says_so_and_sends_nothing_more(plan: Plan, home: Path) -> None:
    _run(_replay(plan, home, Receiver()))
    again = Receiver()
    assert _run(_replay(plan, home, again)).finished
    assert again.predicted == []


def test_a_label_follows_its_prediction_after_its_delay_divided_by_the_speed(
    afternoon: pd.DataFrame, home: Path
) -> None:
    few = afternoon[afternoon["status"] == "known"].head(12).set_index("prediction_id", drop=False)
    receiver = Receiver()
    speed = 10_000.0
    _run(_replay(plan_replay(few), home, receiver, speed=speed))
    asked_at = {body["prediction_id"]: body["at"] for body in receiver.predictions}
    assert len(receiver.labels) == len(few)
    for label in receiver.labels:
        row = few.loc[label["prediction_id"]]
        real_s = (row["label_ts"] - row["ts"]).total_seconds() / speed
        waited_s = from_iso(label["label_ts"]).timestamp() - asked_at[label["prediction_id"]]
        assert real_s - 0.1 < waited_s < real_s + 0.8  # real delays differ by up to 2 s here


def test_a_restart_continues_where_it_stopped_and_pending_labels_survive(
    plan: Plan, afternoon: pd.DataFrame, home: Path
) -> None:
    receiver = Receiver()
    runs, finished = 0, False
    while not finished and runs < 100:
        finished = _run(_replay(plan, home, receiver, speed=60_000.0), stop_after_s=0.1).finished
        runs += 1
    assert runs > 2
    assert sorted(receiver.predicted) == sorted(afternoon["prediction_id"])
    assert sorted(receiver.labelled) == sorted(afternoon["prediction_id"])


def test_nothing_is_lost_or_skipped_while_the_gateway_fails(
    plan: Plan, afternoon: pd.DataFrame, home: Path
) -> None:
    receiver = Receiver()
    answers = iter([503, 500, 404, 429])
    receiver.fail = lambda path: next(answers, None) if path.endswith("predict") else None
    end = _run(_replay(plan, home, receiver))
    assert end.finished
    assert end.retries == 4
    assert sorted(receiver.predicted) == sorted(afternoon["prediction_id"])


def test_an_unreachable_gateway_is_waited_for_and_named(plan: Plan, home: Path) -> None:
    class Away(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused", request=request)

    replay = _replay(plan, home, Receiver())
    replay.transport = Away()
    end = _run(replay, stop_after_s=0.4)
    assert not end.finished
    assert end.retries > 0
    assert "http://gateway" in end.waiting_for
    assert end.next_flight == 0
    receiver = Receiver()
    assert _run(_replay(plan, home, receiver)).finished
    assert len(receiver.predicted) == len(plan.ids)


def test_a_batch_whose_answer_was_lost_is_repeated_under_its_key_after_a_restart(
    plan: Plan, home: Path
) -> None:
    receiver, stop, lost = Receiver(), asyncio.Event(), []

    class Losing(httpx.AsyncBaseTransport):
        """Delivers the first label request, loses its answer, and stops the replay."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await receiver.transport.handle_async_request(request)
            if request.url.path.endswith("labels") and not lost:
                lost.append((request.headers["idempotency-key"], await request.aread()))
                stop.set()
                raise httpx.ReadError("gone", request=request)
            return response

    replay = _replay(plan, home, receiver)
    replay.transport = Losing()
    stopped = asyncio.run(replay.run(stop))
    assert stopped.batch is not None
    assert (stopped.batch.key, stopped.batch.body) == lost[0]
    _run(_replay(plan, home, receiver))
    assert receiver.keys[:2] == [lost[0][0]] * 2
    assert len(set(receiver.keys[1:])) == len(receiver.keys[1:])
    assert set(receiver.labelled) == set(plan.ids)


@pytest.mark.parametrize("requests_before", [0, 3, 70, 125])
def test_a_replay_that_dies_anywhere_loses_nothing(plan: Plan, home: Path, requests_before: int) -> None:
    class PowerCut(Exception):
        pass

    receiver, served = Receiver(), []

    class Dying(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if len(served) >= requests_before:
                raise PowerCut
            served.append(request.url.path)
            return await receiver.transport.handle_async_request(request)

    replay = _replay(plan, home, receiver, speed=60_000.0)
    replay.transport = Dying()
    with pytest.raises(PowerCut):
        _run(replay)
    early = set(receiver.labelled) - set(receiver.predicted)
    assert not early
    assert _run(_replay(plan, home, receiver)).finished
    assert set(receiver.predicted) == set(plan.ids)
    assert set(receiver.labelled) == set(plan.ids)


def test_a_wrong_token_ends_the_replay_with_the_reason(plan: Plan, home: Path) -> None:
    with pytest.raises(ReplayRefused, match="401"):
        _run(
            _replay(plan, home, Receiver(), to=Destination("http://gateway", "http://console", token="wrong"))
        )


def test_every_request_a_fault_touched_is_marked_and_no_other(
    plan: Plan, afternoon: pd.DataFrame, home: Path
) -> None:
    faults.switch_on(home, "null-burst", since=now())
    receiver = Receiver()
    end = _run(_replay(plan, home, receiver))
    truth = afternoon.set_index("prediction_id")["recent_delay_min"]
    marked = 0
    for body in receiver.predictions:
        sent, real = body["features"]["recent_delay_min"], truth[body["prediction_id"]]
        assert body["injected"] in (None, "null-burst")
        assert (sent != real) == (body["injected"] == "null-burst")
        marked += body["injected"] is not None
    assert 0 < marked == end.injected < len(afternoon)


def test_a_refused_flight_gets_no_label(plan: Plan, afternoon: pd.DataFrame, home: Path) -> None:
    faults.switch_on(home, "errors", since=now())
    receiver = Receiver()
    end = _run(_replay(plan, home, receiver))
    assert 0 < len(end.refused) < len(afternoon)
    assert sorted(receiver.labelled) == sorted(receiver.predicted)
    assert end.answered == len(afternoon) - len(end.refused)


def test_upstream_latency_is_felt_and_reported(afternoon: pd.DataFrame, home: Path) -> None:
    faults.switch_on(home, "latency", since=now())
    end = _run(_replay(plan_replay(afternoon.head(8)), home, Receiver()))
    assert end.upstream_p95_ms > 200
    assert end.injected == 8


def test_an_unreadable_fault_file_injects_nothing(plan: Plan, home: Path) -> None:
    faults.switch_on(home, "errors", since=now())
    fault_file(home).write_text("{")
    assert _run(_replay(plan, home, Receiver())).injected == 0


def test_labels_of_flights_that_were_loaded_before_are_sent_too(
    all_flights: pd.DataFrame, afternoon: pd.DataFrame, home: Path
) -> None:
    start = afternoon["ts"].min()
    before = flights.between(all_flights, start - timedelta(hours=8), start)
    awaiting = before[before["label_ts"] >= start]
    assert len(awaiting) > 10
    receiver = Receiver()
    assert _run(_replay(plan_replay(afternoon, awaiting), home, receiver)).finished
    assert set(receiver.labelled) == set(afternoon["prediction_id"]) | set(awaiting["prediction_id"])
    assert set(receiver.predicted) == set(afternoon["prediction_id"])


def test_a_position_of_other_flights_is_refused(plan: Plan, afternoon: pd.DataFrame, home: Path) -> None:
    _run(_replay(plan, home, Receiver()))
    with pytest.raises(PositionForeign):
        _run(_replay(plan_replay(afternoon.head(5)), home, Receiver()))


def test_a_broken_position_is_named(plan: Plan, home: Path) -> None:
    path = home / "demo" / "replay.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"plan": "x"}')
    with pytest.raises(BadInput, match=r"replay\.json"):
        read_position(path)


def test_nothing_to_play_and_no_speed_are_refused(plan: Plan, afternoon: pd.DataFrame, home: Path) -> None:
    with pytest.raises(BadInput, match="no flight"):
        plan_replay(afternoon.head(0))
    with pytest.raises(BadInput, match="speed"):
        _run(_replay(plan, home, Receiver(), speed=0.0))

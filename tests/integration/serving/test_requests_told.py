"""Each request has an id, a precise refusal, and a place in the counts; a gateway that stops fails nobody."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend import clock
from backend.database.session import reading
from backend.serving.outcome_log import outcomes_between
from backend.serving.outcomes import Outcomes
from tests.integration.serving.conftest import registered
from tests.integration.serving.parts import (
    FEATURES,
    MODEL,
    WORKER,
    GatewayProcess,
    spooled_ids,
    wait_until,
)


def outcomes(model: str = MODEL) -> Outcomes:
    now = clock.now()
    with reading() as session:
        return outcomes_between(
            session,
            WORKER,
            model,
            "production",
            start=now - timedelta(hours=1),
            end=now + timedelta(minutes=1),
        )


def scraped(gateway: GatewayProcess) -> Outcomes:
    """What Prometheus would read of the model, in the form of the log."""
    codes: dict[str, int] = {}
    kinds: dict[str, int] = {}
    latency: dict[float, int] = {}
    seconds = 0.0
    for family in text_string_to_metric_families(gateway.client.get("/metrics").text):
        for one in family.samples:
            if one.labels.get("model") != MODEL:
                continue
            if one.name == "warrant_requests_total":
                codes[one.labels["code"]] = codes.get(one.labels["code"], 0) + int(one.value)
            if one.name == "warrant_request_errors_total":
                kinds[one.labels["kind"]] = kinds.get(one.labels["kind"], 0) + int(one.value)
            if one.name == "warrant_request_seconds_bucket":
                edge = float(one.labels["le"])
                latency[edge] = latency.get(edge, 0) + int(one.value)
            if one.name == "warrant_request_seconds_sum":
                seconds += one.value
    return Outcomes(codes, kinds, tuple(count for _, count in sorted(latency.items())), seconds)


def test_the_log_of_outcomes_says_what_prometheus_is_told(sqlite_gateway: GatewayProcess) -> None:
    for number in range(20):
        sqlite_gateway.predict(prediction_id=f"p{number}", features=FEATURES)
    sqlite_gateway.predict(features={})
    sqlite_gateway.predict(prediction_id="p0", features={**FEATURES, "hour": 1})
    sqlite_gateway.client.post(f"/v1/models/{MODEL}/predict", content=b" " * (9 << 20))
    sqlite_gateway.predict("nobody")
    found = wait_until(lambda: (o := outcomes()).requests >= 23 and o, what="the counts")
    told = scraped(sqlite_gateway)
    assert found.codes == told.codes == {"200": 20, "422": 1, "409": 1, "413": 1}
    assert found.kinds == told.kinds == {"bad_request": 1, "id_taken": 1, "too_large": 1}
    assert found.latency == told.latency
    assert found.seconds_sum == pytest.approx(told.seconds_sum)
    assert found.observed_s >= 60
    assert found.rows == 21, (
        "those of the body that was no prediction and of the one that was too large are not known"
    )
    # Counts of requests that ended in the last second go with the process: stopping writes them.
    sqlite_gateway.predict(features=FEATURES)
    sqlite_gateway.terminate()
    assert outcomes().answered == 21


def test_a_request_keeps_its_id_or_gets_one(shared_gateway: GatewayProcess) -> None:
    client, path = shared_gateway.client, f"/v1/models/{MODEL}/predict"
    for given, body in (("trace-7.a", {"features": FEATURES}), ("trace-8", {"features": {}})):
        answer = client.post(path, json=body, headers={"X-Request-ID": given})
        assert answer.headers["x-request-id"] == given
    assert answer.json()["request_id"] == "trace-8"
    assert "request trace-8 for delay answered 422 (bad_request)" in shared_gateway.log()
    assert client.post(path, json={"features": FEATURES}).headers["x-request-id"].startswith("req_")
    odd = client.post(path, json={"features": {}}, headers={"X-Request-ID": "a b; forged=1"})
    assert odd.headers["x-request-id"].startswith("req_")
    assert "forged" not in shared_gateway.log()
    smoked = client.post(f"/v1/models/{MODEL}/smoke", json={}, headers={"X-Request-ID": "s"})
    assert (smoked.headers["x-request-id"], smoked.json()["request_id"]) == ("s", "s")


def test_a_refusal_says_which_column_and_row_and_what_was_expected(shared_gateway: GatewayProcess) -> None:
    rows = [{"features": FEATURES}, {"features": {**FEATURES, "hour": "five"}}]
    answer = shared_gateway.predict(instances=rows)
    problem = answer.json()
    assert (answer.status_code, problem["column"], problem["row"]) == (422, "hour", 1)
    assert (problem["expected"], problem["got"]) == ("a number or null", 'text "five"')
    missing = shared_gateway.predict(features={"carrier": "AA", "hour": 1}).json()
    assert (missing["column"], missing["row"], missing["got"]) == ("wind", None, "nothing")
    # What the client sent is in its answer and in no log.
    assert "five" not in shared_gateway.log()


def test_probes_are_there_under_both_names(shared_gateway: GatewayProcess) -> None:
    for path in ("/live", "/healthz", "/ready", "/readyz"):
        assert shared_gateway.client.get(path).status_code == 200
    text = shared_gateway.client.get("/metrics").text
    here = 'environment="production"'
    assert f"warrant_gateway_ready{{{here}}} 1.0" in text
    assert f'warrant_feature_nulls_total{{{here},feature="wind",model="{MODEL}"}}' in text
    of = f'model="{MODEL}",role="champion",version="1"'
    assert f'warrant_prediction_score_bucket{{{here},le="0.5",{of}}}' in text


@pytest.mark.slow
def test_a_gateway_that_stops_says_so_first_and_fails_nobody(
    sqlite: None, artefacts: dict[int, Path], tmp_path: Path
) -> None:
    registered(artefacts)
    with GatewayProcess(tmp_path / "gateway.log", WARRANT_GATEWAY_LINGER_S="1.5").start() as gateway:
        gateway.wait_ready()
        answered: list[str] = []
        refused: list[str] = []
        threads = [
            threading.Thread(target=ask_until_told, args=(gateway, answered, refused)) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answered) > 50, what="load")
        stopping = threading.Thread(target=gateway.terminate)
        stopping.start()
        state = wait_until(lambda: not (s := httpx.get(f"{gateway.url}/ready").json())["ready"] and s)
        assert (state["reason"], state["draining"]) == ("the gateway is stopping", True)
        late = httpx.post(f"{gateway.url}/v1/models/{MODEL}/predict", json={"features": FEATURES})
        assert (late.status_code, late.headers["connection"]) == (200, "close")
        for thread in [*threads, stopping]:
            thread.join()
        assert refused == []
        assert {*answered, late.json()["prediction_id"]} == set(spooled_ids())


def ask_until_told(gateway: GatewayProcess, answered: list[str], refused: list[str]) -> None:
    """A client that connects elsewhere when it is asked to."""
    with httpx.Client(base_url=gateway.url, timeout=15.0) as client:
        told = False
        while not told:
            try:
                answer = client.post(f"/v1/models/{MODEL}/predict", json={"features": FEATURES})
            except httpx.TransportError as failure:
                refused.append(repr(failure))
                return
            if answer.status_code == 200:
                answered.append(answer.json()["prediction_id"])
            else:
                refused.append(answer.text)
            told = answer.headers.get("connection") == "close"


@pytest.mark.slow
def test_a_body_that_does_not_come_is_408_and_counted(
    sqlite: None, artefacts: dict[int, Path], tmp_path: Path
) -> None:
    registered(artefacts)
    with GatewayProcess(tmp_path / "gateway.log", WARRANT_GATEWAY_TIMEOUT_S="0.5").start() as gateway:
        gateway.wait_ready()
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
            head = f"POST /v1/models/{MODEL}/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
            connection.sendall(head.encode() + b"{")
            assert connection.recv(4096).startswith(b"HTTP/1.1 408")
        found: Any = wait_until(lambda: outcomes().kinds, what="the count")
        assert found == {"slow_body": 1}

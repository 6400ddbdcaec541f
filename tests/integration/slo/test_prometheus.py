"""Indicators read from a real Prometheus: one hour of history written into it, and a live endpoint it scrapes."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from prometheus_client import start_http_server

from backend.serving.metrics import GatewayMetrics
from backend.slo import prometheus as prometheus_module
from backend.slo.gateway_metrics import GatewayAway, read_from_gateway
from backend.slo.indicators import quantile_of_buckets
from backend.slo.prometheus import (
    Prometheus,
    PrometheusAway,
    QueryRefused,
    quote,
    read_from_prometheus,
)
from tests.requirements import require

ODD_MODEL = 'a"b\\c} or vector(1) #\nd'


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def history(now: int) -> str:
    """OpenMetrics: `steady` answers 60 requests a minute for two hours, of which 3 are 503; 90 % within 50 ms."""
    lines = ["# TYPE warrant_requests counter", "# TYPE warrant_request_seconds histogram"]
    requests_lines, bucket_lines = [], []
    for at in range(now - 7200, now + 1, 30):
        minutes = (at - now + 7200) / 60
        for code, a_minute in (("200", 55), ("422", 2), ("503", 3)):
            labels = f'model="steady",version="1",code="{code}"'
            requests_lines.append(f"warrant_requests_total{{{labels}}} {a_minute * minutes} {at}")
        for bound, a_minute in (("0.05", 54), ("0.1", 60), ("+Inf", 60)):
            labels = f'model="steady",version="1",le="{bound}"'
            bucket_lines.append(f"warrant_request_seconds_bucket{{{labels}}} {a_minute * minutes} {at}")
        requests_lines.append(f'warrant_requests_total{{model="idle",version="1",code="200"}} 500 {at}')
    by_series = sorted(requests_lines, key=lambda line: line.split("} ")[0])
    buckets_by_series = sorted(bucket_lines, key=lambda line: line.split("} ")[0])
    return "\n".join([lines[0], *by_series, lines[1], *buckets_by_series, "# EOF", ""])


@pytest.fixture(scope="module")
def gateway() -> Iterator[tuple[GatewayMetrics, int]]:
    """The gateway's real metrics behind a real endpoint."""
    metrics = GatewayMetrics()
    port = free_port()
    server, thread = start_http_server(port, addr="127.0.0.1", registry=metrics.registry)
    yield metrics, port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def server(gateway: tuple[GatewayMetrics, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    prometheus, promtool = require("prometheus"), require("promtool")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "history.om").write_text(history(int(time.time())))
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", "history.om", "data"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    (folder / "prometheus.yml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s"},
                "scrape_configs": [
                    {"job_name": "gateway", "static_configs": [{"targets": [f"127.0.0.1:{gateway[1]}"]}]}
                ],
            }
        )
    )
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
             "--storage.tsdb.allow-overlapping-blocks", f"--web.listen-address=127.0.0.1:{port}"],
            cwd=folder, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(150):
            try:
                if requests.get(f"{url}/-/ready", timeout=1).ok:
                    break
            except requests.RequestException:
                assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_an_hour_of_history_gives_the_known_indicators(server: str) -> None:
    availability, latency, rate = read_from_prometheus(server, "steady")
    assert availability.value == pytest.approx(1 - 3 / 60, abs=1e-4)
    assert availability.events == pytest.approx(3600, rel=0.02)
    assert latency.value == pytest.approx(75.0, abs=0.5)  # rank 57 of 60: halfway between 50 and 100 ms
    assert rate.value == pytest.approx(1.0, rel=0.02)
    assert {one.source for one in (availability, latency, rate)} == {"prometheus"}
    assert availability.window_s == 3600


def test_no_request_and_no_series_are_different_and_neither_is_a_number(server: str) -> None:
    idle = {one.name: one for one in read_from_prometheus(server, "idle")}
    assert idle["availability"].value is None
    assert "no request" in idle["availability"].reason
    assert idle["requests"].value == 0.0
    unknown = read_from_prometheus(server, "nobody")
    assert [one.value for one in unknown] == [None, None, None]
    assert all("counter is not there" in one.reason for one in unknown)


def test_a_scraped_gateway_is_read_and_its_label_values_stay_values(
    server: str, gateway: tuple[GatewayMetrics, int]
) -> None:
    metrics, _ = gateway
    good = metrics.requests.labels(ODD_MODEL, "1", "200")
    bad = metrics.requests.labels(ODD_MODEL, "1", "503")
    seconds = metrics.seconds.labels(ODD_MODEL, "1")
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        good.inc(3)
        bad.inc(1)
        seconds.observe(0.003)
        found = {one.name: one for one in read_from_prometheus(server, ODD_MODEL, window_s=60)}
        if found["availability"].value is not None and found["latency_p95"].value is not None:
            break
        time.sleep(0.5)
    assert found["availability"].value == pytest.approx(0.75, abs=0.02)
    assert 2.5 < found["latency_p95"].value <= 5.0
    assert found["requests"].value > 0


def test_the_gateway_answers_itself_where_no_prometheus_is_configured(
    gateway: tuple[GatewayMetrics, int],
) -> None:
    metrics, port = gateway
    for code, count in (("200", 18), ("400", 1), ("500", 1)):
        metrics.requests.labels("direct", "1", code).inc(count)
    for _ in range(20):
        metrics.seconds.labels("direct", "1").observe(0.02)
    availability, latency, rate = read_from_gateway(f"http://127.0.0.1:{port}", "direct")
    assert availability.value == pytest.approx(0.95)
    assert availability.events == 20
    assert 10 < latency.value <= 25
    assert rate.value == pytest.approx(20 / rate.window_s)
    assert {one.source for one in (availability, latency, rate)} == {"gateway"}
    assert "since the gateway started" in availability.details["note"]
    with pytest.raises(GatewayAway, match="is it running"):
        read_from_gateway(f"http://127.0.0.1:{free_port()}", "direct")


def test_our_quantile_equals_promql(server: str) -> None:
    with Prometheus(server) as client:
        buckets = client.query('warrant_request_seconds_bucket{model="steady"}')
        for q in (0.0, 0.1, 0.5, 0.9, 0.95, 1.0):
            expected = client.query(
                f'histogram_quantile({q}, warrant_request_seconds_bucket{{model="steady"}})'
            ).single
            counts = [(float(one.labels["le"]), one.value) for one in buckets.samples]
            assert quantile_of_buckets(q, counts) == pytest.approx(expected)  # type: ignore[arg-type]


def test_numbers_that_are_none_are_none(server: str) -> None:
    with Prometheus(server) as client:
        assert client.query("vector(0) / vector(0)").single is None
        assert client.query("vector(1) / vector(0)").single is None
        assert client.query("scalar(vector(7))").single == 7.0
        assert client.query("absent_metric").single is None


def test_a_wrong_query_says_what_is_wrong(server: str) -> None:
    with Prometheus(server) as client:
        with pytest.raises(QueryRefused, match="parse error"):
            client.query("sum(((")
        with pytest.raises(QueryRefused, match="one series was expected"):
            _ = client.query("warrant_requests_total").single
        with pytest.raises(QueryRefused, match="matrix"):
            client.query('warrant_requests_total{model="steady"}[1m]')


@pytest.fixture
def odd_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Answers every request with the parameter: (status, body), or hangs for None."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if request.param is None:
                closing.wait(5)
                return
            status, body = request.param
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://user:secret@127.0.0.1:{server.server_address[1]}"
    closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


WARNED = {
    "status": "success",
    "warnings": ["one store did not answer"],
    "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "3"]}]},
}
FAILED = {"status": "error", "error": "query timed out", "data": {"result": []}}


@pytest.mark.parametrize("odd_server", [(200, json.dumps(WARNED))], indirect=True)
def test_warnings_reach_the_reading(odd_server: str) -> None:
    availability, *_ = read_from_prometheus(odd_server, "m")
    assert availability.details["warnings"] == ["one store did not answer"]


@pytest.mark.parametrize(
    ("odd_server", "error", "says"),
    [
        ((200, json.dumps(FAILED)), QueryRefused, "query timed out"),
        ((200, "<html>sign in</html>"), PrometheusAway, "is not Prometheus"),
        ((500, "{}"), PrometheusAway, "answers with an error"),
        ((503, "{}"), PrometheusAway, "answers with an error"),
        (None, PrometheusAway, "does not answer"),
    ],
    indirect=["odd_server"],
)
def test_what_is_not_an_answer_is_an_error_without_the_password(
    odd_server: str, error: type[Exception], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus_module, "READ_TIMEOUT_S", 0.2)
    with Prometheus(odd_server) as client, pytest.raises(error, match=says) as raised:
        client.query("up")
    assert "secret" not in str(raised.value)


def test_quote_escapes() -> None:
    assert quote('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'


def test_a_reading_is_stored_once_and_read_by_viewers(
    database: str, gateway: tuple[GatewayMetrics, int]
) -> None:
    from backend.database.session import reading, writing
    from backend.errors import NotAllowed
    from backend.identity.actor import Actor, system_actor
    from backend.identity.roles import Role
    from backend.registry.service import register_model
    from backend.slo.service import list_readings, store_readings

    worker = system_actor("worker")
    metrics, port = gateway
    metrics.requests.labels("stored", "1", "200").inc()
    with writing() as session:
        register_model(
            session,
            worker,
            name="stored",
            title="S",
            description="",
            tier="low",
            spec={"task": "binary", "features": {"x": "numeric"}},
        )
    for _ in range(2):
        indicators = read_from_gateway(f"http://127.0.0.1:{port}", "stored")
        with writing() as session:
            store_readings(session, worker, model="stored", environment="production", indicators=indicators)
    with reading() as session:
        viewer = Actor("per_v", "person", frozenset({Role.VIEWER}))
        rows = list_readings(session, viewer, "stored", "production")
        assert [(row.name, row.source, row.unit) for row in rows] == [
            ("availability", "gateway", "share"),
            ("latency_p95", "gateway", "ms"),
            ("requests", "gateway", "requests/s"),
        ]
        assert rows[0].value == 1.0
        assert rows[1].value is None
        assert rows[1].reason == "no latency was recorded"
        with pytest.raises(NotAllowed):
            list_readings(session, Actor("per_n", "person", frozenset()), "stored", "production")

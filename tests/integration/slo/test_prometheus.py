"""Objectives counted by a real Prometheus whose history is known, beside the same traffic in the outcome log."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client import generate_latest

from backend.database.session import reading, writing
from backend.registry.service import register_model
from backend.serving.metrics import GatewayMetrics
from backend.serving.outcomes import EDGES_S
from backend.serving.tables import GatewayHour, RequestOutcome
from backend.slo import prometheus as prometheus_module
from backend.slo.burn_rates import Counts
from backend.slo.objectives import Availability, Latency, Objective, Queries, Threshold
from backend.slo.prometheus import Prometheus, PrometheusAway, QueryRefused, quote
from backend.slo.promql import events_of
from backend.slo.slots import floor_to
from backend.slo.sources import Asked, Reading
from backend.slo.sources import prometheus as source_module
from backend.slo.sources.gateway import count_requests
from backend.slo.sources.prometheus import TOO_SLOW, count_in_prometheus, selector_of
from backend.slo.windows import Rolling
from tests.prometheus import running_prometheus
from tests.requirements import require
from tests.worlds import SPEC, SYSTEM

ODD_MODEL = 'a"b\\c} or vector(1) #d'
SCRAPED_S = 15
HOURS = 2
ANSWERED = Objective(
    name="answers", model="busy", sli=Availability(), target=Decimal("0.99"), window=Rolling(720)
)
FAST = replace(ANSWERED, name="fast", sli=Latency(Decimal(250)))


class Traffic:
    """Two hours of requests that end at the edge of a minute: each second some, of which some fail or are slow. The
    gateway is restarted in the middle, and nothing fails in the first quarter of an hour."""

    def __init__(self) -> None:
        self.end = floor_to(time.time() - 60, 60)
        self.start = self.end - HOURS * 3600
        draw = random.Random(7)
        self.seconds: dict[int, Counter[tuple[str, float]]] = {}
        for second in range(self.start, self.end):
            happened: Counter[tuple[str, float]] = Counter()
            for _ in range(draw.randint(0, 6)):
                fails = second > self.start + 900 and draw.random() < 0.04
                ours = "429" if second % 2 else "503"
                code = ours if fails else draw.choice(["200", "200", "200", "422"])
                happened[code, 0.5 if draw.random() < 0.07 else 0.02] += 1
            self.seconds[second] = happened
        self.restart = self.start + 3600 + 7

    def between(self, start: int, end: int) -> Counter[tuple[str, float]]:
        found: Counter[tuple[str, float]] = Counter()
        for second in range(start, end):
            found += self.seconds[second]
        return found

    def open_metrics(self) -> str:
        """Counters as they stood at each scrape; those of the second process begin at zero."""
        requests_lines: list[str] = []
        bucket_lines: list[str] = []
        odd = ODD_MODEL.replace("\\", "\\\\").replace('"', '\\"')
        where = 'environment="production",instance="g:1",job="gateway"'
        sums: Counter[tuple[str, float]] = Counter()
        for at in range(self.start, self.end + 1, SCRAPED_S):
            began = self.restart if at > self.restart else self.start
            if at - SCRAPED_S < self.restart < at:
                sums = Counter()
            sums += self.between(max(began, at - SCRAPED_S, self.start), at)
            codes: Counter[str] = Counter()
            for (code, _), count in sums.items():
                codes[code] += count
            for code in ("200", *sorted(set(codes) - {"200"})):
                labels = f'model="busy",version="1",code="{code}",{where}'
                requests_lines.append(f"warrant_requests_total{{{labels}}} {codes[code]} {at}")
            fast = sum(count for (_, seconds), count in sums.items() if seconds < 0.25)
            for bound, count in (("0.25", fast), ("0.5", codes.total()), ("+Inf", codes.total())):
                labels = f'model="busy",version="1",le="{bound}",{where}'
                bucket_lines.append(f"warrant_request_seconds_bucket{{{labels}}} {count} {at}")
            passed = (at - self.start) // SCRAPED_S
            requests_lines.append(f'warrant_requests_total{{model="idle",code="200",{where}}} 500 {at}')
            elsewhere = where.replace("production", "staging").replace("g:1", "g:2")
            requests_lines.append(
                f'warrant_requests_total{{model="busy",code="503",{elsewhere}}} {9 * at} {at}'
            )
            requests_lines.append(f'warrant_requests_total{{model="{odd}",code="200",{where}}} {passed} {at}')
        lines = ["# TYPE warrant_requests counter"]
        lines += sorted(requests_lines, key=lambda line: line.rsplit("} ", 1)[0])
        lines.append("# TYPE warrant_request_seconds histogram")
        lines += sorted(bucket_lines, key=lambda line: line.split("} ")[0])
        return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture(scope="module")
def server(traffic: Traffic, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "history.om").write_text(traffic.open_metrics())
    subprocess.run(
        [require("promtool"), "tsdb", "create-blocks-from", "openmetrics", "history.om", "data"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    with running_prometheus(folder) as url:
        yield url


def asked(objective: Objective, traffic: Traffic) -> Asked:
    return Asked(objective.name, objective, traffic.start, traffic.end)


def ask(server: str, objective: Objective, traffic: Traffic) -> Reading:
    return count_in_prometheus(server, [asked(objective, traffic)])[objective.name]


def total_of(reading: Reading) -> Counts:
    return sum((slot.counts for slot in reading.slots), Counts())


def test_a_real_prometheus_counts_what_was_asked(server: str, traffic: Traffic) -> None:
    happened = traffic.between(traffic.start, traffic.end)
    total = happened.total()
    bad = sum(count for (code, _), count in happened.items() if code in ("503", "429"))
    lost = traffic.between(
        traffic.restart // SCRAPED_S * SCRAPED_S, traffic.restart
    ).total()  # before a last scrape
    counts = total_of(ask(server, ANSWERED, traffic))
    assert total - lost - 6 * SCRAPED_S <= counts.total <= total
    assert float(counts.bad) == pytest.approx(bad, rel=0.01)
    assert counts.observed_s == traffic.end - traffic.start
    slow = sum(count for (_, seconds), count in happened.items() if seconds > 0.25)
    assert float(total_of(ask(server, FAST, traffic)).bad) == pytest.approx(slow, rel=0.01)


def test_both_sources_agree_within_a_hundredth(server: str, traffic: Traffic, database: str) -> None:
    with writing() as session:
        register_model(session, SYSTEM, name="busy", title="Busy", description="", tier="low", spec=SPEC)
        for start in range(traffic.start, traffic.end, 60):
            happened = traffic.between(start, start + 60)
            codes: Counter[str] = Counter()
            buckets = [0] * (len(EDGES_S) + 1)
            for (code, seconds), count in happened.items():
                codes[code] += count
                buckets[9 if seconds > 0.25 else 4] += count
            at = datetime.fromtimestamp(start, UTC)
            session.add(
                RequestOutcome(
                    model="busy", environment="production", span_s=60, start=at, version="1", role="champion",
                    gateway_id="g", process="p", codes=dict(codes), kinds={}, buckets=buckets, seconds_sum=1.0,
                    updated_at=at,
                )
            )  # fmt: skip
            session.merge(
                GatewayHour(
                    environment="production", hour=at.replace(minute=0), gateway_id="g", minutes=(1 << 60) - 1
                )
            )
    for objective in (ANSWERED, FAST):
        with reading() as session:
            ours = total_of(count_requests(session, SYSTEM, asked(objective, traffic)))
        theirs = total_of(ask(server, objective, traffic))
        assert ours.error is not None
        assert theirs.error is not None
        assert float(theirs.total) == pytest.approx(ours.total, rel=0.01)
        assert float(theirs.error) == pytest.approx(float(ours.error), rel=0.01)


def test_no_request_and_no_series_are_different_and_neither_is_a_rate(server: str, traffic: Traffic) -> None:
    idle = ask(server, replace(ANSWERED, model="idle"), traffic)
    assert (total_of(idle).error, total_of(idle).observed_s) == (None, traffic.end - traffic.start)
    unknown = ask(server, replace(ANSWERED, model="nobody"), traffic)
    assert (total_of(unknown).error, total_of(unknown).observed_s) == (None, 0)
    assert "has no series" in unknown.problem


def test_label_values_stay_values(server: str, traffic: Traffic) -> None:
    found = total_of(ask(server, replace(ANSWERED, model=ODD_MODEL), traffic))
    assert found.total == HOURS * 3600 / SCRAPED_S


def test_own_queries_are_counted_by_five_minutes(server: str, traffic: Traffic) -> None:
    def own(**queries: str | bool) -> Objective:
        return replace(ANSWERED, name="own", sli=Queries(**queries))  # type: ignore[arg-type]

    chosen = 'warrant_requests_total{model="busy",environment="production"}'
    failed = 'warrant_requests_total{model="busy",environment="production",code=~"5..|429"}'
    total, bad = f"sum(rate({chosen}[{{{{.window}}}}]))", f"sum(rate({failed}[{{{{.window}}}}]))"
    rates = total_of(ask(server, own(total=total, bad=bad), traffic))
    exact = total_of(ask(server, ANSWERED, traffic))
    assert rates.total == pytest.approx(exact.total, rel=0.05)
    assert float(rates.error or 0) == pytest.approx(float(exact.error or 0), rel=0.05)
    raw = total_of(ask(server, own(raw=f"({bad}) / ({total})", raw_type="failure"), traffic))
    assert float(raw.error or 0) == pytest.approx(float(exact.error or 0), rel=0.2)
    assert ask(server, own(total=chosen, good=chosen), traffic).problem  # several series
    more = ask(server, own(total=bad, good=total), traffic)  # more good than there are events
    assert "are left out" in more.problem
    looks = replace(ANSWERED, sli=Threshold(f"sum(rate({chosen}[{{{{.window}}}}]))", "lte", Decimal(10**6)))
    found = total_of(ask(server, looks, traffic))
    assert found.good == found.total > 100
    refused = ask(server, own(total="sum(((", good="up"), traffic)
    assert "parse error" in refused.problem
    assert refused.slots == ()


def test_what_is_counted_of_own_queries_is_what_the_rules_for_prometheus_count(
    server: str, traffic: Traffic
) -> None:
    """One meaning of a query: a counter without a window is its rate, another number is looked at every minute."""
    chosen = 'sum(warrant_requests_total{model="busy"})'
    failed = 'sum(warrant_requests_total{model="busy",code=~"5..|429"})'
    at = traffic.end // 300 * 300
    for sli, scale in (
        (Queries(total=chosen, bad=failed, counter=True), 300),
        (Queries(total=f"0 * {chosen} + 4", good=f"0 * {chosen} + 1"), 1),
    ):
        objective = replace(ANSWERED, name="own", sli=sli)
        (slot,) = [one for one in ask(server, objective, traffic).slots if one.end_s == at]
        events = events_of(objective)
        assert events.total is not None
        assert events.bad is not None
        with Prometheus(server) as client:
            total, bad = (
                client.query_range(query("5m"), start_s=at, end_s=at + 60, step_s=300).series[0].points[at]
                for query in (events.total, events.bad)
            )
        assert slot.counts.total == pytest.approx(total * scale)
        assert float(slot.counts.bad) == pytest.approx(bad * scale)
    assert slot.counts.total >= 5 * 4, "a look at every minute, each of which says 4"


def test_a_long_time_is_asked_for_in_parts(
    server: str, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus_module, "MOST_POINTS", 50)
    with Prometheus(server) as client:
        answer = client.query_range("vector(1)", start_s=traffic.start, end_s=traffic.end, step_s=60)
    assert [len(one.points) for one in answer.series] == [HOURS * 60 + 1]


def test_the_gateway_exports_the_series_that_are_read() -> None:
    metrics = GatewayMetrics("production")
    metrics.requests.labels("m", "1", "champion", "200").inc()
    metrics.seconds.labels("m", "1", "champion").observe(0.1)
    text = generate_latest(metrics.registry).decode()
    assert 'warrant_requests_total{code="200",environment="production",model="m"' in text
    assert 'warrant_request_seconds_bucket{environment="production",le="0.25",model="m"' in text
    assert (
        selector_of(FAST)
        == 'warrant_request_seconds_bucket{model="busy",environment="production",le=~"0\\\\.25|\\\\+Inf"}'
    )


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
            client.query('warrant_requests_total{model="busy"}[1m]')


@pytest.fixture
def odd_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Answers every request with the parameter: (status, body), or hangs for None; in drops for the status 0; what asks
    for `slow` alone is not answered with the status 1."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if request.param is None:
                closing.wait(5)
                return
            status, body = request.param
            if status == 1 and "slow" in self.path:
                closing.wait(5)
                return
            self.send_response(max(status, 200))
            self.end_headers()
            with suppress(OSError):
                while status == 0 and not closing.wait(0.05):
                    self.wfile.write(b" ")
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
    "data": {"resultType": "matrix", "result": []},
}
FAILED = {"status": "error", "error": "query timed out", "data": {"result": []}}


@pytest.mark.parametrize("odd_server", [(200, json.dumps(WARNED))], indirect=True)
def test_warnings_reach_the_reading(odd_server: str, traffic: Traffic) -> None:
    assert ask(odd_server, ANSWERED, traffic).problem == "one store did not answer"


def matrix(result: object) -> tuple[int, str]:
    return 200, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})


@pytest.mark.parametrize(
    "odd_server",
    [
        matrix([{"metric": {}, "histograms": [[1, {"count": "7"}]]}]),
        matrix(None),
        matrix([{"metric": {}, "values": [[1, "many"]]}]),
    ],
    indirect=True,
)
def test_an_answer_that_is_no_series_of_numbers_is_the_problem_of_its_own_objective(
    odd_server: str, traffic: Traffic
) -> None:
    reading = ask(odd_server, ANSWERED, traffic)
    assert reading.slots == ()
    assert "no series of numbers" in reading.problem
    with Prometheus(odd_server) as client, pytest.raises(QueryRefused):
        client.query("up")


@pytest.mark.parametrize("odd_server", [(503, "{}"), (200, "<html>sign in</html>"), None], indirect=True)
def test_a_server_that_is_away_is_asked_once_and_counts_nothing(
    odd_server: str, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus_module, "READ_TIMEOUT_S", 0.2)
    wanted = [replace(asked(ANSWERED, traffic), key=str(number)) for number in range(50)]
    found = count_in_prometheus(odd_server, wanted)
    assert {(one.slots, one.problem) for one in found.values()} == {((), found["0"].problem)}
    assert found["0"].problem
    assert "secret" not in found["0"].problem


@pytest.mark.parametrize(
    ("odd_server", "error", "says"),
    [
        ((200, json.dumps(FAILED)), QueryRefused, "query timed out"),
        ((200, "<html>sign in</html>"), PrometheusAway, "is not Prometheus"),
        ((500, "{}"), PrometheusAway, "answers with an error"),
        ((503, "{}"), PrometheusAway, "answers with an error"),
        (None, PrometheusAway, "does not answer"),
        ((0, ""), PrometheusAway, "does not answer"),
        ((401, "Unauthorized"), PrometheusAway, "write user and password"),
        ((404, "404 page not found"), PrometheusAway, "is not Prometheus"),
        ((422, json.dumps({"status": "error", "error": "too many samples"})), QueryRefused, "many samples"),
        ((400, json.dumps({"status": "error", "error": "x" * 100_000})), QueryRefused, "^.{1,400}$"),
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


NOTHING = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}})


@pytest.mark.parametrize("odd_server", [(1, NOTHING)], indirect=True)
def test_a_query_that_is_not_answered_is_the_problem_of_its_own_objective(
    odd_server: str, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus_module, "READ_TIMEOUT_S", 0.3)
    slow = replace(ANSWERED, name="slow", sli=Threshold("slow", "lte", Decimal(1)))
    quick = replace(ANSWERED, name="quick", sli=Threshold("quick", "lte", Decimal(1)))
    wanted = [asked(one, traffic) for one in (slow, ANSWERED, quick)]
    found = count_in_prometheus(odd_server, wanted)
    assert "does not answer" in found["slow"].problem
    assert "has no series" in found["answers"].problem
    assert found["quick"].slots
    monkeypatch.setattr(source_module, "OWN_QUERIES_S", 0.0)
    late = count_in_prometheus(odd_server, wanted)
    assert ("has no series" in late["answers"].problem, late["quick"].problem) == (True, TOO_SLOW)


@pytest.mark.parametrize("odd_server", [(200, " " * 5000)], indirect=True)
def test_an_answer_that_is_too_large_is_refused(odd_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_module, "LARGEST_ANSWER", 1000)
    with Prometheus(odd_server) as client, pytest.raises(QueryRefused, match="ask for fewer series"):
        client.query("up")


def test_quote_escapes() -> None:
    assert quote('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'

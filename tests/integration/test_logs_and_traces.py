"""From a request over the job that it asks for: the same ids in the log lines and in the trace."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from backend import tracing
from backend.database.session import reading, writing
from backend.logs import FIELDS, about, configure_logging, known_fields
from backend.queue import COMPUTE_METRICS, JobRun, request_job
from backend.serving.client import carried_headers
from backend.settings import settings
from jobs.runtime import Run, _told

ROOT = Path(__file__).resolve().parents[2]
REQUEST_ID = "req_0123456789abcdef0123"


@pytest.fixture
def lines(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What this process logs, as JSON."""
    monkeypatch.setenv("WARRANT_LOG_FORMAT", "json")
    settings.cache_clear()
    before, level = logging.root.handlers[:], logging.root.level
    stream = io.StringIO()
    logging.root.handlers[:] = []
    configure_logging("worker", stream=stream)
    yield stream
    logging.root.handlers[:] = before
    logging.root.setLevel(level)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.start_tracing("test", exporter)
    yield exporter
    tracing.stop_tracing()


def ask() -> str:
    """A request of the API asks for a job; gives the run."""
    with (
        about(request_id=REQUEST_ID),
        tracing.span("POST /api/v1/changes", kind="server"),
        writing() as session,
    ):
        return request_job(session, COMPUTE_METRICS, subject="CHG-3").id


def run_of(run_id: str) -> Run:
    with reading() as session:
        row = session.get_one(JobRun, run_id)
    return Run(COMPUTE_METRICS, row.id, row.subject, {}, None, "w", 1, "token", row.context)


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_lines_of_a_job_name_the_request_and_the_change(migrated_home: Path, lines: io.StringIO) -> None:
    run_id = ask()
    with _told(run_of(run_id)):
        logging.getLogger("warrant.jobs").warning("it goes on\nand on at postgresql://a:secret@h/d")
    (line,) = logged(lines)
    assert {name: line[name] for name in ("request_id", "run", "job", "change", "process", "level")} == {
        "request_id": REQUEST_ID, "run": run_id, "job": "compute_metrics", "change": "CHG-3", "process": "worker",
        "level": "WARNING",
    }  # fmt: skip
    assert "secret" not in lines.getvalue()
    assert known_fields() == {}


def test_a_failure_is_one_line_with_its_traceback(lines: io.StringIO) -> None:
    try:
        raise ValueError("https://a:secret@h/x")  # noqa: TRY301
    except ValueError:
        logging.getLogger("x").exception("it failed")
    (line,) = logged(lines)
    assert "ValueError" in line["exception"] and "secret" not in line["exception"]
    assert set(line) <= set(FIELDS)


def test_the_page_of_operations_has_every_field() -> None:
    text = (ROOT / "docs" / "operations.md").read_text().split("## Logs and traces")[1].split("\n## ")[0]
    for name, meaning in FIELDS.items():
        assert f"| `{name}` | {meaning} |" in text


def test_one_trace_from_the_request_over_the_job_to_the_gateway(
    migrated_home: Path, spans: InMemorySpanExporter
) -> None:
    run_id = ask()
    with _told(run_of(run_id)):
        headers = carried_headers()
        with tracing.continued(headers), tracing.span("gateway smoke", kind="server"):
            pass
    assert headers["X-Request-ID"] == REQUEST_ID
    found = {one.name: one for one in spans.get_finished_spans()}
    assert set(found) == {"POST /api/v1/changes", "job compute_metrics", "gateway smoke"}
    assert len({one.context.trace_id for one in found.values() if one.context}) == 1
    parent, asked = found["job compute_metrics"].parent, found["POST /api/v1/changes"].context
    assert parent is not None and asked is not None and parent.span_id == asked.span_id


def test_nothing_is_traced_where_nobody_wants_it(
    migrated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in tracing.WHERE:
        monkeypatch.delenv(name, raising=False)
    tracing.start_tracing("test")
    with reading() as session:
        assert session.get_one(JobRun, ask()).context == {"request_id": REQUEST_ID}
    monkeypatch.setenv(tracing.WHERE[1], "http://127.0.0.1:1")
    assert tracing.is_wanted()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not tracing.is_wanted()


class Collector(BaseHTTPRequestHandler):
    taken: list[tuple[str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).taken.append((self.path, dict(self.headers), body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing: the test looks at what was taken."""


def test_spans_go_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    Collector.taken = []
    server = HTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
    tracing.start_tracing("console")
    with tracing.span("GET /", request_id=REQUEST_ID):
        pass
    tracing.stop_tracing()
    server.shutdown()
    server.server_close()
    ((path, headers, body),) = Collector.taken
    assert path == "/v1/traces"
    assert {name.lower(): value for name, value in headers.items()}["authorization"] == "Bearer abc"
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert {one.key: one.value.string_value for one in resource.resource.attributes}[
        "service.name"
    ] == "warrant-console"
    (sent,) = resource.scope_spans[0].spans
    assert (sent.name, len(sent.trace_id), sent.attributes[0].value.string_value) == ("GET /", 16, REQUEST_ID)


def test_a_collector_that_is_away_costs_a_line_and_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    tracing.start_tracing("console")
    with tracing.span("GET /"):
        pass
    tracing.stop_tracing()
    assert "spans were not taken: ConnectError" in caplog.text

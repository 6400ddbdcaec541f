"""Spans to a collector by OTLP over HTTP (protobuf), as the OpenTelemetry specification has it.

MLflow brings the SDK and the messages; the exporter that goes with them would be one more package to pin.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = logging.getLogger("warrant.tracing")
TIMEOUT_S: Final = 10.0


class OtlpExporter(SpanExporter):
    """Posts spans. A collector that is away costs spans and a line of the log, never a request or a job."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._client = httpx.Client(headers=dict(headers), timeout=timeout_s)

    @classmethod
    def from_environment(cls) -> OtlpExporter:
        """By the variables of the specification; the address of all signals gets `/v1/traces`."""
        env = os.environ
        everything = env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
        url = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or f"{everything}/v1/traces"
        said = env.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or env.get("OTEL_EXPORTER_OTLP_HEADERS", "")
        pairs = (one.partition("=") for one in said.split(",") if "=" in one)
        timeout_s = float(env.get("OTEL_EXPORTER_OTLP_TIMEOUT", TIMEOUT_S * 1000)) / 1000
        return cls(url, {name.strip(): unquote(value.strip()) for name, _, value in pairs}, timeout_s)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            answer = self._client.post(
                self._url, content=encoded(spans), headers={"Content-Type": "application/x-protobuf"}
            )
        except httpx.HTTPError as error:
            log.warning("%d spans were not taken: %s", len(spans), type(error).__name__)
            return SpanExportResult.FAILURE
        if answer.status_code >= 300:
            log.warning("%d spans were not taken: the collector answers %d", len(spans), answer.status_code)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._client.close()


def encoded(spans: Sequence[ReadableSpan]) -> bytes:
    """The message `ExportTraceServiceRequest` of spans of one process."""
    request = ExportTraceServiceRequest()
    if spans:
        resource = ResourceSpans(scope_spans=[ScopeSpans(spans=[_span(one) for one in spans])])
        resource.resource.attributes.extend(_attributes(spans[0].resource.attributes))
        resource.scope_spans[0].scope.name = "warrant"
        request.resource_spans.append(resource)
    return bytes(request.SerializeToString())


def _span(one: ReadableSpan) -> Span:
    context, parent = one.context, one.parent
    if context is None:
        raise ValueError(f"the span {one.name} was never begun")
    return Span(
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        parent_span_id=parent.span_id.to_bytes(8, "big") if parent is not None else b"",
        name=one.name,
        kind=Span.SpanKind.ValueType(one.kind.value + 1),
        start_time_unix_nano=one.start_time or 0,
        end_time_unix_nano=one.end_time or 0,
        attributes=_attributes(one.attributes),
        status=Status(code=Status.StatusCode.ValueType(one.status.status_code.value)),
    )


def _attributes(given: Mapping[str, Any] | None) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in (given or {}).items()]


def _value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=str(value))

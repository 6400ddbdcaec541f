"""Traces by OpenTelemetry, from a request over the job that it asks for to the gateway. Off unless the environment says
where they go (`OTEL_EXPORTER_OTLP_ENDPOINT`, or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`).

    start_tracing("console")
    with span("POST /api/v1/changes", kind="server"):
        request_job(...)                     # the run keeps `trace_carrier()`
    with continued(run.context), span("job execute_change"):
        ...

Nothing of OpenTelemetry is imported where it is off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

from backend.logs import about

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

WHERE: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
Kind = Literal["server", "client", "producer", "consumer", "internal"]

_tracer: Any = None
_provider: Any = None


def is_wanted() -> bool:
    """Whether the environment says where traces go, and does not switch them off."""
    off = (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    return not off and any(os.environ.get(name) for name in WHERE)


def start_tracing(process: str, exporter: SpanExporter | None = None) -> None:
    """Export the spans of this process from here on; nothing happens where nobody wants them."""
    global _tracer, _provider
    if exporter is None and not is_wanted():
        return
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    service = os.environ.get("OTEL_SERVICE_NAME") or f"warrant-{process}"
    _provider = TracerProvider(resource=Resource.create({"service.name": service}))
    if exporter is None:
        from backend.otlp import OtlpExporter

        _provider.add_span_processor(BatchSpanProcessor(OtlpExporter.from_environment()))
    else:
        _provider.add_span_processor(SimpleSpanProcessor(exporter))
    _tracer = _provider.get_tracer("warrant")


def stop_tracing() -> None:
    """Send what is left, and trace nothing more."""
    global _tracer, _provider
    if _provider is not None:
        _provider.shutdown()
    _tracer = _provider = None


@contextmanager
def span(name: str, *, kind: Kind = "internal", **attributes: str | int | None) -> Iterator[None]:
    """A span of this name around the block; an exception is recorded and goes on."""
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import SpanKind, format_trace_id

    known = {key.replace("__", "."): value for key, value in attributes.items() if value is not None}
    with (
        _tracer.start_as_current_span(name, kind=SpanKind[kind.upper()], attributes=known) as begun,
        about(trace_id=format_trace_id(begun.get_span_context().trace_id)),
    ):
        yield


def trace_carrier() -> dict[str, str]:
    """The present span as W3C Trace Context, for whoever goes on with it: `traceparent`, or nothing."""
    if _tracer is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier


@contextmanager
def continued(carrier: Mapping[str, str] | None) -> Iterator[None]:
    """Spans inside belong to the trace of `carrier`, if it has one."""
    if _tracer is None or not carrier or "traceparent" not in carrier:
        yield
        return
    from opentelemetry import context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    token = context.attach(TraceContextTextMapPropagator().extract(dict(carrier)))
    try:
        yield
    finally:
        context.detach(token)

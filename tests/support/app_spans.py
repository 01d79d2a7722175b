"""Spans as applications with an OpenTelemetry SDK send them, and the way of such a request into a store."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from meshwise.store import otlp

_numbers = itertools.count(1)


def new_id(size: int) -> bytes:
    """An id of ``size`` bytes that no other call returned."""
    return next(_numbers).to_bytes(size, "big")


@dataclass
class AppSpan:
    """One span: ``start`` and ``duration`` in seconds, ``kind`` a word of OTLP such as ``CLIENT``."""

    service: str
    kind: str
    start: float
    duration: float = 0.1
    trace: bytes = field(default_factory=lambda: new_id(16))
    parent: bytes = b""
    span: bytes = field(default_factory=lambda: new_id(8))
    failed: bool = False
    state: str = ""
    scope: str = "an application"
    links: tuple[AppSpan, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)

    def child(self, service: str, kind: str, **fields: Any) -> AppSpan:
        """A span that this one caused, a little later and a little shorter unless told otherwise."""
        chosen = {"start": self.start + 0.001, "duration": self.duration / 2, **fields}
        return AppSpan(service, kind, trace=self.trace, parent=self.span, **chosen)


def request_of(spans: Iterable[AppSpan]) -> ExportTraceServiceRequest:
    """The export request that carries ``spans``."""
    request = ExportTraceServiceRequest()
    for one in spans:
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = one.service
        scope = group.scope_spans.add()
        scope.scope.name = one.scope
        span = scope.spans.add(
            trace_id=one.trace,
            span_id=one.span,
            parent_span_id=one.parent,
            trace_state=one.state,
            name="a call",
            kind=OtlpSpan.SpanKind.Value(f"SPAN_KIND_{one.kind}"),
            start_time_unix_nano=round(one.start * 1e9),
            end_time_unix_nano=round((one.start + one.duration) * 1e9),
        )
        if one.failed:
            span.status.code = Status.STATUS_CODE_ERROR
        for link in one.links:
            span.links.add(trace_id=link.trace, span_id=link.span)
        for key, value in one.attributes.items():
            entry = span.attributes.add(key=key).value
            if isinstance(value, int):
                entry.int_value = value
            else:
                entry.string_value = value
    return request


def send_spans(client: Any, *spans: AppSpan) -> None:
    """Put ``spans`` into the store of ``client``, as the collector would."""
    settings = otlp.insert_settings("traces", f"app-spans/{next(_numbers)}")
    client.raw_insert(
        otlp.LANDING_TABLES["traces"],
        insert_block=request_of(spans).SerializeToString(),
        fmt=otlp.FORMAT,
        settings=settings,
    )

"""OTLP requests for tests, built from the published messages: what an exporter would send."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA


def span_id(number: int) -> bytes:
    """A span id that carries ``number``."""
    return b"\x01" + number.to_bytes(7, "big")


def traces(
    numbers: Iterable[int],
    *,
    service: str = "shop",
    start_ns: int | None = None,
    attributes: Mapping[str, str] | None = None,
) -> ExportTraceServiceRequest:
    """One span per number, its span id carrying the number, all of one ``service``."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    scope = group.scope_spans.add()
    scope.scope.name = "tests"
    start = time.time_ns() if start_ns is None else start_ns
    for number in numbers:
        span = scope.spans.add(
            trace_id=b"\x02" + number.to_bytes(15, "big"),
            span_id=span_id(number),
            name=f"span {number}",
            start_time_unix_nano=start,
            end_time_unix_nano=start + 1_000_000,
        )
        for key, value in (attributes or {}).items():
            span.attributes.add(key=key).value.string_value = value
    return request


def sums(
    values: Iterable[int], *, service: str = "shop", name: str = "requests", at_ns: int | None = None
) -> ExportMetricsServiceRequest:
    """A delta sum with one data point per value."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    metric = group.scope_metrics.add().metrics.add(name=name, unit="1")
    metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_DELTA
    metric.sum.is_monotonic = True
    at = time.time_ns() if at_ns is None else at_ns
    for value in values:
        metric.sum.data_points.add(start_time_unix_nano=at - 1_000_000_000, time_unix_nano=at, as_int=value)
    return request


def logs(bodies: Iterable[str], *, service: str = "shop", at_ns: int | None = None) -> ExportLogsServiceRequest:
    """One log record per body."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    scope = group.scope_logs.add()
    at = time.time_ns() if at_ns is None else at_ns
    for body in bodies:
        scope.log_records.add(time_unix_nano=at, observed_time_unix_nano=at).body.string_value = body
    return request

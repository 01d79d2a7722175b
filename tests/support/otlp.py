"""OTLP requests for tests, built from the published messages: what an exporter would send."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from meshwise.contracts import telemetry


def span_id(number: int) -> bytes:
    """A span id that carries ``number``."""
    return b"\x01" + number.to_bytes(7, "big")


def traces(
    numbers: Iterable[int],
    *,
    service: str = "shop",
    start_ns: int | None = None,
    attributes: Mapping[str, str] | None = None,
    kind: Span.SpanKind.ValueType = Span.SPAN_KIND_UNSPECIFIED,
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
            kind=kind,
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


def put(attributes: Any, **values: Any) -> None:
    """Append attributes, dots spelled as double underscores."""
    for key, value in values.items():
        entry = attributes.add(key=key.replace("__", "."))
        match value:
            case bool():
                entry.value.bool_value = value
            case int():
                entry.value.int_value = value
            case float():
                entry.value.double_value = value
            case bytes():
                entry.value.bytes_value = value
            case str():
                entry.value.string_value = value


def edge_metrics(instance: str, start_ns: int, *, is_delta: bool = True) -> ExportMetricsServiceRequest:
    """What the proxy ``instance`` of front counts in five seconds: seven requests to back, their attempts and times."""
    temporality = AGGREGATION_TEMPORALITY_DELTA if is_delta else AGGREGATION_TEMPORALITY_CUMULATIVE
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    put(resource.resource.attributes, service__name="front", service__instance__id=instance)
    scoped = resource.scope_metrics.add()
    scoped.scope.name = telemetry.SCOPE
    labels = {
        telemetry.SOURCE: "front", telemetry.DESTINATION: "back", telemetry.ROUTE: "/a/{id}", telemetry.METHOD: "GET",
        telemetry.SIDE: "client",
    }  # fmt: skip
    for name, value in (
        (telemetry.METRIC_REQUESTS, 7), (telemetry.METRIC_ATTEMPTS, 9), (telemetry.METRIC_RETRIES, 2),
        (telemetry.METRIC_RETRIES_DENIED, 1), (telemetry.METRIC_EJECTIONS, 50),
    ):  # fmt: skip
        metric = scoped.metrics.add(name=name)
        metric.sum.aggregation_temporality, metric.sum.is_monotonic = temporality, True
        point = metric.sum.data_points.add(
            as_int=value, start_time_unix_nano=start_ns, time_unix_nano=start_ns + 5 * 10**9
        )
        put(point.attributes, **{**labels, telemetry.OUTCOME: "ok", telemetry.POLICY_VERSION: 4})
    metric = scoped.metrics.add(name=telemetry.METRIC_DURATION)
    metric.exponential_histogram.aggregation_temporality = temporality
    histogram = metric.exponential_histogram.data_points.add(
        scale=4, zero_count=1, count=7, start_time_unix_nano=start_ns, time_unix_nano=start_ns + 5 * 10**9
    )
    histogram.positive.offset = -64
    histogram.positive.bucket_counts.extend([2, 0, 4])
    put(histogram.attributes, **{**labels, telemetry.OUTCOME: "ok", telemetry.POLICY_VERSION: 4})
    return request

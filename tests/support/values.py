"""Attribute values of every kind, and requests that carry them wherever OTLP has attributes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

VALUES: Final[Mapping[str, tuple[Any, str]]] = {
    "text": ("x", "x"),
    "empty text": ("", ""),
    "zero": (0, "0"),
    "false": (False, "false"),
    "half": (0.5, "0.5"),
    "nothing": (None, ""),
    "bytes": (b"\x00\xff", "AP8="),
    "list": (['a"ü', 0, False, 1.0, None, b"\x00\xff"], '["a\\"ü",0,false,1,null,"AP8="]'),
    "nested list": ([[7, [True, []]], {}], "[[7,[true,[]]],{}]"),
    "map": ({"z": 1.5, "a": {"deep": ["x", {"deeper": 0}]}}, '{"a":{"deep":["x",{"deeper":0}]},"z":1.5}'),
    "empty list": ([], "[]"),
    "empty map": ({}, "{}"),
    "no numbers": ([math.nan, math.inf, -math.inf], '["NaN","Infinity","-Infinity"]'),
    "small and large": ([1e-7, 0.00002, 1e21], "[1e-7,0.00002,1e+21]"),
}
"""By name: what a value is, None for one without a kind, and how the tables spell it."""
SPELLED: Final = {name: text for name, (_, text) in VALUES.items()}


def fill(value: AnyValue, content: Any) -> None:
    """Set ``value`` to what ``content`` is in OTLP."""
    match content:
        case None:
            pass
        case bool():
            value.bool_value = content
        case int():
            value.int_value = content
        case float():
            value.double_value = content
        case str():
            value.string_value = content
        case bytes():
            value.bytes_value = content
        case list():
            value.array_value.SetInParent()
            for one in content:
                fill(value.array_value.values.add(), one)
        case dict():
            value.kvlist_value.SetInParent()
            for key, one in content.items():
                fill(value.kvlist_value.values.add(key=key).value, one)


def put_all(attributes: Any) -> None:
    """Append an attribute of every kind."""
    for name, (content, _) in VALUES.items():
        fill(attributes.add(key=name).value, content)


def spans(service: str) -> ExportTraceServiceRequest:
    """A span whose resource, event and link, too, carry every value."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    scope = group.scope_spans.add()
    now = time.time_ns()
    span = scope.spans.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, start_time_unix_nano=now, end_time_unix_nano=now)
    event = span.events.add(name="event", time_unix_nano=now)
    link = span.links.add(trace_id=b"\x03" * 16, span_id=b"\x04" * 8)
    for holder in (group.resource, scope.scope, span, event, link):
        put_all(holder.attributes)
    return request


def logs(service: str) -> ExportLogsServiceRequest:
    """A record for every value: it is the body; resource, scope and record carry every value as well."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    scope = group.scope_logs.add()
    put_all(group.resource.attributes)
    put_all(scope.scope.attributes)
    for name, (content, _) in VALUES.items():
        record = scope.log_records.add(time_unix_nano=time.time_ns(), event_name=name)
        fill(record.body, content)
        put_all(record.attributes)
    return request


def metrics(service: str) -> ExportMetricsServiceRequest:
    """A point of every kind of metric; each, its exemplar, resource and scope carry every value."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    scope = group.scope_metrics.add()
    put_all(group.resource.attributes)
    put_all(scope.scope.attributes)
    now = time.time_ns()
    for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
        point = getattr(scope.metrics.add(name=kind), kind).data_points.add(time_unix_nano=now)
        put_all(point.attributes)
        if kind != "summary":
            put_all(point.exemplars.add(time_unix_nano=now).filtered_attributes)
    return request

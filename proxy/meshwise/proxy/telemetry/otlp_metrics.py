"""Metric windows → ``ExportMetricsServiceRequest`` bytes. Field numbers: ``opentelemetry/proto/metrics/v1`` 1.11."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from meshwise.contracts import telemetry as names
from meshwise.contracts.histogram import SCALE, ZERO_BUCKET
from meshwise.proxy.telemetry.metrics import Histogram, RequestSeries, Sum
from meshwise.proxy.telemetry.wire import nested, pairs, utf8, varint, zigzag

UNITS: Final = {
    names.METRIC_REQUESTS: "{request}",
    names.METRIC_ATTEMPTS: "{attempt}",
    names.METRIC_DURATION: "s",
    names.METRIC_RETRIES: "{attempt}",
    names.METRIC_RETRIES_DENIED: "{attempt}",
    names.METRIC_SHADOW_ATTEMPTS: "{attempt}",
    names.METRIC_EJECTIONS: "{endpoint}",
    names.METRIC_IN_FLIGHT: "{request}",
    names.METRIC_TELEMETRY_DROPPED: "{record}",
}
GAUGES: Final = frozenset({names.METRIC_IN_FLIGHT})

_DELTA: Final = b"\x10\x01"
_MONOTONIC: Final = b"\x18\x01"

_pack_times: Final = struct.Struct("<cQcQ").pack
_pack_fixed64: Final = struct.Struct("<cQ").pack
_pack_int: Final = struct.Struct("<cq").pack
_pack_double: Final = struct.Struct("<cd").pack


def encode_points(points: Sequence[Sum | Histogram], start_ns: int, end_ns: int) -> list[bytes]:
    """Return the points of one interval as ``Metric`` fields of ``ScopeMetrics``; neighbours of a metric share one."""
    return [metric(name, group, start_ns, end_ns) for name, group in groupby(points, lambda point: point.metric)]


def metric(name: str, points: Iterable[Sum | Histogram], start_ns: int, end_ns: int) -> bytes:
    """Return one ``Metric`` with ``points``, all of the one kind that ``name`` stands for."""
    histogram = False
    data = []
    for point in points:
        if isinstance(point, Histogram):
            histogram = True
            data.append(nested(b"\x0a", _histogram_point(point, start_ns, end_ns)))
        else:
            data.append(nested(b"\x0a", _number_point(point, start_ns, end_ns)))
    body = b"".join(data)
    if histogram:
        kind = nested(b"\x52", body + _DELTA)
    elif name in GAUGES:
        kind = nested(b"\x2a", body)
    else:
        kind = nested(b"\x3a", body + _DELTA + _MONOTONIC)
    head = nested(b"\x0a", utf8(name)) + nested(b"\x1a", UNITS.get(name, "1").encode())
    return nested(b"\x12", head + kind)


def _number_point(point: Sum, start_ns: int, end_ns: int) -> bytes:
    times = _pack_times(b"\x11", start_ns, b"\x19", end_ns)
    return times + _pack_int(b"\x31", point.value) + pairs(b"\x3a", point.attributes)


def _histogram_point(point: Histogram, start_ns: int, end_ns: int) -> bytes:
    series = point.series
    parts = [
        pairs(b"\x0a", point.attributes),
        _pack_times(b"\x11", start_ns, b"\x19", end_ns),
        _pack_fixed64(b"\x21", series.count),
        _pack_double(b"\x29", series.total),
        b"\x30" + zigzag(SCALE),
        _pack_fixed64(b"\x39", series.buckets.get(ZERO_BUCKET, 0)),
        nested(b"\x42", _buckets(series.buckets)),
        _pack_double(b"\x61", series.minimum),
        _pack_double(b"\x69", series.maximum),
    ]
    if series.exemplar_trace:
        parts.append(nested(b"\x5a", _exemplar(series)))
    return b"".join(parts)


def _buckets(counts: Mapping[int, int]) -> bytes:
    """Return a ``Buckets`` message: the offset and every count from the first to the last bucket that holds any."""
    held = [index for index in counts if index != ZERO_BUCKET]
    if not held:
        return b""
    first, last = min(held), max(held)
    packed = b"".join([varint(counts.get(index, 0)) for index in range(first, last + 1)])
    return b"\x08" + zigzag(first) + nested(b"\x12", packed)


def _exemplar(series: RequestSeries) -> bytes:
    parts = _pack_fixed64(b"\x11", series.exemplar_ns) + _pack_double(b"\x19", series.maximum)
    if series.exemplar_span:
        parts += nested(b"\x22", series.exemplar_span)
    return parts + nested(b"\x2a", series.exemplar_trace)

"""What is wrong with one span, log record or data point. Each check returns a problem, or nothing, or ``SKEWED``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint, HistogramDataPoint, Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

NO_TRACE: Final = bytes(16)
NO_SPAN: Final = bytes(8)
LATEST_NS: Final = 2**63
"""Times from here on do not fit the signed nanoseconds that tables keep."""
SKEWED: Final = "the time cannot be right"
"""What a check says of an item with which nothing is wrong but its time: it is stored all the same (``skew``)."""
SCALES: Final = range(-11, 21)
"""Scales at which an exponential histogram still means something: below, one bucket holds every number."""


@dataclass(frozen=True, slots=True)
class ItemLimits:
    """Limits of one item: ``attributes`` a count, the next two bytes (``attribute``: key and value).

    Times outside ``(oldest, newest)``, in Unix nanoseconds, cannot be right.
    """

    attributes: int = 1024
    attribute: int = 256 * 1024
    item: int = 4 * 1024 * 1024
    oldest: int = 0
    newest: int = LATEST_NS


def span_problem(span: Span, limits: ItemLimits) -> str | None:
    """Check ids, times and attribute count of a span."""
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or trace_id == NO_TRACE:
        return "trace_id must be 16 bytes, not all zero"
    if len(span_id) != 8 or span_id == NO_SPAN:
        return "span_id must be 8 bytes, not all zero"
    # One comparison finds both what is no time and what cannot be right; which it was is asked afterwards.
    timely = limits.oldest < span.start_time_unix_nano <= span.end_time_unix_nano < limits.newest
    if not timely and not 0 < span.start_time_unix_nano <= span.end_time_unix_nano < LATEST_NS:
        return "start and end time must be set, in this order and before the year 2262"
    if len(span.attributes) > limits.attributes:
        return f"more than {limits.attributes} attributes"
    return None if timely else SKEWED


def sound_spans(spans: Iterable[Span], limits: ItemLimits) -> int | None:
    """Return how many ``spans`` there are if ``span_problem`` finds nothing with any, for half its time; else None."""
    oldest, newest, most = limits.oldest, limits.newest, limits.attributes
    count = 0
    for count, span in enumerate(spans, 1):  # noqa: B007 - the last one is how many there are
        trace_id, span_id = span.trace_id, span.span_id
        if (
            len(trace_id) != 16
            or len(span_id) != 8
            or trace_id == NO_TRACE
            or span_id == NO_SPAN
            or not oldest < span.start_time_unix_nano <= span.end_time_unix_nano < newest
            or len(span.attributes) > most
        ):
            return None
    return count


def log_problem(record: LogRecord, limits: ItemLimits) -> str | None:
    """Check ids (optional, but whole), times and attribute count of a log record."""
    trace_id, span_id = record.trace_id, record.span_id
    if trace_id and len(trace_id) != 16:
        return "trace_id must be 16 bytes or absent"
    if span_id and len(span_id) != 8:
        return "span_id must be 8 bytes or absent"
    at = record.time_unix_nano or record.observed_time_unix_nano
    timely = limits.oldest < at < limits.newest
    if not timely and not 0 < at < LATEST_NS:
        return "time or observed time must be set and before the year 2262"
    if len(record.attributes) > limits.attributes:
        return f"more than {limits.attributes} attributes"
    return None if timely else SKEWED


def point_problem(point: Any, limits: ItemLimits) -> str | None:
    """Check time, attribute count and, for histograms, that the buckets mean something."""
    timely = limits.oldest < point.time_unix_nano < limits.newest
    if not timely and not 0 < point.time_unix_nano < LATEST_NS:
        return "time must be set and before the year 2262"
    if len(point.attributes) > limits.attributes:
        return f"more than {limits.attributes} attributes"
    if isinstance(point, HistogramDataPoint) and (problem := _histogram_problem(point)) is not None:
        return problem
    if isinstance(point, ExponentialHistogramDataPoint) and point.scale not in SCALES:
        return f"scale must be from {SCALES.start} to {SCALES.stop - 1}"
    return None if timely else SKEWED


def _histogram_problem(point: HistogramDataPoint) -> str | None:
    counts, bounds = len(point.bucket_counts), list(point.explicit_bounds)
    if counts != len(bounds) + 1 and (counts or bounds):
        return "bucket_counts must be one more than explicit_bounds"
    if any(not low < high for low, high in itertools.pairwise(bounds)):
        return "explicit_bounds must grow"
    return None


def size_problem(item: Message, limits: ItemLimits) -> str | None:
    """Check the bytes of a large item and of each attribute; walks it, so not for every item."""
    if item.ByteSize() > limits.item:
        return f"larger than {limits.item} bytes"
    for attribute in getattr(item, "attributes", ()):
        if attribute.ByteSize() > limits.attribute:
            return f"an attribute is larger than {limits.attribute} bytes"
    return None


def points_of(metric: Metric) -> Iterable[Any]:
    """The data points of a metric, whatever its kind; a metric without data has none."""
    kind = metric.WhichOneof("data")
    return () if kind is None else getattr(metric, kind).data_points


def spans_in(scope: Any) -> Iterable[Any]:
    """Spans of a ScopeSpans."""
    spans: Iterable[Any] = scope.spans
    return spans


def logs_in(scope: Any) -> Iterable[Any]:
    """Records of a ScopeLogs."""
    records: Iterable[Any] = scope.log_records
    return records


def points_in(scope: Any) -> Iterator[Any]:
    """Data points of every metric of a ScopeMetrics."""
    for metric in scope.metrics:
        yield from points_of(metric)


Check = Callable[[Any, ItemLimits], "str | None"]

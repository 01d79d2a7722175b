import math

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from meshwise.collector import items
from meshwise.collector.items import ItemLimits

LIMITS = ItemLimits()
NOW = 1_700_000_000 * 10**9


def span(**fields: object) -> Span:
    good = {"trace_id": b"t" * 16, "span_id": b"s" * 8, "start_time_unix_nano": NOW, "end_time_unix_nano": NOW}
    return Span(**{**good, **fields})  # type: ignore[arg-type]


def test_a_sound_span_has_no_problem() -> None:
    """A span that took no time is as good as any."""
    assert items.span_problem(span(), LIMITS) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"trace_id": b""},
        {"trace_id": b"t" * 15},
        {"trace_id": bytes(16)},
        {"span_id": b"s" * 9},
        {"span_id": bytes(8)},
        {"start_time_unix_nano": 0},
        {"start_time_unix_nano": NOW + 1},
        {"end_time_unix_nano": 2**63},
    ],
)
def test_spans_without_identity_or_time_are_rejected(fields: dict[str, object]) -> None:
    """Ids of the wrong length or all zero, and times that are missing, reversed or out of range, are named."""
    assert items.span_problem(span(**fields), LIMITS)
    assert items.sound_spans([span(), span(**fields)], LIMITS) is None


def test_sound_spans_are_counted_at_once() -> None:
    """The quick check passes what the thorough one passes, and leaves all else to it, clocks that are wrong too."""
    assert items.sound_spans([], LIMITS) == 0
    assert items.sound_spans([span(), span(attributes=[{"key": "a"}])], LIMITS) == 2
    assert items.sound_spans([span()], ItemLimits(newest=NOW)) is None
    assert items.sound_spans([span(attributes=[{"key": "a"}])], ItemLimits(attributes=0)) is None


def test_too_many_attributes_are_rejected() -> None:
    """An item has at most the allowed number of attributes."""
    full = span()
    for number in range(5):
        full.attributes.add(key=str(number))
    assert items.span_problem(full, ItemLimits(attributes=5)) is None
    assert "attributes" in str(items.span_problem(full, ItemLimits(attributes=4)))


def test_logs_need_some_time_but_no_ids() -> None:
    """Ids of a record may be absent, not cut; the time observed stands in for a missing time."""
    assert items.log_problem(LogRecord(observed_time_unix_nano=NOW), LIMITS) is None
    assert items.log_problem(LogRecord(time_unix_nano=NOW, trace_id=b"short"), LIMITS)
    assert items.log_problem(LogRecord(time_unix_nano=NOW, span_id=b"s"), LIMITS)
    assert items.log_problem(LogRecord(), LIMITS)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1.5])
def test_numbers_are_stored_as_sent(value: float) -> None:
    """NaN and infinities are values like others."""
    assert items.point_problem(NumberDataPoint(time_unix_nano=NOW, as_double=value), LIMITS) is None


@pytest.mark.parametrize(
    ("counts", "bounds", "sound"),
    [
        ([], [], True),
        ([1], [], True),
        ([1, 2], [0.5], True),
        ([1, 2], [], False),
        ([], [1.0], False),
        ([1, 1, 1], [2.0, 1.0], False),
        ([1, 1, 1], [1.0, 1.0], False),
        ([1, 1, 1], [1.0, math.nan], False),
    ],
)
def test_histogram_buckets_must_fit(counts: list[int], bounds: list[float], sound: bool) -> None:
    """One count more than bounds, and bounds that grow; a histogram without buckets is allowed."""
    point = HistogramDataPoint(time_unix_nano=NOW, bucket_counts=counts, explicit_bounds=bounds)
    assert (items.point_problem(point, LIMITS) is None) is sound


@pytest.mark.parametrize(
    ("scale", "sound"), [(0, True), (20, True), (-11, True), (2**31 - 1, False), (-(2**31), False)]
)
def test_scales_must_mean_something(scale: int, sound: bool) -> None:
    """Scales at the ends of the number range would make every later sum fail."""
    point = ExponentialHistogramDataPoint(time_unix_nano=NOW, scale=scale)
    assert (items.point_problem(point, LIMITS) is None) is sound


def test_sizes_are_checked_on_request() -> None:
    """A large attribute, by its key or by its value, and a large item are told apart."""
    long_key, large_value = span(), span(name="x" * 100)
    long_key.attributes.add(key="k" * 60)
    large_value.attributes.add(key="k").value.string_value = "v" * 60
    assert "attribute" in str(items.size_problem(long_key, ItemLimits(attribute=50)))
    assert "attribute" in str(items.size_problem(large_value, ItemLimits(attribute=50)))
    assert "larger" in str(items.size_problem(large_value, ItemLimits(item=100)))
    assert items.size_problem(large_value, LIMITS) is None


def test_points_of_every_kind_are_found() -> None:
    """A metric has the points of its kind, and none when it has no data."""
    assert list(items.points_of(Metric(name="x"))) == []
    metric = Metric()
    metric.summary.data_points.add(time_unix_nano=NOW)
    assert len(list(items.points_of(metric))) == 1

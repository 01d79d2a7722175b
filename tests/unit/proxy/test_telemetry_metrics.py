from collections import Counter, defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from meshwise.contracts import telemetry as names
from meshwise.contracts.histogram import SCALE, ZERO_BUCKET, bucket_index
from meshwise.proxy.telemetry.metrics import OTHER, Aggregate, Window, points
from meshwise.proxy.telemetry.otlp import METHODS, Encoder
from meshwise.proxy.telemetry.otlp_metrics import encode_points
from meshwise.proxy.telemetry.records import AttemptRecord, RequestRecord
from support.proxy_records import START_NS, TRACE, attempt, attempts, request, requests

SECOND = 10**9
INTERVAL_S = 10.0
SHADOW = (
    names.SHADOW_VERSION,
    names.SHADOW_TIMEOUT,
    names.SHADOW_RETRY,
    names.SHADOW_DENIED,
    names.SHADOW_SKIPPED,
)


def read_back(windows: list[Window]) -> list[tuple[str, dict[str, Any], Any]]:
    """Return every data point of ``windows`` as (metric name, attributes, point), read by the official runtime."""
    found: list[tuple[str, dict[str, Any], Any]] = []
    for window in windows:
        fields = encode_points(list(points(window)), window.start_ns, window.end_ns)
        export = ExportMetricsServiceRequest.FromString(Encoder({"service.name": "x"}).envelope(fields))
        for metric in export.resource_metrics[0].scope_metrics[0].metrics:
            data = getattr(metric, str(metric.WhichOneof("data")))
            for point in data.data_points:
                attributes = {p.key: getattr(p.value, p.value.WhichOneof("value")) for p in point.attributes}
                assert (point.start_time_unix_nano, point.time_unix_nano) == (window.start_ns, window.end_ns)
                if metric.name != names.METRIC_IN_FLIGHT:
                    assert data.aggregation_temporality == 1
                found.append((metric.name, attributes, point))
    return found


def method(record: AttemptRecord | RequestRecord) -> str:
    """Return the method as metrics show it."""
    return record.method if record.method in METHODS else "_OTHER"


@given(st.lists(attempts | requests | st.integers(-5 * SECOND, 70 * SECOND), max_size=40))
def test_any_interleaving_of_records_and_collections_adds_up(steps: list[AttemptRecord | RequestRecord | int]) -> None:
    """Whenever collections happen, every record is in exactly one interval: the one its end falls in."""
    aggregate = Aggregate("frontend", interval_s=INTERVAL_S)
    windows: list[Window] = []
    for step in steps:
        if isinstance(step, int):
            windows += aggregate.take(START_NS + step)
        elif isinstance(step, AttemptRecord):
            aggregate.attempt(step)
        else:
            aggregate.request(step)
    windows += aggregate.take(START_NS + 3600 * SECOND)
    expected: Counter[Any] = Counter()
    sums: dict[Any, float] = defaultdict(float)
    for record in (step for step in steps if not isinstance(step, int)):
        start = record.end_ns - record.end_ns % (10 * SECOND)
        edge = (start, record.source, record.destination, record.route, method(record), record.policy_version)
        if isinstance(record, AttemptRecord):
            expected[names.METRIC_ATTEMPTS, *edge, record.outcome, record.endpoint] += 1
            if record.ordinal > 1:
                expected[names.METRIC_RETRIES, *edge] += 1
            if record.retry_denied:
                expected[names.METRIC_RETRIES_DENIED, *edge, record.retry_denied] += 1
            if record.shadow is not None:
                judged = (record.shadow.version, record.shadow.timeout, record.shadow.retry, record.shadow.denied)
                skipped = str(record.shadow.skipped).lower()
                expected[names.METRIC_SHADOW_ATTEMPTS, *edge, record.outcome, *judged, skipped] += 1
        else:
            key = (*edge, record.side, record.outcome)
            seconds = max(0, record.end_ns - record.start_ns) / 1e9
            expected[names.METRIC_REQUESTS, *key] += 1
            expected[names.METRIC_DURATION, *key, bucket_index(seconds)] += 1
            sums[key] += seconds
    found: Counter[Any] = Counter()
    found_sums: dict[Any, float] = defaultdict(float)
    for name, attributes, point in read_back(windows):
        edge = (
            point.start_time_unix_nano,
            *(attributes[key] for key in (names.SOURCE, names.DESTINATION, names.ROUTE, names.METHOD)),
            attributes[names.POLICY_VERSION],
        )
        if name == names.METRIC_ATTEMPTS:
            assert attributes[names.SIDE] == "client"
            found[name, *edge, attributes[names.OUTCOME], attributes[names.ENDPOINT]] += point.as_int
        elif name == names.METRIC_RETRIES:
            found[name, *edge] += point.as_int
        elif name == names.METRIC_RETRIES_DENIED:
            found[name, *edge, attributes[names.RETRY_DENIED]] += point.as_int
        elif name == names.METRIC_SHADOW_ATTEMPTS:
            found[name, *edge, attributes[names.OUTCOME], *(attributes[key] for key in SHADOW)] += point.as_int
        else:
            key = (*edge, attributes[names.SIDE], attributes[names.OUTCOME])
            if name == names.METRIC_REQUESTS:
                found[name, *key] += point.as_int
                continue
            assert (name, point.scale) == (names.METRIC_DURATION, SCALE)
            assert point.count == point.zero_count + sum(point.positive.bucket_counts)
            found_sums[key] += point.sum
            if point.zero_count:
                found[name, *key, ZERO_BUCKET] += point.zero_count
            for position, count in enumerate(point.positive.bucket_counts):
                if count:
                    found[name, *key, point.positive.offset + position] += count
    assert found == expected
    assert set(found_sums) == set(sums)
    assert all(abs(found_sums[key] - sums[key]) < 1e-6 for key in sums)


@given(st.lists(attempts | requests, max_size=30), st.integers(0, 60 * SECOND))
def test_totals_do_not_depend_on_collections(records: list[AttemptRecord | RequestRecord], when: int) -> None:
    """The running totals are the same before and after a collection."""
    aggregate = Aggregate("frontend")
    for record in records:
        aggregate.attempt(record) if isinstance(record, AttemptRecord) else aggregate.request(record)
    before = aggregate.totals()
    aggregate.take(START_NS + when)
    after = aggregate.totals()
    assert (before.requests, before.attempts, before.retries, before.denied) == (
        after.requests,
        after.attempts,
        after.retries,
        after.denied,
    )
    assert sum(before.requests.values()) + sum(before.attempts.values()) == len(records)


def test_a_record_at_the_boundary_belongs_to_the_next_interval() -> None:
    """Intervals hold their start and not their end."""
    aggregate = Aggregate(interval_s=INTERVAL_S)
    edge = START_NS - START_NS % (10 * SECOND) + 10 * SECOND
    aggregate.request(request(start_ns=edge - SECOND, end_ns=edge))
    aggregate.request(request(start_ns=edge - SECOND, end_ns=edge - 1))
    (first,) = aggregate.take(edge)
    assert (first.start_ns, first.end_ns) == (edge - 10 * SECOND, edge)
    (second,) = aggregate.take(edge + 10 * SECOND)
    assert second.start_ns == edge
    assert [series.count for series in second.requests.values()] == [1]


def test_the_last_window_is_cut_at_now() -> None:
    """A drain takes the open interval too and says when it ended."""
    aggregate = Aggregate(interval_s=INTERVAL_S)
    aggregate.request(request())
    (window,) = aggregate.take(START_NS + 6_000_000, all_of_it=True)
    assert window.end_ns == START_NS + 6_000_000
    assert aggregate.take(START_NS + 60 * SECOND, all_of_it=True) == []


def test_series_beyond_the_bound_are_counted_under_other() -> None:
    """Callers that invent names cannot grow the tables, and nothing goes uncounted."""
    aggregate = Aggregate("catalog", max_series=10)
    for number in range(100):
        aggregate.request(request(source=f"caller-{number}"))
        aggregate.attempt(attempt(endpoint=f"e{number}", retry_denied="budget", source=f"s{number}"))
        aggregate.ejected("cart", f"e{number}", START_NS)
    (window,) = aggregate.take(START_NS + 60 * SECOND)
    assert len(window.requests) == len(window.attempts) == len(window.denied) == len(window.ejections) == 11
    assert sum(series.count for series in window.requests.values()) == 100
    assert sum(series.count for series in window.attempts.values()) == 100
    assert sum(window.denied.values()) == sum(window.ejections.values()) == 100
    assert (OTHER, "catalog", "", "GET", "server", "ok", 0) in window.requests
    assert ("catalog", OTHER, "", "GET", 0, "ok", "") in window.attempts
    assert window.overflowed == 360


def test_overlong_labels_are_counted_under_other() -> None:
    """A label longer than any name is not kept."""
    aggregate = Aggregate("catalog")
    aggregate.request(request(source="x" * 300))
    (window,) = aggregate.take(START_NS + 60 * SECOND)
    assert [key[0] for key in window.requests] == [OTHER]


def test_many_open_windows_are_bounded() -> None:
    """Wild end times open a bounded number of windows and are all counted."""
    aggregate = Aggregate()
    for number in range(100):
        aggregate.request(request(end_ns=START_NS + number * 1000 * SECOND))
    windows = aggregate.take(START_NS, all_of_it=True)
    assert len(windows) <= 16
    assert sum(series.count for window in windows for series in window.requests.values()) == 100


def test_the_exemplar_is_the_slowest_request() -> None:
    """A histogram point names the trace that took longest."""
    aggregate = Aggregate()
    slow = TRACE.__class__(b"s" * 16, b"p" * 8)
    for trace, took in ((TRACE, 5), (slow, 900), (TRACE, 7)):
        aggregate.request(request(trace=trace, end_ns=START_NS + took * 1_000_000))
    ((_, _, point),) = [p for p in read_back(aggregate.take(START_NS, all_of_it=True)) if p[0] == names.METRIC_DURATION]
    (exemplar,) = point.exemplars
    assert (exemplar.trace_id, exemplar.span_id, exemplar.as_double) == (b"s" * 16, b"p" * 8, 0.9)
    assert exemplar.time_unix_nano == START_NS + 900_000_000
    assert (point.min, point.max) == (0.005, 0.9)

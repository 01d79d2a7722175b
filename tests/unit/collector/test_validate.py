import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from meshwise.collector import validate as module
from meshwise.collector import wire
from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.items import ItemLimits
from meshwise.collector.signals import DOORS, Signal
from meshwise.collector.validate import Limits, validate
from support.otlp import logs, sums, traces

NOW = 1_700_000_000 * 10**9


def reason_of(signal: Signal, body: bytes, limits: Limits | None = None) -> Reason:
    with pytest.raises(RefusedError) as refused:
        validate(signal, body, limits or Limits())
    assert refused.value.retry_after_s is None
    return refused.value.reason


def wrap(*values: bytes) -> bytes:
    """Put ``values`` into messages of field 1, 2, 2 … from the inside out: one request around one item."""
    data = b""
    for number, value in zip((2, 2, 1), values, strict=True):
        inner = value + data
        data = wire.write_varint(number << 3 | 2) + wire.write_varint(len(inner)) + inner
    return data


@pytest.fixture(params=["whole", "sliced"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test on the way of small requests and on that of large ones."""
    way: str = request.param
    if way == "sliced":
        monkeypatch.setattr(module, "SLICE_BYTES", 200)
    return way


@pytest.mark.parametrize("signal", list(Signal))
def test_a_larger_request_without_large_items_is_parsed_whole(signal: Signal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SDKs send at once is above the limit of an attribute: that alone does not cost it the slow way."""
    monkeypatch.setattr(module._Review, "request", None)
    request = {Signal.TRACES: traces(range(20)), Signal.METRICS: sums(range(20)), Signal.LOGS: logs(["x"] * 20)}[signal]
    body = request.SerializeToString()
    limits = Limits(item=ItemLimits(attribute=len(body) - 1))
    assert validate(signal, body, limits).accepted == 20


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("signal", list(Signal))
def test_sound_requests_pass_unchanged(signal: Signal) -> None:
    """A sound request is counted and its bytes are not touched."""
    request = {Signal.TRACES: traces(range(20)), Signal.METRICS: sums(range(20)), Signal.LOGS: logs(["x"] * 20)}[signal]
    body = request.SerializeToString()
    verdict = validate(signal, body, Limits())
    assert (verdict.body, verdict.accepted, verdict.rejected) == (body, 20, 0)


@pytest.mark.parametrize("signal", list(Signal))
def test_an_empty_request_is_fine(signal: Signal) -> None:
    """Nothing at all, or groups without items, is accepted as nothing."""
    assert validate(signal, b"", Limits()).accepted == 0
    assert validate(signal, b"\x0a\x00", Limits()).accepted == 0


@pytest.mark.usefixtures("both_ways")
@settings(deadline=None, max_examples=40)
@given(bad=st.sets(st.integers(0, 29)))
def test_bad_spans_are_cut_out_and_the_rest_is_kept(bad: set[int]) -> None:
    """Exactly the bad spans are missing from what is stored, and the sender learns how many and why."""
    request = traces(range(30), start_ns=NOW)
    for number in bad:
        request.resource_spans[0].scope_spans[0].spans[number].trace_id = b"short"
    verdict = validate(Signal.TRACES, request.SerializeToString(), Limits())
    assert (verdict.accepted, verdict.rejected) == (30 - len(bad), len(bad))
    left = ExportTraceServiceRequest.FromString(verdict.body)
    assert left == traces([n for n in range(30) if n not in bad], start_ns=NOW)
    if bad:
        assert f"rejected {len(bad)} spans" in verdict.message
        assert "trace_id" in verdict.message


@pytest.mark.usefixtures("both_ways")
def test_bad_points_are_cut_out_of_every_metric() -> None:
    """Data points are judged one by one, across metrics, kinds and scopes."""
    request = sums(range(10), at_ns=NOW)
    scope = request.resource_metrics[0].scope_metrics[0]
    scope.metrics[0].sum.data_points[3].time_unix_nano = 0
    histogram = scope.metrics.add(name="h").histogram
    histogram.data_points.add(time_unix_nano=NOW, bucket_counts=[1, 2], explicit_bounds=[])
    histogram.data_points.add(time_unix_nano=NOW, bucket_counts=[1, 2], explicit_bounds=[1.0], count=7)
    other = request.resource_metrics.add().scope_metrics.add().metrics.add(name="g").gauge
    other.data_points.add(time_unix_nano=2**63)
    other.data_points.add(time_unix_nano=NOW, as_int=42)
    verdict = validate(Signal.METRICS, request.SerializeToString(), Limits())
    assert (verdict.accepted, verdict.rejected) == (11, 3)
    left = type(request).FromString(verdict.body)
    metrics = left.resource_metrics[0].scope_metrics[0].metrics
    assert [point.as_int for point in metrics[0].sum.data_points] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert [point.count for point in metrics[1].histogram.data_points] == [7]
    gauge = left.resource_metrics[1].scope_metrics[0].metrics[0].gauge
    assert [point.as_int for point in gauge.data_points] == [42]


def test_unknown_fields_of_a_newer_sender_survive() -> None:
    """Cutting out one span leaves the bytes of fields we do not know in place."""
    request = traces([1, 2], start_ns=NOW)
    request.resource_spans[0].scope_spans[0].spans[0].span_id = b""
    unknown = b"\xba\x3e\x03new"  # field 1000
    verdict = validate(Signal.TRACES, request.SerializeToString() + unknown, Limits())
    assert verdict.rejected == 1
    assert verdict.body.endswith(unknown)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "body",
    [
        traces(range(5)).SerializeToString()[:-3],
        b"\x0a\xff\xff\xff\xff\x07",
        b"\x00\x00",
        wrap(b"\x2a\x02\xff\xfe", b"", b""),
        b"hello",
    ],
    ids=["cut", "length of 2 GiB", "field 0", "not UTF-8", "text"],
)
def test_what_is_no_request_is_refused_whole(body: bytes) -> None:
    """Bytes that do not parse are the sender's mistake; nothing of them is stored."""
    assert reason_of(Signal.TRACES, body) is Reason.MALFORMED
    assert reason_of(Signal.TRACES, body * 100) is Reason.MALFORMED


def test_bottomless_nesting_is_refused() -> None:
    """Values ten thousand levels deep are refused without a stack running out."""
    value = AnyValue(string_value="x").SerializeToString()
    for _ in range(10_000):
        value = b"\x0a" + wire.write_varint(len(value)) + value  # one element of an array
        value = b"\x2a" + wire.write_varint(len(value)) + value  # an array value
    attribute = b"\x0a\x01k\x12" + wire.write_varint(len(value)) + value
    span = b"\x4a" + wire.write_varint(len(attribute)) + attribute
    assert reason_of(Signal.TRACES, wrap(span, b"", b"")) is Reason.MALFORMED


@pytest.mark.usefixtures("both_ways")
def test_too_many_items_are_refused_whole() -> None:
    """One item over the limit is too many, the limit itself is not."""
    assert validate(Signal.LOGS, logs(["x"] * 50).SerializeToString(), Limits(items=50)).accepted == 50
    assert reason_of(Signal.LOGS, logs(["x"] * 51).SerializeToString(), Limits(items=50)) is Reason.TOO_MANY_ITEMS


def test_a_million_empty_spans_are_refused_before_they_are_parsed() -> None:
    """Two megabytes that would decode to 170 are stopped by the count."""
    spans = b"\x12\x00" * 1_000_000
    scope = b"\x12" + wire.write_varint(len(spans)) + spans
    body = b"\x0a" + wire.write_varint(len(scope)) + scope
    assert reason_of(Signal.TRACES, body) is Reason.TOO_MANY_ITEMS


@pytest.mark.parametrize("level", [0, 1])
def test_a_million_empty_groups_are_refused(level: int) -> None:
    """Groups without items count against the fields a walk may visit."""
    body = b"\x0a\x00" * 1_000_000
    if level:
        inner = b"\x12\x00" * 1_000_000
        body = b"\x0a" + wire.write_varint(len(inner)) + inner
    assert reason_of(Signal.TRACES, body) is Reason.TOO_MANY_ITEMS


def test_an_oversize_span_is_rejected_alone() -> None:
    """One span above the item limit is reported, its neighbours are stored."""
    request = traces([1, 2, 3], start_ns=NOW)
    request.resource_spans[0].scope_spans[0].spans[1].name = "x" * (5 * 1024 * 1024)
    verdict = validate(Signal.TRACES, request.SerializeToString(), Limits())
    assert (verdict.accepted, verdict.rejected) == (2, 1)
    assert len(verdict.body) < 1000


def test_an_oversize_point_is_rejected_alone() -> None:
    """The same holds inside one very large metric."""
    request = sums(range(5), at_ns=NOW)
    points = request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points
    points[2].attributes.add(key="k").value.string_value = "x" * (5 * 1024 * 1024)
    verdict = validate(Signal.METRICS, request.SerializeToString(), Limits())
    assert (verdict.accepted, verdict.rejected) == (4, 1)


@pytest.mark.usefixtures("both_ways")
def test_large_values_are_rejected_item_by_item() -> None:
    """An attribute value above its limit costs its span alone."""
    request = traces([1, 2], start_ns=NOW)
    request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="k").value.string_value = "x" * 3000
    verdict = validate(Signal.TRACES, request.SerializeToString(), Limits(item=ItemLimits(attribute=2000)))
    assert (verdict.accepted, verdict.rejected) == (1, 1)
    assert "an attribute is larger than 2000 bytes" in verdict.message


def test_a_resource_of_megabytes_is_refused() -> None:
    """What is not an item has a limit too."""
    request = traces([1])
    request.resource_spans[0].resource.attributes.add(key="k").value.string_value = "x" * (5 * 1024 * 1024)
    assert reason_of(Signal.TRACES, request.SerializeToString()) is Reason.TOO_LARGE


def test_two_kinds_of_data_in_one_metric_are_refused_when_it_matters() -> None:
    """Readers disagree which points such a metric has, so nothing can be cut out of it."""
    one = sums([1], at_ns=2**63 + 10).resource_metrics[0].scope_metrics[0].metrics[0].SerializeToString()
    gauge = b"\x2a\x02\x0a\x00"
    metric = gauge + one
    scope = b"\x12" + wire.write_varint(len(metric)) + metric
    group = b"\x12" + wire.write_varint(len(scope)) + scope
    assert reason_of(Signal.METRICS, b"\x0a" + wire.write_varint(len(group)) + group) is Reason.MALFORMED


def test_every_signal_names_its_items() -> None:
    """The message speaks of spans, data points or log records."""
    assert {door.items for door in DOORS.values()} == {"spans", "data points", "log records"}

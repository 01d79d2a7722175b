import json
import math
import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.otlp_json import OBJECT_BYTES, VALUE_BYTES, to_protobuf, weigh


def one_span(**fields: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}).encode()


def read_span(body: bytes) -> Span:
    request = ExportTraceServiceRequest.FromString(to_protobuf(body, ExportTraceServiceRequest))
    return request.resource_spans[0].scope_spans[0].spans[0]


def problem_of(body: bytes) -> str:
    with pytest.raises(RefusedError) as refused:
        to_protobuf(body, ExportTraceServiceRequest)
    assert refused.value.reason is Reason.MALFORMED
    return refused.value.message


def test_ids_are_hex_in_any_case() -> None:
    """Trace and span ids are hex digits, not base64 as in protobuf's own mapping; in links too."""
    span = read_span(
        one_span(
            traceId="5B8EFFF798038103D269B633813FC60C",
            spanId="eee19b7ec3c1b174",
            parentSpanId="EEE19B7EC3C1B173",
            links=[{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b171"}],
        )
    )
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert span.span_id.hex() == "eee19b7ec3c1b174"
    assert span.parent_span_id.hex() == "eee19b7ec3c1b173"
    assert span.links[0].trace_id == span.trace_id


def test_64_bit_numbers_come_as_text_or_numbers() -> None:
    """Both spellings give the same nanoseconds, to the last digit."""
    span = read_span(one_span(startTimeUnixNano="1544712660300000001", endTimeUnixNano=1544712660300000001, kind=2))
    assert span.start_time_unix_nano == span.end_time_unix_nano == 1544712660300000001
    assert span.kind == 2


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20))
def test_values_of_every_kind_survive(whole: int, number: float, text: str) -> None:
    """Attribute values keep their type and value, nested ones too."""
    text = text.encode("utf-8", "replace").decode()
    attributes = [
        {"key": "i", "value": {"intValue": str(whole)}},
        {"key": "d", "value": {"doubleValue": number}},
        {"key": "s", "value": {"stringValue": text}},
        {"key": "b", "value": {"boolValue": False}},
        {"key": "y", "value": {"bytesValue": "AQI="}},
        {"key": "a", "value": {"arrayValue": {"values": [{"intValue": 1}, {}]}}},
        {"key": "m", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": ""}}]}}},
    ]
    span = read_span(one_span(attributes=attributes))
    values = {attribute.key: attribute.value for attribute in span.attributes}
    assert values["i"].int_value == whole
    assert values["d"].double_value == number
    assert values["s"].string_value == text
    assert values["b"].WhichOneof("value") == "bool_value"
    assert values["y"].bytes_value == b"\x01\x02"
    assert len(values["a"].array_value.values) == 2
    assert values["m"].kvlist_value.values[0].value.WhichOneof("value") == "string_value"


def test_unknown_and_snake_case_keys_are_ignored() -> None:
    """OTLP knows lowerCamelCase keys only; everything else is a field of the future."""
    span = read_span(one_span(name="x", trace_id="AAAA", future={"deep": [1]}, parentSpanId=None))
    assert (span.name, span.trace_id) == ("x", b"")


def test_metrics_and_logs_are_read_alike() -> None:
    """Numbers that JSON cannot spell come as text, and logs keep their bodies."""
    body = b"""{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[
        {"timeUnixNano":"1","asDouble":"NaN"},{"timeUnixNano":1,"asDouble":"-Infinity"},{"asInt":"-5"}]}}]}]}]}"""
    request = ExportMetricsServiceRequest.FromString(to_protobuf(body, ExportMetricsServiceRequest))
    points = request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    assert math.isnan(points[0].as_double)
    assert points[1].as_double == float("-inf")
    assert points[2].as_int == -5
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":9,"body":{"stringValue":"hi"}}]}]}]}'
    logs = ExportLogsServiceRequest.FromString(to_protobuf(body, ExportLogsServiceRequest))
    assert logs.resource_logs[0].scope_logs[0].log_records[0].body.string_value == "hi"


def test_an_empty_body_is_an_empty_request() -> None:
    """Nothing, and an empty object, hold no items."""
    assert to_protobuf(b"", ExportTraceServiceRequest) == to_protobuf(b"{}", ExportTraceServiceRequest) == b""


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"x"',
        b"NaN",
        b'{"resourceSpans":{}}',
        b'{"resourceSpans":[1]}',
        one_span(traceId="not hex!"),
        one_span(traceId="abc"),
        one_span(traceId=5),
        one_span(name=5),
        one_span(kind="SPAN_KIND_SERVER"),
        one_span(kind=True),
        one_span(kind=2**31),
        one_span(startTimeUnixNano="1_0"),
        one_span(startTimeUnixNano="-1"),
        one_span(startTimeUnixNano=1.5),
        one_span(startTimeUnixNano=str(2**64)),
        one_span(attributes=[{"key": "k", "value": {"intValue": "1", "stringValue": "x"}}]),
        one_span(attributes=[{"key": "k", "value": {"doubleValue": "much"}}]),
        one_span(attributes=[{"key": "k", "value": {"bytesValue": "%"}}]),
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"\\ud800"}]}]}]}',
        b"[" * 10_000,
        b'{"a":' * 10_000,
    ],
)
def test_what_is_not_otlp_json_is_malformed(body: bytes) -> None:
    """Wrong types, ranges, digits, enum names and depths are the sender's mistake, never ours."""
    assert problem_of(body)


def test_nesting_is_bounded() -> None:
    """Values nested deeper than sixty-four objects are refused, at sixty they are read."""
    value: dict[str, Any] = {"stringValue": "x"}
    for _ in range(40):
        value = {"arrayValue": {"values": [value]}}
    assert "deeper" in problem_of(one_span(attributes=[{"key": "k", "value": value}]))


def test_the_wrong_field_is_named_by_its_path() -> None:
    """A sender finds the mistake from the message."""
    assert "resourceSpans[0].scopeSpans[0].spans[0].name" in problem_of(one_span(name=5))


def test_what_decoding_takes_is_known_before() -> None:
    """Every object and every further value counts, wherever it stands."""
    assert weigh(b"") == 0
    assert weigh(b'{"a":[{},{}],"b":1}') == 19 + 3 * OBJECT_BYTES + 3 * VALUE_BYTES
    values = weigh(b"[" + b"[],".join([b""] * 1001) + b"[]]") / VALUE_BYTES
    assert values > 2000


@pytest.mark.parametrize("value", ["{}", "[]", '"ab"', "1.5", "12345", '{"a":1}', '{"a":{"b":[1.5,{}]},"c":"text"}'])
def test_values_take_no_more_than_they_are_weighed(value: str) -> None:
    """Measured: what the decoder allocates for ten thousand of a kind stays below the weight."""
    body = ("[" + ",".join([value] * 10_000) + "]").encode()
    tracemalloc.start()
    try:
        document = orjson.loads(body)
        _, highest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(document) == 10_000
    assert highest < weigh(body)

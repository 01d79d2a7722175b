"""Lists, maps and bytes among attribute values are written as text; all else stays as it came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from meshwise.collector.plain import RUN_BYTES, SLICE_BYTES, as_json, plain
from meshwise.collector.signals import DOORS, Signal
from meshwise.collector.wire import length_field
from support import otlp, values


def found(message: Any) -> Iterator[tuple[str, AnyValue]]:
    """Every attribute and body in a message, at whatever level."""
    for field, inner in message.ListFields():
        for one in inner if field.is_repeated else (inner,):
            if isinstance(one, KeyValue):
                yield one.key, one.value
            elif isinstance(one, AnyValue):
                yield "body", one
            elif isinstance(one, Message):
                yield from found(one)


@pytest.mark.parametrize(
    ("signal", "build", "holders"),
    [
        # Resource, scope, span, event, link; resource, scope, and each record with its body; resource, scope, five
        # kinds of points, four with an exemplar.
        (Signal.TRACES, values.spans, 5),
        (Signal.LOGS, values.logs, 2 + len(values.VALUES)),
        (Signal.METRICS, values.metrics, 11),
    ],
)
def test_every_holder_is_written(signal: Signal, build: Callable[[str], Message], holders: int) -> None:
    """Wherever a value of a kind the store does not read may stand, it is text; others keep their kinds."""
    body = plain(signal, build("values").SerializeToString())
    counted = dict.fromkeys(values.VALUES, 0)
    for key, value in found(DOORS[signal].request.FromString(bytes(body))):
        kind = value.WhichOneof("value")
        assert kind not in {"array_value", "kvlist_value", "bytes_value"}, key
        if key in counted:
            counted[key] += 1
            content, text = values.VALUES[key]
            if isinstance(content, list | dict | bytes):
                assert value.string_value == text
            else:
                fresh = AnyValue()
                values.fill(fresh, content)
                assert value == fresh
    assert set(counted.values()) == {holders}


@pytest.mark.parametrize("name", values.VALUES)
def test_json(name: str) -> None:
    """Inside a list a value is spelled as in one at the top, text in quotes."""
    content, text = values.VALUES[name]
    value = AnyValue()
    values.fill(value, [content])
    quoted = isinstance(content, str | bytes)
    assert as_json(value) == f'["{text}"]' if quoted else f"[{text or 'null'}]"


def test_of_a_key_given_twice_the_last_counts() -> None:
    """As in the maps of everybody else."""
    value = AnyValue()
    for number in (1, 2):
        value.kvlist_value.values.add(key="k").value.int_value = number
    assert as_json(value) == '{"k":2}'


@pytest.mark.parametrize("signal", Signal)
def test_what_is_plain_is_handed_back(signal: Signal) -> None:
    """A request without such values is not written anew."""
    builds = {Signal.TRACES: otlp.traces([1]), Signal.METRICS: otlp.sums([1]), Signal.LOGS: otlp.logs(["a"])}
    body = builds[signal].SerializeToString()
    assert plain(signal, body) is body
    view = memoryview(body)
    assert plain(signal, view) is view


def test_in_a_large_request_only_what_is_near_is_decoded() -> None:
    """Of a request larger than a slice, with one list, every span is left, and its bytes differ by that list alone."""
    request = otlp.traces(range(1500), attributes={"padding": "x" * 1000})
    spans = request.resource_spans[0].scope_spans[0].spans
    spans[700].ClearField("attributes")
    expected = ExportTraceServiceRequest.FromString(request.SerializeToString())
    values.fill(spans[700].attributes.add(key="list").value, [1])
    expected.resource_spans[0].scope_spans[0].spans[700].attributes.add(key="list").value.string_value = "[1]"
    body = request.SerializeToString()
    assert len(body) > SLICE_BYTES > RUN_BYTES
    assert plain(Signal.TRACES, body) == expected.SerializeToString()


def test_fields_nobody_knows_are_kept() -> None:
    """What a later version of the protocol adds stays where it is, beside a value that is written."""
    unknown = b"\xfa\x7f\x03new"
    group = values.spans("values").resource_spans[0].SerializeToString() + unknown
    body = length_field(1, group) + unknown
    written = bytes(plain(Signal.TRACES, body))
    assert written.endswith(unknown)
    assert written.count(unknown) == 2


@pytest.mark.parametrize("body", [b"\x0a\x03\x12\x01", b"\x0b\x0c", b"\xff" * 20])
def test_what_is_no_request_is_left_to_the_store(body: bytes) -> None:
    """Bytes that cannot be walked come back as they are."""
    assert plain(Signal.TRACES, body) == body

"""The quicker way of spans into the store gives the same rows as the general one, or refuses and writes nothing."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from meshwise.collector.plain import plain
from meshwise.collector.signals import Signal
from meshwise.collector.wire import write_varint
from meshwise.store import otlp
from meshwise.store.client import connect
from support.otlp import traces
from support.store import Store, store_server

__all__ = ["store_server"]

tokens = itertools.count()

LENGTHS = (0, 1, 126, 127, 128, 129, 130, 16382, 16383, 16384, 16385, 70_000)
values = st.one_of(
    st.builds(AnyValue, string_value=st.text(max_size=20)),
    st.builds(AnyValue, string_value=st.sampled_from([length * "x" for length in LENGTHS])),
    st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
    st.builds(
        AnyValue, int_value=st.sampled_from([s * 2**p + d for p in range(63) for d in (-1, 0, 1) for s in (1, -1)])
    ),
    st.builds(AnyValue, double_value=st.floats(allow_nan=False)),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.just(AnyValue()),
)


@pytest.fixture(scope="module")
def client(store_server: Store) -> Iterator[Client]:
    """A client of the store."""
    with connect(store_server.url) as one:
        yield one


def insert(client: Client, body: bytes, *, quick: bool) -> None:
    token = f"quick-spans/{next(tokens)}"
    table = otlp.QUICK_LANDING if quick else otlp.LANDING_TABLES["traces"]
    client.raw_insert(
        table, insert_block=body, fmt=otlp.FORMAT, settings=otlp.insert_settings("traces", token, quick=quick)
    )


def rows(client: Client) -> list[tuple[Any, ...]]:
    """All spans of these tests; the table is emptied."""
    found = client.query("SELECT * FROM otel_traces WHERE ScopeName = 'quick' ORDER BY SpanId").result_rows
    client.command("TRUNCATE TABLE otel_traces")
    return [tuple(row) for row in found]


def request_with(attributes: list[AnyValue]) -> ExportTraceServiceRequest:
    """A request whose resource, span, event and link carry ``attributes``."""
    request = traces([1, 2])
    group = request.resource_spans[0]
    group.scope_spans[0].scope.name = "quick"
    span = group.scope_spans[0].spans[0]
    event, link = span.events.add(name="event", time_unix_nano=7), span.links.add(trace_id=b"1" * 16, span_id=b"2" * 8)
    for holder in (group.resource, span, event, link):
        for number, value in enumerate(attributes):
            holder.attributes.append(KeyValue(key=f"key {number}", value=value))
    return request


@settings(deadline=None, max_examples=25)
@given(attributes=st.lists(values, max_size=12))
def test_both_ways_give_the_same_rows(client: Client, attributes: list[AnyValue]) -> None:
    """Text of any length, every integer, doubles, booleans and absent values read alike on both ways."""
    body = request_with(attributes).SerializeToString()
    insert(client, body, quick=True)
    quick = rows(client)
    insert(client, body, quick=False)
    assert quick == rows(client)
    assert len(quick) == 2


def with_value(encoded: bytes) -> bytes:
    """A request in which one attribute's value is ``encoded``, whatever that is."""
    marker = b"\x0a\x06MARKER"
    body = request_with([AnyValue(string_value="MARKER")]).SerializeToString()
    position = body.index(marker)
    # Only the first holder, the resource, is changed; lengths around it are put right from the inside out.
    entry = b"\x0a\x05key 0\x12" + write_varint(len(encoded)) + encoded
    resource_at = position - len(b"\x0a\x05key 0\x12\x08")
    assert body[resource_at:position] == b"\x0a\x05key 0\x12\x08"
    request = ExportTraceServiceRequest.FromString(body)
    del request.resource_spans[0].resource.attributes[:]
    resource = b"\x0a" + write_varint(len(entry)) + entry
    rest = request.resource_spans[0]
    rest.ClearField("resource")
    group = b"\x0a" + write_varint(len(resource)) + resource + rest.SerializeToString()
    return b"\x0a" + write_varint(len(group)) + group


UNUSUAL = {
    "list": b"\x2a\x00",
    "map": b"\x32\x00",
    "bytes": b"\x3a\x02ab",
    "integer, then text": b"\x18\x01\x0a\x01a",
    "small integer, then boolean": b"\x18\x01\x10\x01",
    "text twice": b"\x0a\x01a\x0a\x01b",
    "text in an overlong length": b"\x0a\x81\x80\x00a",
    "long text twice": b"\x0a\xc8\x01" + b"x" * 200 + b"\x0a\x01b",
    "boolean in an overlong number": b"\x10\x81\x00",
    "double twice": b"\x21" + struct.pack("<d", 1.0) + b"\x21" + struct.pack("<d", 2.0),
    "unknown field": b"\x7a\x01a",
}


@pytest.mark.parametrize("encoded", UNUSUAL.values(), ids=UNUSUAL)
def test_an_unusual_value_is_left_to_the_general_way(client: Client, encoded: bytes) -> None:
    """The quick way refuses what it cannot read for certain, names the reason, and leaves every table untouched."""
    body = with_value(encoded)
    ExportTraceServiceRequest.FromString(body)  # the collector lets it pass
    with pytest.raises(ClickHouseError, match=otlp.UNUSUAL):
        insert(client, body, quick=True)
    assert client.query("SELECT count() FROM otel_traces").result_rows == [(0,)]
    insert(client, body, quick=False)
    assert len(rows(client)) == 2


@pytest.mark.parametrize("name", ["list", "map", "bytes"])
def test_what_nests_takes_the_quick_way_once_it_is_text(client: Client, name: str) -> None:
    """What the collector makes of a value that nests is none that the quick way leaves to the general one."""
    insert(client, bytes(plain(Signal.TRACES, with_value(UNUSUAL[name]))), quick=True)
    assert len(rows(client)) == 2

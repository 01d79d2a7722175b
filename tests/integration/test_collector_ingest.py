"""A real collector in front of a real store: what is acknowledged can be queried, once."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from meshwise.collector.signals import DOORS, Signal
from meshwise.store.client import connect
from support.collector import Collector, running_collector
from support.otlp import logs, span_id, sums, traces
from support.store import Store, running_store

PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as running:
        yield running


@pytest.fixture(scope="module")
def collector(store: Store) -> Iterator[Collector]:
    with running_collector(store.url, max_body_bytes=4 * 1024 * 1024) as running:
        yield running


@pytest.fixture(scope="module")
def query(store: Store) -> Iterator[Any]:
    client = connect(store.url)
    yield lambda sql, **parameters: client.query(sql, parameters).result_rows
    client.close()


def post(collector: Collector, path: str, body: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{collector.url}{path}", content=body, headers={**PROTOBUF, **named}, timeout=30.0)


def stored(query: Any, sql: str, expected: object, **parameters: object) -> None:
    """Wait until ``sql`` answers ``expected``."""
    deadline = time.monotonic() + 20.0
    while (found := query(sql, **parameters)) != expected:
        assert time.monotonic() < deadline, f"{found} instead of {expected}"
        time.sleep(0.05)


def test_all_signals_over_http_reach_their_tables(collector: Collector, query: Any) -> None:
    """Spans, data points and log records sent over HTTP are rows of the exporter's tables."""
    assert post(collector, "/v1/traces", traces(range(50), service="h").SerializeToString()).status_code == 200
    body = gzip.compress(sums([1, 2, 39], service="h").SerializeToString(), mtime=0)
    assert post(collector, "/v1/metrics", body, content_encoding="gzip").status_code == 200
    body = zstandard.compress(logs(["one", "two"], service="h").SerializeToString())
    assert post(collector, "/v1/logs", body, content_encoding="zstd").status_code == 200
    stored(query, "SELECT count(), uniqExact(SpanId) FROM otel_traces WHERE ServiceName = 'h'", [(50, 50)])
    stored(query, "SELECT count(), sum(Value) FROM otel_metrics_sum WHERE ServiceName = 'h'", [(3, 42.0)])
    stored(query, "SELECT groupArray(Body) FROM (SELECT Body FROM otel_logs WHERE ServiceName = 'h' ORDER BY Body)",
           [(["one", "two"],)])  # fmt: skip


def test_all_signals_over_grpc_reach_their_tables(collector: Collector, query: Any) -> None:
    """The same over gRPC, plain and compressed."""
    requests = {
        Signal.TRACES: traces(range(20), service="g"),
        Signal.METRICS: sums([5, 6], service="g"),
        Signal.LOGS: logs(["x"], service="g"),
    }
    with grpc.insecure_channel(collector.grpc_address) as channel:
        for signal, request in requests.items():
            call = channel.unary_unary(DOORS[signal].grpc_method, bytes, bytes)
            assert call(request.SerializeToString(), compression=grpc.Compression.Gzip, timeout=20.0) == b""
    stored(query, "SELECT count() FROM otel_traces WHERE ServiceName = 'g'", [(20,)])
    stored(query, "SELECT sum(Value) FROM otel_metrics_sum WHERE ServiceName = 'g'", [(11.0,)])
    stored(query, "SELECT count() FROM otel_logs WHERE ServiceName = 'g'", [(1,)])


def test_json_ids_are_read_as_hex(collector: Collector, query: Any) -> None:
    """A JSON request is stored like its protobuf twin, its ids as the hex digits that were sent."""
    trace_id, span = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
    now = time.time_ns()
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "j"}}]},
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": trace_id.upper(),
                                "spanId": span,
                                "name": "hex",
                                "kind": 3,
                                "startTimeUnixNano": str(now),
                                "endTimeUnixNano": now + 7000,
                                "attributes": [{"key": "n", "value": {"intValue": "12"}}],
                            }
                        ]
                    }
                ],
            }
        ]
    }
    answer = post(collector, "/v1/traces", json.dumps(document).encode(), content_type="application/json")
    assert (answer.status_code, answer.json()) == (200, {})
    sql = "SELECT TraceId, SpanId, SpanKind, Duration, SpanAttributes['n'] FROM otel_traces WHERE ServiceName = 'j'"
    stored(query, sql, [(trace_id, span, "Client", 7000, "12")])


def test_partial_success_stores_the_rest(collector: Collector, query: Any) -> None:
    """Bad spans are counted back to the sender; the good ones of the same request are stored."""
    request = traces(range(10), service="p")
    for number in (2, 5):
        request.resource_spans[0].scope_spans[0].spans[number].trace_id = bytes(16)
    answer = post(collector, "/v1/traces", request.SerializeToString())
    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 2
    sql = "SELECT arraySort(groupArray(SpanName)) FROM otel_traces WHERE ServiceName = 'p'"
    stored(query, sql, [([f"span {n}" for n in range(10) if n not in (2, 5)],)])


def test_bombs_and_strangers_are_turned_away(collector: Collector) -> None:
    """A bomb is 413 however small it travels, a body too large is seen as 413, a wrong type is 415."""
    bomb = gzip.compress(bytes(100 * 1024 * 1024), mtime=0)
    assert post(collector, "/v1/traces", bomb, content_encoding="gzip").status_code == 413
    assert post(collector, "/v1/traces", bytes(5 * 1024 * 1024)).status_code == 413
    assert post(collector, "/v1/traces", b"", content_type="text/plain").status_code == 415
    assert post(collector, "/v1/traces", b"\x0a\xff").status_code == 400
    assert httpx.get(f"{collector.url}/v1/traces").status_code == 405
    assert httpx.get(f"{collector.url}/nothing").status_code == 404
    assert collector.metric("refused_requests_total") >= 6


def test_a_poison_record_is_put_aside_and_the_others_arrive(collector: Collector, query: Any) -> None:
    """A request that parses here and not in the store costs nobody else a span, and stays on disk with its reason."""
    bodies = [traces([n], service="q").SerializeToString() for n in range(8)]
    # Field 1 as a number: an unknown field to one reader, a broken message to the other.
    bodies[3] += b"\x08\x05"
    for body in bodies:
        assert post(collector, "/v1/traces", body).status_code == 200
    sql = "SELECT arraySort(groupArray(SpanId)) FROM otel_traces WHERE ServiceName = 'q'"
    stored(query, sql, [([span_id(n).hex() for n in range(8) if n != 3],)])
    stored(lambda _: collector.metric("quarantined_items_total"), "", 1.0)
    (kept,) = (collector.data_dir / "quarantine").glob("*.otlp")
    assert kept.read_bytes() == bodies[3]
    assert "444" in json.loads(kept.with_suffix(".json").read_text())["reason"]


def test_the_ledger_adds_up_at_rest(collector: Collector) -> None:
    """Accepted items are inserted or quarantined, and the spool is empty again."""
    accepted = collector.metric("accepted_items_total")
    deadline = time.monotonic() + 20.0
    while collector.segments():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    settled = collector.metric("inserted_items_total") + collector.metric("quarantined_items_total")
    assert settled == accepted > 0
    assert collector.metric("spool_bytes") == 0
    assert collector.metric("lag_seconds") == 0


def test_sampling_keeps_what_matters_and_the_counts(store: Store, query: Any) -> None:
    """Of many traces a tenth stays and says so, every failed one whole; the ledger has the rest as sampled out."""
    sampling = {"ratio": 0.1, "slow_s": 0, "slow_share": 0, "rare_per_minute": 0, "wait_s": 0.5}
    with running_collector(store.url, sampling=sampling) as collector:
        request = traces(range(400), service="sampled")
        for number, span in enumerate(request.resource_spans[0].scope_spans[0].spans):
            span.trace_id = b"\x03" + bytes(8) + ((2 * number + 1) * 2**56 // 800).to_bytes(7, "big")
        ends = traces(range(3), service="ends")
        for number, span in enumerate(ends.resource_spans[0].scope_spans[0].spans):
            span.trace_id = request.resource_spans[0].scope_spans[0].spans[number].trace_id
            span.status.code = 2  # type: ignore[assignment]
        for body in (request, ends):
            answer = httpx.post(f"{collector.url}/v1/traces", content=body.SerializeToString(), headers=PROTOBUF)
            assert answer.status_code == 200
        collector.wait_stored(46)
        assert collector.metric("sampled_out_items_total") == 403 - 46
    rows = query(
        "SELECT ServiceName, TraceState, SpanAttributes['SampleRate'], count() FROM otel_traces "
        "WHERE ServiceName IN ('sampled', 'ends') GROUP BY ALL ORDER BY ALL"
    )
    assert [(service, state != "", rate, count) for service, state, rate, count in rows] == [
        ("ends", False, "", 3), ("sampled", False, "", 3), ("sampled", True, "10", 40),
    ]  # fmt: skip

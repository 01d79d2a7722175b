"""The proxy's own bytes through a real collector into a real store: the rollup holds exactly what was recorded."""

import asyncio
import random
import time
from collections import Counter
from typing import Any

import pytest

from meshwise.contracts import telemetry as names
from meshwise.contracts.histogram import bucket_index
from meshwise.proxy.telemetry.exporter import Exporter
from meshwise.proxy.telemetry.recorder import RingRecorder
from meshwise.proxy.telemetry.records import AttemptRecord, RequestRecord, ShadowVerdict, TraceContext
from support.collector import running_collector
from support.proxy_records import attempt, request
from support.store import Store, store_server

__all__ = ["store_server"]

RESOURCE = {"service.name": "frontend", "service.instance.id": "frontend-told-1", "service.version": "0"}
VERDICTS = (
    ShadowVerdict(8),
    ShadowVerdict(8, "attempt", retry="timeout"),
    ShadowVerdict(9, denied="budget"),
    ShadowVerdict(9, skipped=True),
)
TEN_SECONDS = 10 * 10**9


def traffic(seed: int, end_ns: int) -> tuple[list[RequestRecord], list[AttemptRecord]]:
    """Return a minute of requests with 1 to 3 attempts each, of every outcome, from zero to thousands of seconds."""
    rng = random.Random(seed)
    requests, attempts = [], []
    for _ in range(300):
        ended = end_ns - rng.randrange(60 * 10**9)
        took = rng.choice([0, rng.randrange(1, 10**6), rng.randrange(10**6, 10**10), 4000 * 10**9])
        common: dict[str, Any] = {
            "source": "frontend",
            "destination": rng.choice(["catalog", "cart"]),
            "method": rng.choice(["GET", "POST", "BREW"]),
            "route": rng.choice(["", "/items/{id}"]),
            "outcome": rng.choice(names.OUTCOMES),
            "policy_version": rng.choice([0, 7, 2**40]),
            "start_ns": ended - took,
            "end_ns": ended,
        }
        made = rng.randrange(1, 4)
        trace = TraceContext(rng.randbytes(16), rng.randbytes(8), rng.randbytes(8))
        requests.append(request(side="client", trace=None, trace_id=trace.trace_id, attempts=made, **common))
        for ordinal in range(1, made + 1):
            span = TraceContext(trace.trace_id, rng.randbytes(8), trace.parent_span_id)
            denied = rng.choice(["", "budget"])
            shadow = rng.choice([None, *VERDICTS])
            attempts.append(
                attempt(trace=span, ordinal=ordinal, endpoint="e1", retry_denied=denied, shadow=shadow, **common)
            )
    return requests, attempts


async def test_the_rollup_holds_exactly_what_was_recorded(store_server: Store) -> None:
    """Counts and latency buckets per interval and labels, and one row per span with its ids, survive the whole way."""
    from meshwise.store.client import connect

    requests, attempts = traffic(1, time.time_ns())
    recorder = RingRecorder("frontend", ring_records=10_000, ring_bytes=10**8, access_log="all")
    with running_collector(store_server.url) as collector:
        exporter = Exporter(recorder, RESOURCE, collector.url, 10.0)
        await exporter.start()
        for record in requests:
            recorder.request(record)
        for one in attempts:
            recorder.attempt(one)
        await exporter.stop(10.0)
        assert recorder.dropped() == {"traces": 0, "logs": 0}
        await asyncio.to_thread(collector.wait_stored, sum(exporter.exported.values()))

    client = connect(store_server.url)
    labels = "bucket, destination, route, method, policy_version"
    rows = client.query(
        f"SELECT {labels}, outcome, sum(requests), sum(attempts), sumMap(latency) FROM mesh_edge_10s "
        "WHERE instance = 'frontend-told-1' AND source = 'frontend' AND side = 'client' AND outcome != '' "
        f"GROUP BY {labels}, outcome"
    ).result_rows
    found_requests: Counter[Any] = Counter()
    found_attempts: Counter[Any] = Counter()
    found_latency: Counter[Any] = Counter()
    for bucket, *rest, request_count, attempt_count, latency in rows:
        key = (int(bucket.timestamp()), *rest)
        found_requests[key] += request_count
        found_attempts[key] += attempt_count
        buckets = latency if isinstance(latency, dict) else dict(zip(*latency, strict=True))
        for index, count in buckets.items():
            found_latency[*key, index] += count
    assert +found_requests == Counter(map(edge_of, requests))
    assert +found_attempts == Counter(map(edge_of, attempts))
    assert +found_latency == Counter((*edge_of(r), bucket_index((r.end_ns - r.start_ns) / 1e9)) for r in requests)

    ((retries, denied),) = client.query(
        "SELECT sum(retries), sum(retries_denied) FROM mesh_edge_10s WHERE instance = 'frontend-told-1'"
    ).result_rows
    assert retries == sum(one.ordinal > 1 for one in attempts)
    assert denied == sum(one.retry_denied == "budget" for one in attempts)

    judged = Counter((one.destination, one.outcome, one.shadow) for one in attempts if one.shadow is not None)
    assert shadow_verdicts(client, SHADOW_COUNTS) == judged
    assert shadow_verdicts(client, SHADOW_SPANS) == judged

    spans = client.query(
        "SELECT TraceId, SpanId, ParentSpanId, Duration, SpanKind, SpanAttributes['meshwise.attempt.outcome'] "
        "FROM otel_traces WHERE ResourceAttributes['service.instance.id'] = 'frontend-told-1'"
    ).result_rows
    assert Counter(map(tuple, spans)) == Counter(
        (
            one.trace.trace_id.hex(),
            one.trace.span_id.hex(),
            one.trace.parent_span_id.hex(),
            one.end_ns - one.start_ns,
            "Client",
            one.outcome,
        )
        for one in attempts
    )
    ((logged,),) = client.query(
        "SELECT count() FROM otel_logs WHERE ResourceAttributes['service.instance.id'] = 'frontend-told-1' "
        "AND EventName = 'meshwise.access'"
    ).result_rows
    assert logged == len(requests)


SHADOW_COUNTS = """
    SELECT Attributes['meshwise.destination'], Attributes['meshwise.outcome'], Attributes['meshwise.shadow.version'],
        Attributes['meshwise.shadow.timeout'], Attributes['meshwise.shadow.retry'],
        Attributes['meshwise.shadow.denied'], Attributes['meshwise.shadow.skipped'], toUInt64(sum(Value))
    FROM otel_metrics_sum
    WHERE ServiceName = 'frontend' AND MetricName = 'meshwise.shadow.attempts' AND AggregationTemporality = 1
    GROUP BY ALL
"""
SHADOW_SPANS = """
    SELECT SpanAttributes['meshwise.destination'], SpanAttributes['meshwise.attempt.outcome'],
        SpanAttributes['meshwise.shadow.version'], SpanAttributes['meshwise.shadow.timeout'],
        SpanAttributes['meshwise.shadow.retry'], SpanAttributes['meshwise.shadow.denied'],
        SpanAttributes['meshwise.shadow.skipped'], count()
    FROM otel_traces
    WHERE ServiceName = 'frontend' AND SpanKind = 'Client' AND SpanAttributes['meshwise.shadow.version'] != ''
    GROUP BY ALL
"""


def shadow_verdicts(client: Any, statement: str) -> Counter[Any]:
    """Return how often each verdict of a candidate is in the store, by destination and outcome."""
    found: Counter[Any] = Counter()
    for destination, outcome, version, timeout, retry, denied, skipped, count in client.query(statement).result_rows:
        verdict = ShadowVerdict(int(version), timeout or "none", retry, denied, skipped == "true")
        found[destination, outcome, verdict] += count
    return found


def edge_of(record: RequestRecord | AttemptRecord) -> tuple[Any, ...]:
    """Return the rollup's key of ``record``."""
    start = record.end_ns - record.end_ns % TEN_SECONDS
    method = record.method if record.method != "BREW" else "_OTHER"
    return start // 10**9, record.destination, record.route, method, record.policy_version, record.outcome


pytestmark = pytest.mark.timeout(120)

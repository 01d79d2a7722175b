"""How long a reader waits as spans pile up: a trace by its id, and the map of a day from the rollups.

Spans are made in the store itself, as wide as those of ``spans``: half a million, and the others as copies of them
under ids of their own and at other times of the day, so that fifty million take minutes. The rollups hold what 500
services and 5,000 edges leave behind in a day, whatever the number of spans.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.client import Client

from benchmarks.collector.measure import Row, Size
from benchmarks.collector.spans import SPANS_PER_TRACE
from benchmarks.collector.system import system
from meshwise.analytics.keys import Window
from meshwise.analytics.service_map import service_map
from meshwise.analytics.totals import load_totals
from meshwise.dashboard.store_queries import StoreQueries
from meshwise.store.client import StoreAddress, connect

SERVICES: Final = 500
EDGES: Final = 5000
DAY_S: Final = 86_400
STEP: Final = 250_000
"""Spans made by one statement."""
COPIED: Final = 500_000
"""Spans that are made; beyond, they are copied."""
ASKED: Final = 63
"""Traces that are looked up, none of them twice: half of them in either way."""
DRAWN: Final = 15
"""Maps that are made."""

_SPANS: Final = """
INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes,
    ScopeName, ScopeVersion, SpanAttributes, Duration, StatusCode, Events.Timestamp, Events.Name, Events.Attributes)
WITH
    intDiv(number, {per_trace:UInt64}) AS trace,
    cityHash64(number) AS noise,
    {start:UInt64} + cityHash64(trace) % 86400 * 1000000000 + noise % 1000000000 AS at_ns,
    fromUnixTimestamp64Nano(toInt64(at_ns), 'UTC') AS at,
    toString(cityHash64(trace, number % {per_trace:UInt64}) % {services:UInt64}) AS service,
    ['/api/v1/orders/{id}', '/api/v1/cart', '/api/v1/products', '/api/v1/checkout', '/healthz'][noise % 5 + 1] AS route
SELECT
    at, lower(hex(sipHash128(trace))), lower(hex(noise)), lower(hex(cityHash64(number - 1))), concat('GET ', route),
    ['Server', 'Client'][noise % 2 + 1], concat('service-', service),
    map('service.name', concat('service-', service), 'service.namespace', 'shop', 'service.version', '1.14.2',
        'service.instance.id', lower(hex(cityHash64(service))), 'deployment.environment.name', 'production',
        'k8s.pod.name', concat('service-', service, '-7d9f8b6c5'), 'host.name', concat('ip-10-0-', service)),
    'opentelemetry.instrumentation.asgi', '0.66b0',
    map('http.request.method', 'GET', 'url.scheme', 'http', 'url.path', concat(route, toString(noise % 1000000)),
        'url.query', concat('page=', toString(noise % 50)), 'http.route', route,
        'server.address', 'shop.svc.cluster.local',
        'network.protocol.version', '1.1', 'network.peer.address', concat('10.0.', toString(noise % 256)),
        'client.address', concat('192.168.', toString(noise % 65536)), 'user_agent.original', 'Mozilla/5.0 (Linux)',
        'service.peer.name', concat('service-', toString(noise % 500)), 'user.id', substring(lower(hex(noise)), 1, 12),
        'session.id', lower(hex(cityHash64(noise))), 'thread.name', concat('worker-', toString(noise % 16)),
        'code.function.name', 'handlers.orders.get', 'http.response.status_code', '200', 'server.port', '8080',
        'network.peer.port', toString(30000 + noise % 30000), 'http.response.body.size', toString(noise % 20000),
        'app.cache.hit', if(noise % 2 = 0, 'true', 'false')),
    noise % 50000000, 'Unset', [at], ['db.query'], [map('db.query.summary', 'SELECT orders')]
FROM numbers({first:UInt64}, {count:UInt64})
SETTINGS max_partitions_per_insert_block = 10
"""

_COPY: Final = """
INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes,
    ScopeName, ScopeVersion, SpanAttributes, Duration, StatusCode, Events.Timestamp, Events.Name, Events.Attributes)
WITH {start:UInt64} + (toUnixTimestamp64Nano(Timestamp) - {start:UInt64}
    + {copy:UInt64} * 1003000000000) % 86400000000000 AS at_ns
SELECT fromUnixTimestamp64Nano(toInt64(at_ns), 'UTC'), lower(hex(sipHash128(TraceId, {copy:UInt64}))),
    lower(hex(sipHash64(SpanId, {copy:UInt64}))), lower(hex(sipHash64(ParentSpanId, {copy:UInt64}))), SpanName,
    SpanKind, ServiceName, ResourceAttributes, ScopeName, ScopeVersion, SpanAttributes, Duration, StatusCode,
    Events.Timestamp, Events.Name, Events.Attributes
FROM copied_spans
SETTINGS max_partitions_per_insert_block = 10
"""

_ROLLUP: Final = """
INSERT INTO {table} (bucket, source, destination, route, method, side, outcome, requests, attempts, latency)
WITH number % {{edges:UInt64}} AS edge, intDiv(number, {{edges:UInt64}}) AS turn
SELECT
    toDateTime({{start:UInt64}} + turn * {{every:UInt64}}, 'UTC'),
    concat('service-', toString(edge % {{services:UInt64}})),
    concat('service-', toString((edge * 7 + intDiv(edge, {{services:UInt64}}) + 1) % {{services:UInt64}})),
    '/api/v1/orders', 'GET', side, outcome, 100 + edge % 900, 101 + edge % 900,
    mapFromArrays(arrayMap(i -> toInt32(edge % 40 + i - 120), range(20)), arrayMap(i -> toUInt64(5 + i), range(20)))
FROM numbers({{first:UInt64}}, {{count:UInt64}}) ARRAY JOIN ['client', 'server'] AS side
ARRAY JOIN ['ok', 'error'] AS outcome
"""

_TRACE_TIMES: Final = "SELECT min(Start), max(End) + 1 FROM otel_traces_trace_id_ts WHERE TraceId = {trace:String}"
_TRACE_IN_TIME: Final = """
SELECT * FROM otel_traces
WHERE TraceId = {trace:String} AND Timestamp >= {low:DateTime} AND Timestamp <= {high:DateTime}
"""


def queries(size: Size) -> list[Row]:
    """Ask both questions in a store with each of ``size.tables`` spans; one row a store."""
    return [_asked(spans, size.kept and size.kept / str(spans)) for spans in size.tables]


def _asked(spans: int, directory: Path | None) -> Row:
    """Make a store with ``spans`` spans, or take the one in ``directory``, and ask there."""
    begun = time.monotonic()
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    with system(directory) as here:
        store = here.start_store(wide=True)
        with connect(here.store_url) as client:
            now = _prepare(client, spans)
        store.stop()
        made_s = time.monotonic() - begun
        here.start_store()
        with connect(here.store_url) as client:
            dashboard = StoreQueries(StoreAddress(here.store_url), timeout_s=60.0, cache_s=0.0)
            trace_ms, by_time_ms = traces_ms(dashboard, client, some_traces(client))
            maps_ms = [timed(lambda: day_map(client, now)) for _ in range(DRAWN)]
            ((parts, on_disk),) = client.query(
                "SELECT count(), sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'otel_traces'"
            ).result_rows
    row: Row = {
        "measurement": "queries", "spans": spans, "parts": parts, "bytes_per_span": round(on_disk / spans, 1),
        "made_s": round(made_s, 1), "trace_ms": round(statistics.median(trace_ms), 1),
        "trace_spread_ms": [round(min(trace_ms), 1), round(max(trace_ms), 1)],
        "trace_by_time_ms": round(statistics.median(by_time_ms), 1),
        "trace_by_time_spread_ms": [round(min(by_time_ms), 1), round(max(by_time_ms), 1)],
        "map_ms": round(statistics.median(maps_ms), 1),
        "map_spread_ms": [round(min(maps_ms), 1), round(max(maps_ms), 1)],
    }  # fmt: skip
    print(row, file=sys.stderr, flush=True)
    return row


def _prepare(client: Client, spans: int) -> datetime:
    """Fill a store that is empty; return the end of the day that it holds."""
    now = _end_of_day(datetime.now(UTC))
    ((there, last),) = client.query("SELECT count(), max(bucket) FROM mesh_edge_1m").result_rows
    if there:
        now = last.replace(tzinfo=UTC)
    else:
        fill_rollups(client, now)
    # As merges leave them when a while has gone by: each stretch of an edge is one row.
    client.command("OPTIMIZE TABLE mesh_edge_totals FINAL")
    ((held,),) = client.query("SELECT count() FROM otel_traces").result_rows
    if not held:
        make_spans(client, spans, now - timedelta(days=1))
        settle(client)
    elif held != spans:
        raise RuntimeError(f"the store holds {held} spans, not {spans}: delete its directory")
    return now


def _end_of_day(now: datetime) -> datetime:
    """Return the last half hour amid six hours: a day up to it takes as many stretches whenever one asks."""
    end = now.replace(hour=now.hour // 6 * 6 + 3, minute=30, second=0, microsecond=0)
    return end if end <= now else end - timedelta(hours=6)


def make_spans(client: Client, wanted: int, start: datetime) -> None:
    """Make ``wanted`` spans of the day that begins at ``start``."""
    start_ns = int(start.timestamp()) * 10**9
    first = min(COPIED, wanted)
    for at in range(0, first, STEP):
        given = {"first": at, "count": min(STEP, first - at), "start": start_ns}
        client.command(_SPANS, parameters={**given, "services": SERVICES, "per_trace": SPANS_PER_TRACE})
    if wanted == first:
        return
    client.command("CREATE TABLE copied_spans AS otel_traces")
    client.command("INSERT INTO copied_spans SELECT * FROM otel_traces")
    for copy in range(1, wanted // COPIED):
        client.command(_COPY, parameters={"copy": copy, "start": start_ns})
    client.command("DROP TABLE copied_spans SYNC")


def fill_rollups(client: Client, now: datetime) -> None:
    """Put a day of traffic into the rollups: its hours, and the minutes of the last hour, which a map reads as such."""
    end = int(now.timestamp())
    for table, every, start, turns in (
        ("mesh_edge_1h", 3600, end - DAY_S - 3600, 26),
        ("mesh_edge_1m", 60, end - 1800, 31),
    ):
        given = {"edges": EDGES, "services": SERVICES, "every": every, "start": start // every * every}
        for first in range(0, turns, 8):
            part = {"first": first * EDGES, "count": EDGES * min(8, turns - first)}
            client.command(_ROLLUP.format(table=table), parameters={**given, **part})


def settle(client: Client, longest_s: float = 1800.0) -> None:
    """Wait until the store merges nothing any more."""
    deadline = time.monotonic() + longest_s
    while time.monotonic() < deadline:
        if client.query("SELECT count() FROM system.merges").result_rows == [(0,)]:
            return
        time.sleep(0.5)


def some_traces(client: Client) -> list[str]:
    """Ids from all over the table."""
    found = client.query(
        "SELECT DISTINCT TraceId FROM otel_traces_trace_id_ts WHERE cityHash64(TraceId) % 1000 = 0 "
        "ORDER BY rand() LIMIT {n:UInt32}",
        parameters={"n": ASKED},
    ).result_rows
    return [row[0] for row in found]


def traces_ms(dashboard: StoreQueries, client: Client, wanted: Sequence[str]) -> tuple[list[float], list[float]]:
    """Return how long either way takes: they take turns through ``wanted`` and never share a trace."""
    by_id, by_time = [], []
    trace_by_id(dashboard, wanted[0])  # connects
    for one, other in zip(wanted[1::2], wanted[2::2], strict=False):
        by_id.append(timed(lambda one=one: trace_by_id(dashboard, one)))  # type: ignore[misc]
        by_time.append(timed(lambda other=other: trace_by_time(client, other)))  # type: ignore[misc]
    return by_id, by_time


def trace_by_id(dashboard: StoreQueries, trace: str) -> None:
    """Fetch a trace for the dashboard's page: all its spans, with what the page shows of them."""
    _whole(trace, dashboard.spans(trace))


def trace_by_time(client: Client, trace: str) -> None:
    """Fetch a trace, all columns, as Grafana and HyperDX do: when it was, then its spans in that time."""
    ((low, high),) = client.query(_TRACE_TIMES, parameters={"trace": trace}).result_rows
    _whole(trace, client.query(_TRACE_IN_TIME, parameters={"trace": trace, "low": low, "high": high}).result_rows)


def _whole(trace: str, spans: Sequence[object]) -> None:
    if len(spans) != SPANS_PER_TRACE:
        raise RuntimeError(f"trace {trace} has {len(spans)} spans, not {SPANS_PER_TRACE}")


def day_map(client: Client, now: datetime) -> None:
    """Make the map of the last day as analytics and the notebook do."""
    window = Window(now - timedelta(days=1), now)
    found = service_map(load_totals(client, window, now))
    if len(found.edges) != EDGES:
        raise RuntimeError(f"the map has {len(found.edges)} edges, not {EDGES}")


def timed(call: Callable[[], None]) -> float:
    """Milliseconds that ``call`` takes."""
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1e3

"""A made-up mesh of 500 services in five tiers and 5,000 edges, written straight into the rollups of a store.

Ten-second rows for the last minutes, and what their views make of them; minute rows for the hours before; hour rows for
all whole hours. So each rollup holds what a map of 24 hours and a cycle read of it; minutes of the middle of the day,
which nothing reads, are left out. Every edge has both sides, two outcomes, and latencies over some dozen histogram
buckets a row; its traffic is some 30 requests a bucket. Nothing is drawn at random.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

SERVICES: Final = 500
EDGES: Final = 5_000
FINE_S: Final = 600
"""Seconds before the end with rows of ten seconds."""
MINUTES_S: Final = 2 * 3600
"""Seconds before those with rows of a minute."""
DAY_S: Final = 86_400
_CHUNK_ROWS: Final = 100_000
"""Rows written by one statement, at most."""

_ROWS: Final = """
INSERT INTO {table} ({columns})
SELECT
    toDateTime({{start:UInt32}} + {{step:UInt32}} * intDiv(number, {{edges:UInt32}} * 4), 'UTC') AS bucket,
    concat('service-', leftPad(toString(caller), 3, '0')) AS source,
    concat('service-', leftPad(toString(callee), 3, '0')) AS destination,
    if(edge % 3 = 0, '/items/{{id}}', '') AS route,
    'GET' AS method,
    if(number % 2 = 0, 'client', 'server') AS side,
    {more}
    if(intDiv(number, 2) % 2 = 0, 'ok', 'error') AS outcome,
    total AS requests,
    if(side = 'client', total, 0) AS attempts,
    0 AS retries,
    0 AS retries_denied,
    mapFromArrays(
        arrayMap(i -> toInt32(-110 + edge % 50 + i), range({{width:UInt32}})),
        arrayMap(i -> toUInt64(greatest(1, total / {{width:UInt32}})), range({{width:UInt32}}))
    ) AS latency
FROM
(
    SELECT
        number,
        intDiv(number, 4) % {{edges:UInt32}} AS edge,
        edge % 400 AS caller,
        100 * (intDiv(caller, 100) + 1) AS deeper,
        deeper + (caller * 7 + intDiv(edge, 400) * 31) % (500 - deeper) AS callee,
        -- A failure in every tenth bucket of ten seconds, and in every one that is longer.
        if(intDiv(number, 2) % 2 = 0,
           toUInt64({{step:UInt32}} / 10 * (5 + cityHash64(edge) % 50 + cityHash64(number) % 5)),
           toUInt64(intDiv({{step:UInt32}}, 60) + if(cityHash64(number) % 10 = 0, 1, 0))) AS total
    FROM numbers({{from:UInt64}}, {{count:UInt64}})
)
WHERE total > 0
"""
_COLUMNS: Final = (
    "bucket, source, destination, route, method, side, {}outcome, requests, attempts, retries, retries_denied, latency"
)


def write(client: Any, end: datetime, *, days: int = 1) -> None:
    """Write the mesh of the 24 hours before ``end``, a whole ten seconds; with ``days``, that many of hours."""
    last = int(end.timestamp())
    fine = last - FINE_S
    fine -= fine % 60
    minutes, hours = (fine - MINUTES_S) // 3600 * 3600, (last - days * DAY_S) // 3600 * 3600
    _rows(client, "mesh_edge_1h", hours, fine // 3600 * 3600, step=3600, width=24)
    first = last - DAY_S
    _rows(client, "mesh_edge_1m", first // 60 * 60, -(-first // 3600) * 3600, step=60, width=14)
    _rows(client, "mesh_edge_1m", minutes, fine, step=60, width=14)
    _rows(client, "mesh_edge_10s", first // 60 * 60, -(-first // 60) * 60, step=10, width=8)
    _rows(client, "mesh_edge_10s", fine, last, step=10, width=8)


def write_spans(client: Any, end: datetime, count: int) -> None:
    """Write ``count`` spans of the hour before ``end``, which neither the map nor the anomalies should notice."""
    statement = """
        INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration)
        SELECT
            toDateTime64({start:UInt32} + 3600 * number / {count:UInt64}, 9, 'UTC'), lower(hex(sipHash128(number))),
            lower(hex(cityHash64(number))), '', 'GET', 'Internal',
            concat('service-', leftPad(toString(number % 500), 3, '0')), 1000000
        FROM numbers({count:UInt64})
    """
    client.command(statement, parameters={"start": int((end - timedelta(hours=2)).timestamp()), "count": count})


def _rows(client: Any, table: str, start: int, end: int, *, step: int, width: int) -> None:
    fine = table == "mesh_edge_10s"
    statement = _ROWS.format(
        table=table,
        columns=_COLUMNS.format("instance, policy_version, " if fine else ""),
        more="'proxy-1' AS instance, 1 AS policy_version," if fine else "",
    )
    buckets = max(0, (end - start) // step)
    chunks = max(1, -(-buckets * EDGES * 4 // _CHUNK_ROWS))
    for chunk in range(chunks):
        first, last = buckets * chunk // chunks, buckets * (chunk + 1) // chunks
        if first == last:
            continue
        parameters = {
            "start": start,
            "step": step,
            "edges": EDGES,
            "width": width,
            "from": first * EDGES * 4,
            "count": (last - first) * EDGES * 4,
        }
        client.command(statement, parameters=parameters)

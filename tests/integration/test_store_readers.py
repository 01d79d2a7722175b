"""What others read our tables by: the exporter's columns with their types, Grafana's data source, HyperDX.

Sources: opentelemetry-collector-contrib exporter/clickhouseexporter (2026 generation), grafana/clickhouse-datasource
src/otel.ts, hyperdxio/hyperdx source definitions. A change here breaks dashboards that people have.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from meshwise.store import otlp
from meshwise.store.client import connect
from support.otlp import logs, sums, traces
from support.store import running_store

TEXT, WORD, MAP = "String", "LowCardinality(String)", "Map(LowCardinality(String), String)"
NANO, SECOND = "DateTime64(9, 'UTC')", "DateTime('UTC')"

TRACES = {
    "Timestamp": NANO, "TraceId": TEXT, "SpanId": TEXT, "ParentSpanId": TEXT, "TraceState": TEXT, "SpanName": WORD,
    "SpanKind": WORD, "ServiceName": WORD, "ResourceAttributes": MAP, "ScopeName": TEXT, "ScopeVersion": TEXT,
    "SpanAttributes": MAP, "Duration": "UInt64", "StatusCode": WORD, "StatusMessage": TEXT,
    "Events.Timestamp": f"Array({NANO})", "Events.Name": f"Array({WORD})", "Events.Attributes": f"Array({MAP})",
    "Links.TraceId": "Array(String)", "Links.SpanId": "Array(String)", "Links.TraceState": "Array(String)",
    "Links.Attributes": f"Array({MAP})",
}  # fmt: skip
LOGS = {
    "Timestamp": NANO, "TraceId": TEXT, "SpanId": TEXT, "TraceFlags": "UInt8", "SeverityText": WORD,
    "SeverityNumber": "UInt8", "ServiceName": WORD, "Body": TEXT, "ResourceSchemaUrl": WORD, "ResourceAttributes": MAP,
    "ScopeSchemaUrl": WORD, "ScopeName": TEXT, "ScopeVersion": WORD, "ScopeAttributes": MAP, "LogAttributes": MAP,
    "EventName": TEXT,
}  # fmt: skip
POINT = {
    "ResourceAttributes": MAP, "ResourceSchemaUrl": TEXT, "ScopeName": TEXT, "ScopeVersion": TEXT,
    "ScopeAttributes": MAP, "ScopeDroppedAttrCount": "UInt32", "ScopeSchemaUrl": TEXT, "ServiceName": WORD,
    "MetricName": WORD, "MetricDescription": TEXT, "MetricUnit": TEXT, "Attributes": MAP, "StartTimeUnix": SECOND,
    "TimeUnix": SECOND, "Flags": "UInt32",
}  # fmt: skip
EXEMPLARS = {
    "Exemplars.FilteredAttributes": f"Array({MAP})", "Exemplars.TimeUnix": f"Array({SECOND})",
    "Exemplars.Value": "Array(Float64)", "Exemplars.SpanId": "Array(String)", "Exemplars.TraceId": "Array(String)",
}  # fmt: skip
COUNTED = {"Count": "UInt64", "Sum": "Float64"}
TABLES = {
    "otel_traces": TRACES,
    "otel_traces_trace_id_ts": {
        "TraceId": TEXT,
        "Start": f"SimpleAggregateFunction(min, {SECOND})",
        "End": f"SimpleAggregateFunction(max, {SECOND})",
    },
    "otel_logs": LOGS,
    "otel_metrics_gauge": {**POINT, **EXEMPLARS, "Value": "Float64"},
    "otel_metrics_sum": {
        **POINT, **EXEMPLARS, "Value": "Float64", "AggregationTemporality": "Int32", "IsMonotonic": "Bool",
    },
    "otel_metrics_histogram": {
        **POINT, **EXEMPLARS, **COUNTED, "BucketCounts": "Array(UInt64)", "ExplicitBounds": "Array(Float64)",
        "Min": "Float64", "Max": "Float64", "AggregationTemporality": "Int32",
    },
    "otel_metrics_exponential_histogram": {
        **POINT, **EXEMPLARS, **COUNTED, "Scale": "Int32", "ZeroCount": "UInt64", "PositiveOffset": "Int32",
        "PositiveBucketCounts": "Array(UInt64)", "NegativeOffset": "Int32", "NegativeBucketCounts": "Array(UInt64)",
        "Min": "Float64", "Max": "Float64", "AggregationTemporality": "Int32",
    },
    "otel_metrics_summary": {
        **POINT, **COUNTED, "ValueAtQuantiles.Quantile": "Array(Float64)", "ValueAtQuantiles.Value": "Array(Float64)",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    now = time.time_ns()
    sent = {
        "traces": traces(range(3), service="cart", start_ns=now, attributes={"SampleRate": "10"}),
        "logs": logs("ab", service="cart", at_ns=now),
        "metrics": sums([2], service="cart", at_ns=now),
    }
    with running_store() as store, connect(store.url) as one:
        for signal in otlp.SIGNALS:
            one.raw_insert(
                otlp.LANDING_TABLES[signal],
                insert_block=sent[signal].SerializeToString(),
                fmt=otlp.FORMAT,
                settings=otlp.insert_settings(signal, signal),
            )
        yield one


@pytest.mark.parametrize("table", TABLES)
def test_the_exporters_columns(client: Client, table: str) -> None:
    """Every column that the exporter has is there, of its type; what we add no writer needs to know."""
    described = client.query(f"DESCRIBE TABLE {table}").result_rows
    written = {name: kind for name, kind, default, *_ in described if not default}
    assert written == TABLES[table]
    assert {default for _, _, default, *_ in described} <= {"", "ALIAS", "MATERIALIZED", "DEFAULT"}


GRAFANA = (
    # The search for traces, and its time filter.
    """SELECT "TraceId" AS traceID, "ServiceName" AS serviceName, "SpanName" AS operationName, "Timestamp" AS startTime,
        multiply("Duration", 0.000001) AS duration
    FROM "meshwise"."otel_traces"
    WHERE ( "Timestamp" >= fromUnixTimestamp64Milli({from:Int64})
        AND "Timestamp" <= fromUnixTimestamp64Milli({to:Int64}) )
        AND ( "ParentSpanId" = '' ) AND ( "Duration" > 0 ) ORDER BY "Timestamp" DESC, "Duration" DESC LIMIT 1000""",
    # One trace, by way of the table of begins and ends.
    """WITH {id:String} AS trace_id,
        (SELECT min(Start) FROM "meshwise"."otel_traces_trace_id_ts" WHERE TraceId = trace_id) AS trace_start,
        (SELECT max(End) + 1 FROM "meshwise"."otel_traces_trace_id_ts" WHERE TraceId = trace_id) AS trace_end
    SELECT "TraceId" AS traceID, "SpanId" AS spanID, "ParentSpanId" AS parentSpanID, "ServiceName" AS serviceName,
        "SpanName" AS operationName, multiply(toUnixTimestamp64Nano("Timestamp"), 0.000001) AS startTime,
        multiply("Duration", 0.000001) AS duration,
        arrayMap(key -> map('key', key, 'value', "SpanAttributes"[key]), mapKeys("SpanAttributes")) AS tags,
        arrayMap(key -> map('key', key, 'value', "ResourceAttributes"[key]), mapKeys("ResourceAttributes"))
            AS serviceTags,
        if("StatusCode" = 'Error', 2, 0) AS statusCode, "SpanKind" AS kind, "StatusMessage" AS statusMessage,
        "TraceState" AS traceState,
        arrayMap((name, timestamp, attributes) -> tuple(name, toString(toUnixTimestamp64Milli(timestamp)),
            arrayMap(key -> map('key', key, 'value', attributes[key]), mapKeys(attributes)))
            ::Tuple(name String, timestamp String, fields Array(Map(String, String))),
            "Events.Name", "Events.Timestamp", "Events.Attributes") AS logs,
        arrayMap((trace, span, attributes) -> tuple(trace, span,
            arrayMap(key -> map('key', key, 'value', attributes[key]), mapKeys(attributes)))
            ::Tuple(traceID String, spanID String, tags Array(Map(String, String))),
            "Links.TraceId", "Links.SpanId", "Links.Attributes") AS references
    FROM "meshwise"."otel_traces"
    WHERE traceID = trace_id AND "Timestamp" >= trace_start AND "Timestamp" <= trace_end LIMIT 1000""",
    """SELECT "Timestamp" AS "timestamp", "Body" AS "body", "SeverityText" AS "level", "LogAttributes" AS "labels",
        "TraceId" AS "traceID"
    FROM "meshwise"."otel_logs"
    WHERE ( timestamp >= fromUnixTimestamp64Milli({from:Int64}) AND timestamp <= fromUnixTimestamp64Milli({to:Int64}) )
    ORDER BY timestamp DESC LIMIT 1000""",
)


@pytest.mark.parametrize("statement", GRAFANA)
def test_grafanas_data_source_reads_them(client: Client, statement: str) -> None:
    """The queries that its builder makes for OpenTelemetry's columns find what was sent."""
    now = int(time.time() * 1000)
    trace_id = (b"\x02" + (1).to_bytes(15, "big")).hex()
    found = client.query(statement, {"from": now - 600_000, "to": now + 60_000, "id": trace_id})
    assert len(found.result_rows) == {"traceID": 1, "timestamp": 2}[found.column_names[0]] * (
        3 if "ParentSpanId\" = ''" in statement else 1
    )


HYPERDX = (
    ("SELECT Timestamp, ServiceName, StatusCode, round(Duration / 1e6), SpanName FROM otel_traces", 3),
    ("SELECT Timestamp, ServiceName, SeverityText, Body FROM otel_logs", 2),
    ("SELECT greatest(toUInt64OrZero(SpanAttributes['SampleRate']), 1) FROM otel_traces WHERE SpanKind != ''", 3),
    (
        "SELECT TimeUnix, ServiceName, MetricName, Value, Attributes, ResourceAttributes, AggregationTemporality, "
        "IsMonotonic, cityHash64(mapConcat(ScopeAttributes, ResourceAttributes, Attributes)) AS AttributesHash "
        "FROM otel_metrics_sum",
        1,
    ),
    (
        "SELECT server.ServiceName, client.ServiceName FROM otel_traces AS server LEFT JOIN otel_traces AS client "
        "ON server.TraceId = client.TraceId AND server.ParentSpanId = client.SpanId "
        "WHERE server.SpanKind IN ('Server', 'Consumer', 'Unspecified')",
        3,
    ),
    ("SELECT Events.Name, Events.Timestamp, Events.Attributes FROM otel_traces", 3),
    ("SELECT Count, Sum, BucketCounts, ExplicitBounds FROM otel_metrics_histogram", 0),
)


@pytest.mark.parametrize(("statement", "rows"), HYPERDX)
def test_hyperdx_reads_them(client: Client, statement: str, rows: int) -> None:
    """The expressions of its trace, log and metric sources work on these tables."""
    assert len(client.query(statement).result_rows) == rows

"""The tables of a real store: the history, raw OTLP into the otel_* tables, the edge rollups, the findings."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, DataPointFlags
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from meshwise.collector.landing import ClickHouseLanding
from meshwise.collector.signals import Signal
from meshwise.contracts import rows
from meshwise.contracts.errors import ConfigError
from meshwise.store import migrations, otlp
from meshwise.store.client import StoreAddress, connect
from meshwise.store.findings import columns, insert_rows, select_rows
from meshwise.store.main import migrate
from meshwise.store.settings import StoreSettings
from support import values
from support.otlp import edge_metrics, put
from support.store import Store, running_store

NOW = datetime.now(UTC).replace(microsecond=0, second=0)
NANO = int(NOW.timestamp()) * 10**9


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as one:
        yield one


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    with connect(store.url) as one:
        yield one


def send(client: Client, signal: otlp.Signal, request: Any, token: str) -> None:
    body = request if isinstance(request, bytes) else request.SerializeToString()
    client.raw_insert(
        otlp.LANDING_TABLES[signal], insert_block=body, fmt=otlp.FORMAT, settings=otlp.insert_settings(signal, token)
    )


def spans(service: str, count: int) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    put(resource.resource.attributes, service__name=service, empty="")
    scoped = resource.scope_spans.add()
    scoped.scope.name, scoped.scope.version = "a scope", "1.2"
    for number in range(count):
        span = scoped.spans.add(name=f"GET /{number}", kind=number % 6, trace_state="k=v")
        span.trace_id, span.span_id = bytes([number + 1]) * 16, bytes([0xAB]) * 8
        span.start_time_unix_nano, span.end_time_unix_nano = NANO + 123_456_789, NANO + 123_456_789 + 1_500_000
    return request


def test_history_is_complete_and_repeatable(store: Store, client: Client) -> None:
    """A served store has every version applied; migrating it again, from outside, changes nothing."""
    assert client.command(f"SELECT count() FROM {migrations.LEDGER}") == len(migrations.history())
    assert migrate(StoreSettings(url=store.url)) == []
    assert migrations.migrate(migrations.ClientConnection(client)) == []


def test_a_store_built_from_outside_is_the_same(client: Client) -> None:
    """Every statement of the history can be run again over HTTP: it is plain DDL and repeatable."""
    for one in migrations.history():
        client.command(one.statement)
    assert client.command("SELECT count() FROM system.tables WHERE database = 'meshwise' AND engine = 'Memory'") == 0


def test_an_edited_history_is_refused(client: Client) -> None:
    """A file changed after it was applied, and a version nobody knows, stop a migration with one line."""
    known = migrations.history()
    edited = dataclasses.replace(known[3], checksum="0" * 64)
    with pytest.raises(ConfigError, match="0004_create_otel_logs was edited"):
        migrations.migrate(migrations.ClientConnection(client), (*known[:3], edited, *known[4:]))
    with pytest.raises(ConfigError, match="does not know"):
        migrations.migrate(migrations.ClientConnection(client), known[:-1])


@pytest.mark.parametrize("kind", [*rows.TABLES, rows.EdgeBucket])
def test_columns_are_the_fields(client: Client, kind: type) -> None:
    """DESCRIBE of each mesh_* table lists exactly the fields of its dataclass, in order; then what code made it."""
    table = {**rows.TABLES, rows.EdgeBucket: rows.EDGE_10S}[kind]
    described = [row[0] for row in client.query(f"DESCRIBE TABLE {table}").result_rows]
    assert tuple(described) == (*columns(kind), *(["code_version"] if kind in rows.MADE else []))
    if kind is rows.EdgeBucket:
        for coarse in (rows.EDGE_1M, rows.EDGE_1H):
            names = [row[0] for row in client.query(f"DESCRIBE TABLE {coarse}").result_rows]
            assert names == [name for name in described if name not in ("instance", "policy_version")]


KEPT = {
    "toIntervalDay(2)": {rows.EDGE_10S},
    "toIntervalDay(3)": {"otel_traces", "otel_traces_trace_id_ts", "otel_logs"}
    | {"mesh_span_arrivals", "mesh_findings_burndowns"},
    "toIntervalDay(7)": {
        f"otel_metrics_{kind}" for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary")
    },
    "toIntervalDay(30)": {rows.EDGE_1M, "mesh_collector_stats", "mesh_services"}
    | {f"mesh_findings_{kind}" for kind in ("edges", "slos", "alerts", "anomalies", "proposals", "rollouts")},
    "toIntervalDay(35)": {"mesh_edge_spans", "mesh_edge_spans_state"},
    "toIntervalDay(400)": {rows.EDGE_1H},
    "toIntervalDay(if(seconds = 600, 30, 400))": {"mesh_edge_totals"},
    "toIntervalHour(1)": {"mesh_leases"},
    "": {migrations.LEDGER, "mesh_slo_documents", "mesh_silences"},
}
"""How long each table keeps its rows, as docs/store.md says. What people wrote is theirs to take back."""


def test_every_table_forgets_in_its_time(client: Client) -> None:
    """Every table forgets when it should; those fed by ingestion remember tokens and sync to disk."""
    kept = client.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = 'meshwise' AND engine LIKE '%MergeTree'"
    ).result_rows
    assert {name for name, _ in kept} == set().union(*KEPT.values())
    ends = {name: end for end, names in KEPT.items() for name in names}
    for name, ddl in kept:
        rule = re.search(r" TTL .*? \+ (.*?) SETTINGS ", ddl)
        assert (rule[1] if rule else "") == ends[name], name
        assert "fsync_after_insert = 1" in ddl, name
        if name.startswith(("otel_", "mesh_edge")):
            assert "non_replicated_deduplication_window = 10000" in ddl, name


def test_spans_arrive_in_the_exporters_spelling(client: Client) -> None:
    """Every field of a span is kept: ids in hex, kinds in words, zeros and falses."""
    request = spans("spelling", 1)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.kind, span.status.code, span.status.message = Span.SPAN_KIND_CLIENT, Status.STATUS_CODE_ERROR, "it broke"
    span.parent_span_id = b"\x01" * 8
    put(span.attributes, text="x", zero=0, big=2**62, no=False, yes=True, half=0.5, raw=b"\x00\xff", http__route="/a")
    items = span.attributes.add(key="list").value.array_value
    items.values.add(string_value='a"b')
    items.values.add(int_value=0)
    items.values.add(bool_value=False)
    entry = span.attributes.add(key="map").value.kvlist_value.values.add(key="k")
    entry.value.double_value = 1.5
    event = span.events.add(name="exception", time_unix_nano=NANO + 1)
    put(event.attributes, exception__type="E")
    link = span.links.add(trace_id=b"\x02" * 16, span_id=b"\x03" * 8, trace_state="s=t")
    put(link.attributes, n=1)
    send(client, "traces", request, "spelling")
    (row,) = client.query("SELECT * FROM otel_traces WHERE ServiceName = 'spelling'").named_results()
    assert row["SpanAttributes"] == {
        "text": "x", "zero": "0", "big": str(2**62), "no": "false", "yes": "true", "half": "0.5", "raw": "AP8=",
        "http.route": "/a", "list": '["a\\"b",0,false]', "map": '{"k":1.5}',
    }  # fmt: skip
    assert row["ResourceAttributes"] == {"service.name": "spelling", "empty": ""}
    assert (row["TraceId"], row["SpanId"], row["ParentSpanId"]) == ("01" * 16, "ab" * 8, "01" * 8)
    assert (row["SpanKind"], row["StatusCode"], row["StatusMessage"]) == ("Client", "Error", "it broke")
    assert (row["SpanName"], row["TraceState"], row["Duration"]) == ("GET /0", "k=v", 1_500_000)
    assert (row["ScopeName"], row["ScopeVersion"]) == ("a scope", "1.2")
    assert (
        client.command("SELECT toUnixTimestamp64Nano(Timestamp) FROM otel_traces WHERE ServiceName = 'spelling'")
        == NANO + 123_456_789
    )
    assert (row["Events.Name"], row["Events.Attributes"]) == (["exception"], [{"exception.type": "E"}])
    assert (row["Links.TraceId"], row["Links.SpanId"], row["Links.TraceState"]) == (["02" * 16], ["03" * 8], ["s=t"])
    assert row["Links.Attributes"] == [{"n": "1"}]
    assert client.query(
        "SELECT Start, End FROM otel_traces_trace_id_ts WHERE TraceId = {id:String}", {"id": "01" * 16}
    ).result_rows == [(NOW.replace(tzinfo=None), NOW.replace(tzinfo=None))]


def test_span_kinds_in_words(client: Client) -> None:
    """Each kind has its word, and a kind from the future is unspecified."""
    request = spans("kinds", 6)
    last = request.resource_spans[0].scope_spans[0].spans.add(name="GET /6", span_id=b"x" * 8)
    last.start_time_unix_nano, last.kind = NANO, Span.SPAN_KIND_CONSUMER
    send(client, "traces", request, "kinds")
    found = client.query("SELECT SpanKind FROM otel_traces WHERE ServiceName = 'kinds' ORDER BY SpanName").result_rows
    assert [kind for (kind,) in found] == [
        "Unspecified", "Internal", "Server", "Client", "Producer", "Consumer", "Consumer",
    ]  # fmt: skip


def test_a_join_of_requests_is_one_insert_done_once(client: Client) -> None:
    """Serialized requests one after the other are one body; the same token again adds nothing, a new one does."""
    body = b"".join(spans(f"joined-{number}", 10).SerializeToString() for number in range(5))
    counting = "SELECT count() FROM otel_traces WHERE ServiceName LIKE 'joined-%'"
    for token, expected in (("join-1", 50), ("join-1", 50), ("join-2", 100)):
        send(client, "traces", body, token)
        assert client.command(counting) == expected


def test_a_cut_request_adds_nothing(client: Client) -> None:
    """Bytes that are no request are refused with a data error, all or nothing."""
    body = spans("cut", 3).SerializeToString()
    with pytest.raises(DatabaseError) as refused:
        send(client, "traces", body[:-5], "cut")
    assert refused.value.code == 33
    assert client.command("SELECT count() FROM otel_traces WHERE ServiceName = 'cut'") == 0


def test_logs_arrive_in_the_exporters_spelling(client: Client) -> None:
    """A log record keeps its body, severity, ids and attributes; without a time it gets the observed one."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add(schema_url="https://r")
    put(resource.resource.attributes, service__name="logger", k8s__pod__name="pod-1")
    scoped = resource.scope_logs.add(schema_url="https://s")
    scoped.scope.name = "log scope"
    put(scoped.scope.attributes, scope="yes")
    record = scoped.log_records.add(severity_number=17, severity_text="ERROR", flags=1, event_name="an event")
    record.observed_time_unix_nano = NANO + 5
    record.trace_id, record.span_id = b"\x0a" * 16, b"\x0b" * 8
    record.body.kvlist_value.values.add(key="message").value.string_value = "hello"
    put(record.attributes, attempt=2)
    send(client, "logs", request, "logs-1")
    send(client, "logs", request, "logs-1")
    (row,) = client.query(
        "SELECT *, toUnixTimestamp64Nano(Timestamp) AS nano, `__otel_materialized_k8s.pod.name` AS pod FROM otel_logs"
    ).named_results()
    assert (row["Body"], row["SeverityText"], row["SeverityNumber"]) == ('{"message":"hello"}', "ERROR", 17)
    assert (row["TraceId"], row["SpanId"], row["TraceFlags"]) == ("0a" * 16, "0b" * 8, 1)
    assert (row["nano"], row["EventName"], row["pod"]) == (NANO + 5, "an event", "pod-1")
    assert (row["LogAttributes"], row["ScopeAttributes"]) == ({"attempt": "2"}, {"scope": "yes"})
    assert (row["ResourceSchemaUrl"], row["ScopeSchemaUrl"], row["ServiceName"]) == ("https://r", "https://s", "logger")


@pytest.fixture(scope="module")
def valued(store: Store, client: Client) -> Client:
    """The store with a value of every kind in every place, as the collector inserts them."""

    async def insert() -> None:
        landing = ClickHouseLanding(StoreAddress(store.url), timeout_s=20.0)
        for signal, build in (
            (Signal.TRACES, values.spans),
            (Signal.LOGS, values.logs),
            (Signal.METRICS, values.metrics),
        ):
            await landing.insert(signal, f"values/{signal}", [build("values").SerializeToString()])
        await landing.close()

    asyncio.run(insert())
    return client


POINTS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


@pytest.mark.parametrize(
    ("table", "holder"),
    [
        *(("otel_traces", holder) for holder in ("ResourceAttributes", "SpanAttributes")),
        *(("otel_traces", f"{holder}.Attributes[1]") for holder in ("Events", "Links")),
        *(("otel_logs", holder) for holder in ("ResourceAttributes", "ScopeAttributes", "LogAttributes")),
        *(
            (f"otel_metrics_{kind}", holder)
            for kind in POINTS
            for holder in ("ResourceAttributes", "ScopeAttributes", "Attributes", "Exemplars.FilteredAttributes[1]")
            if (kind, holder) != ("summary", "Exemplars.FilteredAttributes[1]")
        ),
    ],
)
def test_values_of_every_kind_in_every_place(valued: Client, table: str, holder: str) -> None:
    """Lists, maps and bytes are text however deep; empty ones, zero and false differ from what is not there."""
    found = valued.query(f"SELECT {holder} FROM {table} WHERE ServiceName = 'values'").result_rows
    expected = dict(values.SPELLED)
    if holder == "ResourceAttributes":
        expected["service.name"] = "values"
    assert found
    assert all(attributes == expected for (attributes,) in found)


def test_bodies_of_every_kind(valued: Client) -> None:
    """The body of a log record is spelled as an attribute."""
    rows = valued.query("SELECT EventName, Body FROM otel_logs WHERE ServiceName = 'values'").result_rows
    assert {str(name): body for name, body in rows} == values.SPELLED


def test_metrics_of_every_kind_arrive(client: Client) -> None:
    """Gauge, sum, histogram, exponential histogram and summary each land in their table, every column of it."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add(schema_url="https://r")
    put(resource.resource.attributes, service__name="meter")
    scoped = resource.scope_metrics.add(schema_url="https://s")
    scoped.scope.name, scoped.scope.version, scoped.scope.dropped_attributes_count = "a meter", "1.2", 3
    put(scoped.scope.attributes, scope="yes")
    cumulative, delta = (
        AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
        AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA,
    )

    def metric(name: str) -> Any:
        return scoped.metrics.add(name=name, unit="By", description="d")

    def point(holder: Any, **fields: Any) -> Any:
        one = holder.data_points.add(start_time_unix_nano=NANO - 10**10, time_unix_nano=NANO, flags=5, **fields)
        put(one.attributes, k="v")
        return one

    def exemplar(one: Any, **value: Any) -> None:
        put(
            one.exemplars.add(
                time_unix_nano=NANO - 10**9, trace_id=b"\x01" * 16, span_id=b"\x02" * 8, **value
            ).filtered_attributes,
            f="x",
        )

    exemplar(point(metric("g").gauge, as_int=-5), as_double=0.25)
    total = metric("s").sum
    total.aggregation_temporality, total.is_monotonic = cumulative, True
    exemplar(point(total, as_double=2.5), as_int=-7)
    histogram = metric("h").histogram
    histogram.aggregation_temporality = delta
    one = point(histogram, count=3, sum=6.0, bucket_counts=[1, 2], explicit_bounds=[1.0], min=0.5, max=4.0)
    exemplar(one, as_int=4)
    exponential = metric("e").exponential_histogram
    exponential.aggregation_temporality = cumulative
    one = point(exponential, count=4, sum=2.0, scale=-2, zero_count=1, min=-1.5, max=3.0)
    one.positive.offset, one.negative.offset = -3, 4
    one.positive.bucket_counts.extend([1, 1])
    one.negative.bucket_counts.append(1)
    exemplar(one, as_double=0.5)
    point(metric("q").summary, count=9, sum=1.5).quantile_values.add(quantile=0.5, value=0.1)
    send(client, "metrics", request, "kinds")

    moment = NOW.replace(tzinfo=None)
    shared = {
        "ResourceAttributes": {"service.name": "meter"}, "ResourceSchemaUrl": "https://r", "ServiceName": "meter",
        "ScopeName": "a meter", "ScopeVersion": "1.2", "ScopeAttributes": {"scope": "yes"}, "ScopeDroppedAttrCount": 3,
        "ScopeSchemaUrl": "https://s", "MetricUnit": "By", "MetricDescription": "d", "Attributes": {"k": "v"},
        "StartTimeUnix": moment - timedelta(seconds=10), "TimeUnix": moment, "Flags": 5,
    }  # fmt: skip

    def with_exemplar(value: float) -> dict[str, Any]:
        return {
            "Exemplars.Value": [value], "Exemplars.TimeUnix": [moment - timedelta(seconds=1)],
            "Exemplars.TraceId": ["01" * 16], "Exemplars.SpanId": ["02" * 8],
            "Exemplars.FilteredAttributes": [{"f": "x"}],
        }  # fmt: skip

    expected = {
        "gauge": {"MetricName": "g", "Value": -5.0, **with_exemplar(0.25)},
        "sum": {
            "MetricName": "s", "Value": 2.5, "AggregationTemporality": 2, "IsMonotonic": True, **with_exemplar(-7.0),
        },
        "histogram": {
            "MetricName": "h", "Count": 3, "Sum": 6.0, "BucketCounts": [1, 2], "ExplicitBounds": [1.0], "Min": 0.5,
            "Max": 4.0, "AggregationTemporality": 1, **with_exemplar(4.0),
        },
        "exponential_histogram": {
            "MetricName": "e", "Count": 4, "Sum": 2.0, "Scale": -2, "ZeroCount": 1, "PositiveOffset": -3,
            "PositiveBucketCounts": [1, 1], "NegativeOffset": 4, "NegativeBucketCounts": [1], "Min": -1.5, "Max": 3.0,
            "AggregationTemporality": 2, **with_exemplar(0.5),
        },
        "summary": {
            "MetricName": "q", "Count": 9, "Sum": 1.5, "ValueAtQuantiles.Quantile": [0.5],
            "ValueAtQuantiles.Value": [0.1],
        },
    }  # fmt: skip
    for kind, own in expected.items():
        (row,) = client.query(f"SELECT * FROM otel_metrics_{kind} WHERE ServiceName = 'meter'").named_results()
        assert row == {**shared, **own}


@pytest.mark.parametrize("kind", ["histogram", "exponential_histogram"])
def test_what_a_histogram_does_not_say_is_no_number(client: Client, kind: str) -> None:
    """A sum, least and greatest value of 0 differ from none; a point without a number is told by its flag."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    put(resource.resource.attributes, service__name=f"zero-{kind}")
    scoped = resource.scope_metrics.add()
    points = getattr(scoped.metrics.add(name="h"), kind).data_points
    points.add(time_unix_nano=NANO, count=1, sum=0.0, min=0.0, max=0.0)
    points.add(time_unix_nano=NANO + 10**9, count=2)
    numbers = scoped.metrics.add(name="g").gauge.data_points
    numbers.add(time_unix_nano=NANO, as_int=0)
    numbers.add(time_unix_nano=NANO + 10**9, flags=DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK)
    send(client, "metrics", request, f"zero-{kind}")
    where = f"WHERE ServiceName = 'zero-{kind}' ORDER BY TimeUnix"
    said, silent = client.query(f"SELECT Count, Sum, Min, Max FROM otel_metrics_{kind} {where}").result_rows
    assert said == (1, 0.0, 0.0, 0.0)
    assert silent[0] == 2
    assert all(math.isnan(value) for value in silent[1:])
    assert client.query(f"SELECT Value, Flags FROM otel_metrics_gauge {where}").result_rows == [(0.0, 0), (0.0, 1)]


def test_edges_are_rolled_up_once(client: Client) -> None:
    """What proxies count is summed per edge in 10 s, 1 min and 1 h; replays and cumulative points add nothing."""
    for instance, second in (("p1", 0), ("p1", 5), ("p2", 0), ("p1", 30)):
        for _ in range(2):
            send(client, "metrics", edge_metrics(instance, NANO + second * 10**9), f"{instance}-{second}")
    send(client, "metrics", edge_metrics("p3", NANO, is_delta=False), "cumulative")
    sums = "sum(requests), sum(attempts), sum(retries), sum(retries_denied), sumMap(latency)"
    keys = "source, destination, route, method, side, outcome"
    expected = (28, 36, 8, 4, {-1000: 4, -64: 8, -62: 16})
    for table in (rows.EDGE_10S, rows.EDGE_1M, rows.EDGE_1H):
        found = client.query(f"SELECT {keys}, {sums} FROM {table} GROUP BY {keys}").result_rows
        assert found == [("front", "back", "/a/{id}", "GET", "client", "ok", *expected)]
    moment = NOW.replace(tzinfo=None)
    buckets = client.query(
        f"SELECT bucket, instance, policy_version, sum(requests) FROM {rows.EDGE_10S} GROUP BY ALL ORDER BY ALL"
    ).result_rows
    assert buckets == [(moment, "p1", 4, 14), (moment, "p2", 4, 7), (moment + timedelta(seconds=30), "p1", 4, 7)]
    edges = select_rows(client, rows.EdgeBucket, "instance = {i:String}", {"i": "p2"}, order="requests DESC")
    assert sum(edge.requests for edge in edges) == 7
    assert {edge.bucket for edge in edges} == {NOW}


def sample(kind: type) -> Any:
    values: dict[str, Any] = {
        "Mapping[str, int]": {"memory": 2}, "Mapping[str, str]": {"service": "cart"}, "Mapping[int, float]": {3: 0.25},
        "datetime": NOW + timedelta(milliseconds=123), "str": "it's '{x}'\n", "int": 2**40, "float": 0.1, "bool": True,
        "float | None": None, "datetime | None": None, "Mapping[str, float]": {"5m": 14.4, "": 0.0},
    }  # fmt: skip
    return kind(**{field.name: values[str(field.type)] for field in dataclasses.fields(kind)})


@pytest.mark.parametrize("kind", [*rows.TABLES])
def test_findings_come_back_equal(client: Client, kind: type) -> None:
    """A finding written is read back as an equal dataclass, times aware of being UTC."""
    finding = sample(kind)
    assert insert_rows(client, [finding]) == 1
    assert select_rows(client, kind) == [finding]


def test_nothing_but_findings_is_written(client: Client) -> None:
    """Something that has no table is refused by its name."""
    with pytest.raises(TypeError, match="int has no table"):
        insert_rows(client, [1])
    assert insert_rows(client, []) == 0


def test_a_span_is_found_among_few(client: Client) -> None:
    """Wide spans lie in granules of four mebibytes, not of ten or of 8,192 rows: reading one unpacks no more."""
    client.command("CREATE TABLE wide_spans AS otel_traces")
    client.command(
        "INSERT INTO wide_spans (Timestamp, ServiceName, SpanAttributes) "
        "SELECT now64(9), 'web', map('user.id', repeat('x', 3000)) FROM numbers(8192)"
    )
    ((granules,),) = client.query(
        "SELECT sum(marks) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'wide_spans'"
    ).result_rows
    assert granules > 5

-- Spans of an OTLP request, in the exporter's spelling: hex ids, kinds and codes in words, attribute values as text.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_landing_traces_mv TO otel_traces AS
WITH
    -- A list or map inside an attribute becomes JSON text; what nests deeper is kept as base64 of its protobuf bytes.
    e -> coalesce(
        nullIf(toJSONString(e.string_value), 'null'), toString(e.bool_value), toString(e.int_value),
        nullIf(toJSONString(e.double_value), 'null'), concat('"', base64Encode(e.bytes_value), '"'),
        concat('{"otlp.array":"', base64Encode(e.array_value), '"}'),
        concat('{"otlp.kvlist":"', base64Encode(e.kvlist_value), '"}'), 'null') AS element_json,
    v -> coalesce(
        v.string_value, toString(v.bool_value), toString(v.int_value), toString(v.double_value), base64Encode(v.bytes_value),
        nullIf(concat('[', arrayStringConcat(arrayMap(e -> element_json(e), v.array_value.values), ','), ']'), '[]'),
        nullIf(concat('{', arrayStringConcat(arrayMap(e -> concat(toJSONString(e.key), ':', element_json(e.value)), v.kvlist_value.values), ','), '}'), '{}'),
        '') AS value_text,
    a -> mapFromArrays(arrayMap(one -> toLowCardinality(one.key), a), arrayMap(one -> value_text(one.value), a)) AS attribute_map
SELECT
    fromUnixTimestamp64Nano(toInt64(span.start_time_unix_nano), 'UTC') AS Timestamp,
    lower(hex(span.trace_id)) AS TraceId,
    lower(hex(span.span_id)) AS SpanId,
    lower(hex(span.parent_span_id)) AS ParentSpanId,
    span.trace_state AS TraceState,
    span.name AS SpanName,
    if(span.kind BETWEEN 0 AND 5, ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'][span.kind + 1], 'Unspecified') AS SpanKind,
    resource_map['service.name'] AS ServiceName,
    resource_map AS ResourceAttributes,
    scope_name AS ScopeName,
    scope_version AS ScopeVersion,
    attribute_map(span.attributes) AS SpanAttributes,
    if(span.end_time_unix_nano > span.start_time_unix_nano, span.end_time_unix_nano - span.start_time_unix_nano, 0) AS Duration,
    if(span.status.code BETWEEN 0 AND 2, ['Unset', 'Ok', 'Error'][span.status.code + 1], 'Unset') AS StatusCode,
    span.status.message AS StatusMessage,
    arrayMap(one -> fromUnixTimestamp64Nano(toInt64(one.time_unix_nano), 'UTC'), span.events) AS `Events.Timestamp`,
    arrayMap(one -> one.name, span.events) AS `Events.Name`,
    arrayMap(one -> attribute_map(one.attributes), span.events) AS `Events.Attributes`,
    arrayMap(one -> lower(hex(one.trace_id)), span.links) AS `Links.TraceId`,
    arrayMap(one -> lower(hex(one.span_id)), span.links) AS `Links.SpanId`,
    arrayMap(one -> one.trace_state, span.links) AS `Links.TraceState`,
    arrayMap(one -> attribute_map(one.attributes), span.links) AS `Links.Attributes`
FROM
(
    SELECT resource_map, scoped.scope.name AS scope_name, scoped.scope.version AS scope_version, arrayJoin(scoped.spans) AS span
    FROM
    (
        SELECT attribute_map(res.resource.attributes) AS resource_map, arrayJoin(res.scope_spans) AS scoped
        FROM (SELECT arrayJoin(resource_spans) AS res FROM mesh_landing_traces)
    )
)

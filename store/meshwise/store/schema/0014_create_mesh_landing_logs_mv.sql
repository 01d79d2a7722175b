-- Log records of an OTLP request, in the exporter's spelling.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_landing_logs_mv TO otel_logs AS
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
    fromUnixTimestamp64Nano(toInt64(if(record.time_unix_nano = 0, record.observed_time_unix_nano, record.time_unix_nano)), 'UTC') AS Timestamp,
    lower(hex(record.trace_id)) AS TraceId,
    lower(hex(record.span_id)) AS SpanId,
    toUInt8(bitAnd(record.flags, 255)) AS TraceFlags,
    record.severity_text AS SeverityText,
    toUInt8(record.severity_number) AS SeverityNumber,
    resource_map['service.name'] AS ServiceName,
    value_text(record.body) AS Body,
    resource_schema AS ResourceSchemaUrl,
    resource_map AS ResourceAttributes,
    scope_schema AS ScopeSchemaUrl,
    scope_name AS ScopeName,
    scope_version AS ScopeVersion,
    scope_map AS ScopeAttributes,
    attribute_map(record.attributes) AS LogAttributes,
    record.event_name AS EventName
FROM
(
    SELECT
        resource_map, resource_schema, scoped.schema_url AS scope_schema, scoped.scope.name AS scope_name,
        scoped.scope.version AS scope_version, attribute_map(scoped.scope.attributes) AS scope_map,
        arrayJoin(scoped.log_records) AS record
    FROM
    (
        SELECT
            attribute_map(res.resource.attributes) AS resource_map, res.schema_url AS resource_schema,
            arrayJoin(res.scope_logs) AS scoped
        FROM (SELECT arrayJoin(resource_logs) AS res FROM mesh_landing_logs)
    )
)

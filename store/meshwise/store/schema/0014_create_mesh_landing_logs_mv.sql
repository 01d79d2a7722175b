-- Log records of an OTLP request, in the exporter's spelling.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_landing_logs_mv TO otel_logs AS
WITH
    -- A list or map inside an attribute becomes JSON text; what nests deeper is kept as base64 of its protobuf bytes.
    e -> multiIf(
        isNotNull(e.string_value), toJSONString(assumeNotNull(e.string_value)),
        isNotNull(e.bool_value), if(assumeNotNull(e.bool_value), 'true', 'false'),
        isNotNull(e.int_value), toString(assumeNotNull(e.int_value)),
        isNotNull(e.double_value), if(isFinite(assumeNotNull(e.double_value)), toString(assumeNotNull(e.double_value)), concat('"', toString(assumeNotNull(e.double_value)), '"')),
        isNotNull(e.bytes_value), concat('"', base64Encode(assumeNotNull(e.bytes_value)), '"'),
        isNotNull(e.array_value), concat('{"otlp.array":"', base64Encode(assumeNotNull(e.array_value)), '"}'),
        isNotNull(e.kvlist_value), concat('{"otlp.kvlist":"', base64Encode(assumeNotNull(e.kvlist_value)), '"}'),
        'null') AS element_json,
    v -> multiIf(
        isNotNull(v.string_value), assumeNotNull(v.string_value),
        isNotNull(v.bool_value), if(assumeNotNull(v.bool_value), 'true', 'false'),
        isNotNull(v.int_value), toString(assumeNotNull(v.int_value)),
        isNotNull(v.double_value), toString(assumeNotNull(v.double_value)),
        isNotNull(v.bytes_value), base64Encode(assumeNotNull(v.bytes_value)),
        notEmpty(v.array_value.values), concat('[', arrayStringConcat(arrayMap(e -> element_json(e), v.array_value.values), ','), ']'),
        notEmpty(v.kvlist_value.values), concat('{', arrayStringConcat(arrayMap(e -> concat(toJSONString(e.key), ':', element_json(e.value)), v.kvlist_value.values), ','), '}'),
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

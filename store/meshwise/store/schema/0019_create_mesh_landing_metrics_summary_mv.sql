-- Summaries of an OTLP request, in the exporter's spelling.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_landing_metrics_summary_mv TO otel_metrics_summary AS
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
    resource_map AS ResourceAttributes,
    resource_schema AS ResourceSchemaUrl,
    scope_name AS ScopeName,
    scope_version AS ScopeVersion,
    scope_map AS ScopeAttributes,
    scope_dropped AS ScopeDroppedAttrCount,
    scope_schema AS ScopeSchemaUrl,
    resource_map['service.name'] AS ServiceName,
    metric_name AS MetricName,
    metric_description AS MetricDescription,
    metric_unit AS MetricUnit,
    attribute_map(point.attributes) AS Attributes,
    toDateTime(intDiv(point.start_time_unix_nano, 1000000000), 'UTC') AS StartTimeUnix,
    toDateTime(intDiv(point.time_unix_nano, 1000000000), 'UTC') AS TimeUnix,
    point.flags AS Flags,
    point.count AS Count,
    point.sum AS Sum,
    arrayMap(one -> one.quantile, point.quantile_values) AS `ValueAtQuantiles.Quantile`,
    arrayMap(one -> one.value, point.quantile_values) AS `ValueAtQuantiles.Value`
FROM
(
    SELECT
        resource_map, resource_schema, scope_schema, scope_name, scope_version, scope_map, scope_dropped,
        metric.name AS metric_name, metric.description AS metric_description, metric.unit AS metric_unit,
        arrayJoin(metric.summary.data_points) AS point
    FROM
    (
        SELECT
            resource_map, resource_schema, scoped.schema_url AS scope_schema, scoped.scope.name AS scope_name,
            scoped.scope.version AS scope_version, attribute_map(scoped.scope.attributes) AS scope_map,
            scoped.scope.dropped_attributes_count AS scope_dropped, arrayJoin(scoped.metrics) AS metric
        FROM
        (
            SELECT
                attribute_map(res.resource.attributes) AS resource_map, res.schema_url AS resource_schema,
                arrayJoin(res.scope_metrics) AS scoped
            FROM (SELECT arrayJoin(resource_metrics) AS res FROM mesh_landing_metrics)
        )
    )
)

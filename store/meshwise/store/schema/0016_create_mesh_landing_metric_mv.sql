-- Metrics of an OTLP request, one by one.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_landing_metric_mv TO mesh_landing_metric AS
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
    resource_map AS ResourceAttributes,
    resource_schema AS ResourceSchemaUrl,
    scope_name AS ScopeName,
    scope_version AS ScopeVersion,
    scope_map AS ScopeAttributes,
    scope_dropped AS ScopeDroppedAttrCount,
    scope_schema AS ScopeSchemaUrl,
    metric.name AS MetricName,
    metric.description AS MetricDescription,
    metric.unit AS MetricUnit,
    -- A metric is of one kind; the others' fields are zero.
    metric.sum.aggregation_temporality + metric.histogram.aggregation_temporality
        + metric.exponential_histogram.aggregation_temporality AS AggregationTemporality,
    metric.sum.is_monotonic AS IsMonotonic,
    metric.gauge.data_points AS gauge_points,
    metric.sum.data_points AS sum_points,
    metric.histogram.data_points AS histogram_points,
    metric.exponential_histogram.data_points AS exponential_histogram_points,
    metric.summary.data_points AS summary_points
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

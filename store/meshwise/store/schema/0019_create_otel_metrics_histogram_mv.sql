-- Histograms of an OTLP request, in the exporter's spelling.
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_metrics_histogram_mv TO otel_metrics_histogram AS
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
    ResourceAttributes, ResourceSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes, ScopeDroppedAttrCount, ScopeSchemaUrl,
    ResourceAttributes['service.name'] AS ServiceName,
    MetricName, MetricDescription, MetricUnit,
    attribute_map(point.attributes) AS Attributes,
    toDateTime(intDiv(point.start_time_unix_nano, 1000000000), 'UTC') AS StartTimeUnix,
    toDateTime(intDiv(point.time_unix_nano, 1000000000), 'UTC') AS TimeUnix,
    point.flags AS Flags,
    point.count AS Count,
    point.sum AS Sum,
    point.bucket_counts AS BucketCounts,
    point.explicit_bounds AS ExplicitBounds,
    point.min AS Min,
    point.max AS Max,
    arrayMap(one -> attribute_map(one.filtered_attributes), point.exemplars) AS `Exemplars.FilteredAttributes`,
    arrayMap(one -> toDateTime(intDiv(one.time_unix_nano, 1000000000), 'UTC'), point.exemplars) AS `Exemplars.TimeUnix`,
    arrayMap(one -> ifNull(one.as_double, toFloat64(ifNull(one.as_int, 0))), point.exemplars) AS `Exemplars.Value`,
    arrayMap(one -> lower(hex(one.span_id)), point.exemplars) AS `Exemplars.SpanId`,
    arrayMap(one -> lower(hex(one.trace_id)), point.exemplars) AS `Exemplars.TraceId`,
    AggregationTemporality
FROM
(
    SELECT
        ResourceAttributes, ResourceSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes, ScopeDroppedAttrCount,
        ScopeSchemaUrl, MetricName, MetricDescription, MetricUnit, AggregationTemporality,
        arrayJoin(histogram_points) AS point
    FROM mesh_landing_metric
)

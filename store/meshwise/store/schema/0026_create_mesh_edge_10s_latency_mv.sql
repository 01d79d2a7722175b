-- Latency buckets that proxies counted, at scale 4 (contracts.histogram); zero durations under index -1000.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_edge_10s_latency_mv TO mesh_edge_10s AS
SELECT
    toStartOfInterval(StartTimeUnix, INTERVAL 10 SECOND, 'UTC') AS bucket,
    Attributes['meshwise.source'] AS source,
    Attributes['meshwise.destination'] AS destination,
    Attributes['meshwise.route'] AS route,
    Attributes['http.request.method'] AS method,
    Attributes['meshwise.side'] AS side,
    ResourceAttributes['service.instance.id'] AS instance,
    toUInt64OrZero(Attributes['meshwise.policy.version']) AS policy_version,
    Attributes['meshwise.outcome'] AS outcome,
    toUInt64(0) AS requests,
    toUInt64(0) AS attempts,
    toUInt64(0) AS retries,
    toUInt64(0) AS retries_denied,
    sumMap(mapFromArrays(
        arrayConcat(if(ZeroCount > 0, [toInt32(-1000)], emptyArrayInt32()), arrayFilter((i, n) -> n > 0, indexes, PositiveBucketCounts)),
        arrayConcat(if(ZeroCount > 0, [ZeroCount], emptyArrayUInt64()), arrayFilter(n -> n > 0, PositiveBucketCounts))
    )) AS latency
FROM
(
    SELECT
        StartTimeUnix, Attributes, ResourceAttributes, ZeroCount, PositiveBucketCounts,
        arrayMap(i -> toInt32(floor((PositiveOffset + i - 1) / exp2(Scale - 4))), arrayEnumerate(PositiveBucketCounts)) AS indexes
    FROM otel_metrics_exponential_histogram
    WHERE ScopeName = 'meshwise.proxy' AND MetricName = 'meshwise.request.duration' AND AggregationTemporality = 1
)
GROUP BY bucket, source, destination, route, method, side, instance, policy_version, outcome

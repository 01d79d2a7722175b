-- Requests, attempts and retries that proxies counted. Temporality 1 is delta: anything else would count twice.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_edge_10s_counts_mv TO mesh_edge_10s AS
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
    toUInt64(sumIf(Value, MetricName = 'meshwise.requests')) AS requests,
    toUInt64(sumIf(Value, MetricName = 'meshwise.attempts')) AS attempts,
    toUInt64(sumIf(Value, MetricName = 'meshwise.retries')) AS retries,
    toUInt64(sumIf(Value, MetricName = 'meshwise.retries.denied')) AS retries_denied,
    CAST(map(), 'Map(Int32, UInt64)') AS latency
FROM otel_metrics_sum
WHERE ScopeName = 'meshwise.proxy' AND AggregationTemporality = 1 AND Value >= 0 AND Value < 1e15
    AND MetricName IN ('meshwise.requests', 'meshwise.attempts', 'meshwise.retries', 'meshwise.retries.denied')
GROUP BY bucket, source, destination, route, method, side, instance, policy_version, outcome

-- What the proxies of a rollout's two arms counted on the client side of its edge, per proxy, block and outcome. Rollups do
-- not tell why a retry was not made, so those that the budget refused come from the counters themselves, without outcome.
-- Parameters: start and end (Unix seconds, end excluded), instances, source, destination (each '' for any), route, that
-- of the policy that governed the requests ('' for one without), any_route (0 or 1), methods (empty for any), side.
-- Columns: bucket_start (Unix seconds), instance, version (of that policy), outcome, requests, attempts, retries, denied,
-- latency.
SELECT
    toUnixTimestamp(bucket) AS bucket_start,
    instance,
    policy_version,
    outcome,
    sum(requests) AS all_requests,
    sum(attempts) AS all_attempts,
    sum(retries) AS all_retries,
    toUInt64(0) AS all_denied,
    sumMap(latency) AS all_latency
FROM mesh_edge_10s
WHERE bucket >= toDateTime({start:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
    AND side = {side:String}
    AND has({instances:Array(String)}, instance)
    AND ({source:String} = '' OR source = {source:String})
    AND ({destination:String} = '' OR destination = {destination:String})
    AND ({any_route:UInt8} = 1 OR route = {route:String})
    AND (empty({methods:Array(String)}) OR has({methods:Array(String)}, method))
GROUP BY bucket_start, instance, policy_version, outcome
UNION ALL
SELECT
    intDiv(toUnixTimestamp(StartTimeUnix), 10) * 10 AS bucket_start,
    ResourceAttributes['service.instance.id'] AS instance,
    toUInt64OrZero(Attributes['meshwise.policy.version']) AS policy_version,
    '' AS outcome,
    toUInt64(0) AS all_requests,
    toUInt64(0) AS all_attempts,
    toUInt64(0) AS all_retries,
    toUInt64(sum(Value)) AS all_denied,
    CAST(map(), 'Map(Int32, UInt64)') AS all_latency
FROM otel_metrics_sum
WHERE MetricName = 'meshwise.retries.denied' AND ScopeName = 'meshwise.proxy' AND AggregationTemporality = 1
    AND StartTimeUnix >= toDateTime({start:UInt32}, 'UTC') AND StartTimeUnix < toDateTime({end:UInt32}, 'UTC')
    AND TimeUnix >= toDateTime({start:UInt32}, 'UTC')
    AND Value >= 0 AND Value < 1e15
    AND has({instances:Array(String)}, ResourceAttributes['service.instance.id'])
    AND Attributes['meshwise.retry.denied'] = 'budget'
    AND Attributes['meshwise.side'] = {side:String}
    AND ({source:String} = '' OR (ServiceName = {source:String} AND Attributes['meshwise.source'] = {source:String}))
    AND ({destination:String} = '' OR Attributes['meshwise.destination'] = {destination:String})
    AND ({any_route:UInt8} = 1 OR Attributes['meshwise.route'] = {route:String})
    AND (empty({methods:Array(String)}) OR has({methods:Array(String)}, Attributes['http.request.method']))
GROUP BY bucket_start, instance, policy_version

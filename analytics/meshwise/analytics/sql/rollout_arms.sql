-- What the proxies of a rollout's two arms counted on the client side of its edge, per proxy, block and outcome.
-- Parameters: start and end (Unix seconds, end excluded), instances, source, destination (each '' for any), route, that
-- of the policy that governed the requests ('' for one without), any_route (0 or 1), methods (empty for any), side.
-- Columns: bucket_start (Unix seconds), instance, version (of that policy), outcome, requests, attempts, retries, latency.
SELECT
    toUnixTimestamp(bucket) AS bucket_start,
    instance,
    policy_version,
    outcome,
    sum(requests) AS all_requests,
    sum(attempts) AS all_attempts,
    sum(retries) AS all_retries,
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
ORDER BY bucket_start, instance, policy_version, outcome

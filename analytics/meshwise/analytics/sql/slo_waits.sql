-- Routes that wait by design: in nearly every hour with traffic, at least half of the successes took very long.
-- Parameters: start, end (Unix seconds, end excluded), slow (bucket index: longer than that is waiting), least_hours,
-- share (0-1, of the hours).
-- Columns: destination, route, method, key (what slo_counts_timed compares), hours, waiting (hours).
SELECT
    destination,
    route,
    method,
    cityHash64(destination, route, method) AS key,
    count() AS hours,
    countIf(slow_share >= 0.5) AS waiting
FROM (
    SELECT
        destination,
        route,
        method,
        bucket,
        sum(arraySum((index, count) -> if(index >= {slow:Int32}, count, 0), mapKeys(latency), mapValues(latency)))
            / greatest(1, sum(arraySum(mapValues(latency)))) AS slow_share
    FROM mesh_edge_1h
    WHERE bucket >= toDateTime({start:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
        AND outcome = 'ok' AND destination != ''
    GROUP BY destination, route, method, bucket
    HAVING sum(requests) > 0 AND sum(arraySum(mapValues(latency))) > 0
)
GROUP BY destination, route, method
HAVING hours >= {least_hours:UInt32} AND waiting >= hours * {share:Float64}
ORDER BY destination, route, method

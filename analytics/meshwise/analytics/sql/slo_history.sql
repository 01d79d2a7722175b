-- What every service was asked in a past window, and how long its successes took.
-- Parameters: start, end (Unix seconds, end excluded), service ('' for all), waits (hashes of destination, route and
-- method that wait by design: their latencies are left out).
-- Columns: destination, judged, ok, hours (with traffic), latency (bucket index to count, of successes).
WITH told AS (
    SELECT source, destination, toDate(bucket) AS day
    FROM mesh_edge_1h
    WHERE bucket >= toDateTime({start:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
        AND side = 'client' AND requests > 0
    GROUP BY source, destination, day
)
SELECT
    destination,
    sum(requests) AS judged,
    sumIf(requests, outcome = 'ok') AS ok,
    uniqExactIf(bucket, requests > 0) AS hours,
    sumMapIf(latency, outcome = 'ok' AND cityHash64(destination, route, method) NOT IN {waits:Array(UInt64)}) AS latency_ok
FROM mesh_edge_1h
WHERE bucket >= toDateTime({start:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
    AND outcome != 'cancelled' AND destination != ''
    AND ({service:String} = '' OR destination = {service:String})
    AND (side = 'client' OR (source, destination, toDate(bucket)) NOT IN (SELECT * FROM told))
GROUP BY destination
HAVING judged > 0
ORDER BY destination

-- Client-side traffic per 10-second bucket; empty source or destination means every one.
-- Parameters: seconds, source, destination, failures. Columns: at, finished, failed, wire, latencies (bucket → count).
SELECT
    bucket AS at,
    sumIf(requests, outcome != 'cancelled') AS finished,
    sumIf(requests, outcome IN {failures:Array(String)}) AS failed,
    sum(attempts) AS wire,
    sumMapIf(mesh_edge_10s.latency, outcome != 'cancelled') AS latencies
FROM mesh_edge_10s
WHERE bucket > now() - toIntervalSecond({seconds:UInt32})
    AND side = 'client'
    AND ({source:String} = '' OR source = {source:String})
    AND ({destination:String} = '' OR destination = {destination:String})
GROUP BY bucket
ORDER BY bucket

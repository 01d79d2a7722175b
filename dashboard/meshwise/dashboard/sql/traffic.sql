-- Client-side traffic per 10-second bucket; empty source or destination means every one.
-- Parameters: seconds, source, destination. Columns: at, requests, failures, attempts, latency (bucket index → count).
SELECT
    bucket AS at,
    sumIf(requests, outcome != 'cancelled') AS requests,
    sumIf(requests, outcome IN {failures:Array(String)}) AS failures,
    sum(attempts) AS attempts,
    sumMapIf(latency, outcome != 'cancelled') AS latency
FROM mesh_edge_10s
WHERE bucket > now() - toIntervalSecond({seconds:UInt32})
    AND side = 'client'
    AND ({source:String} = '' OR source = {source:String})
    AND ({destination:String} = '' OR destination = {destination:String})
GROUP BY bucket
ORDER BY bucket

-- What the two ends of every edge counted: attempts that callers sent, and requests that callees took in.
-- Parameters: start and end (Unix seconds, end excluded), unsent (outcomes of attempts that never reached the callee),
-- derived (the instance of rows that no proxy counted).
-- Columns: source, destination, sent, arrived, buckets (in which anything was counted).
SELECT
    source,
    destination,
    sumIf(attempts, side = 'client' AND NOT has({unsent:Array(String)}, outcome)) AS sent,
    sumIf(requests, side = 'server') AS arrived,
    uniqExact(bucket) AS buckets
FROM mesh_edge_10s
WHERE bucket >= toDateTime({start:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
    AND instance != {derived:String}
GROUP BY source, destination
ORDER BY source, destination
LIMIT 100000

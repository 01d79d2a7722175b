-- Every process of analytics heard of lately. Parameters: back_s (how far back, seconds).
-- Columns: holder, since_ms (when it came), silent_s (seconds since it was last heard of), whether it said it was gone.
SELECT
    holder,
    argMax(since_ms, at) AS came_ms,
    (toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(max(at))) / 1000 AS silent_s,
    argMax(gone, at) AS is_gone
FROM mesh_leases
WHERE at > now64(3) - toIntervalSecond({back_s:UInt32})
GROUP BY holder
ORDER BY holder

-- What all collectors took and inserted, per ten seconds. Parameters: seconds.
SELECT
    toStartOfInterval(at, INTERVAL 10 SECOND) AS bucket,
    sum(accepted) AS accepted_count,
    sum(inserted) AS inserted_count,
    max(lag_s) AS worst_lag_s,
    max(insert_p99_s) AS slowest_p99_s
FROM mesh_collector_stats
WHERE at > now64() - toIntervalSecond({seconds:UInt32})
GROUP BY bucket
ORDER BY bucket

-- What each collector did with each signal in a window: counts summed, gauges as of its last row, the slowest inserts.
-- Parameters: seconds.
SELECT
    collector,
    signal,
    max(at) AS last_at,
    sum(requests) AS request_count,
    sumMap(refused) AS refusals,
    sum(accepted) AS accepted_count,
    sum(rejected) AS rejected_count,
    sum(inserted) AS inserted_count,
    sum(sampled_out) AS sampled_out_count,
    sum(quarantined) AS quarantined_count,
    sum(lost) AS lost_count,
    sum(insert_failures) AS failures,
    max(insert_p99_s) AS slowest_p99_s,
    argMax(spooled, at) AS spooled_now,
    argMax(spool_bytes, at) AS spool_bytes_now,
    argMax(lag_s, at) AS lag_now_s,
    sum(interval_s) AS covered_s,
    sumMap(tenant_accepted) AS by_tenant_accepted,
    sumMap(tenant_rejected) AS by_tenant_rejected,
    sumMap(tenant_refused) AS by_tenant_refused
FROM mesh_collector_stats
WHERE at > now64() - toIntervalSecond({seconds:UInt32})
GROUP BY collector, signal
ORDER BY collector, signal
LIMIT 1000

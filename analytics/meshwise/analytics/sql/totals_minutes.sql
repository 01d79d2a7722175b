-- Minutes that no stretch fits into: read by analytics.totals.
SELECT bucket AS since, source, destination, side, outcome, requests, attempts, retries, retries_denied, latency
FROM mesh_edge_1m
WHERE (bucket >= toDateTime({minute_start:UInt32}, 'UTC') AND bucket < toDateTime({early_start:UInt32}, 'UTC'))
    OR (bucket >= toDateTime({early_end:UInt32}, 'UTC') AND bucket < toDateTime({hour_start:UInt32}, 'UTC'))
    OR (bucket >= toDateTime({hour_end:UInt32}, 'UTC') AND bucket < toDateTime({late_start:UInt32}, 'UTC'))
    OR (bucket >= toDateTime({late_end:UInt32}, 'UTC') AND bucket < toDateTime({minute_end:UInt32}, 'UTC'))

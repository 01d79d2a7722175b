-- Hours from before stretches were kept: read by analytics.totals.
SELECT bucket AS since, source, destination, side, outcome, requests, attempts, retries, retries_denied, latency
FROM mesh_edge_1h
WHERE bucket >= toDateTime({hour_start:UInt32}, 'UTC') AND bucket < toDateTime({hours:UInt32}, 'UTC')

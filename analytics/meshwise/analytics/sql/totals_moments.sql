-- Ten seconds at both ends of a window: read by analytics.totals.
SELECT bucket AS since, source, destination, side, outcome, requests, attempts, retries, retries_denied, latency
FROM mesh_edge_10s
WHERE (bucket >= toDateTime({fine_start:UInt32}, 'UTC') AND bucket < toDateTime({minute_start:UInt32}, 'UTC'))
    OR (bucket >= toDateTime({minute_end:UInt32}, 'UTC') AND bucket < toDateTime({fine_end:UInt32}, 'UTC'))

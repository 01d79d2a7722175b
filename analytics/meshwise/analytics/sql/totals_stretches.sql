-- Whole edges in stretches of six hours, one and ten minutes: read by analytics.totals.
SELECT since, source, destination, side, outcome, requests, attempts, retries, retries_denied, latency
FROM mesh_edge_totals AS kept
WHERE (seconds = 21600 AND kept.bucket >= toDateTime({six_start:UInt32}, 'UTC') AND kept.bucket < toDateTime({six_end:UInt32}, 'UTC'))
    OR (seconds = 3600 AND kept.bucket >= toDateTime({hours:UInt32}, 'UTC') AND kept.bucket < toDateTime({six_start:UInt32}, 'UTC'))
    OR (seconds = 3600 AND kept.bucket >= toDateTime({six_end:UInt32}, 'UTC') AND kept.bucket < toDateTime({hour_end:UInt32}, 'UTC'))
    OR (seconds = 600 AND kept.bucket >= toDateTime({early_start:UInt32}, 'UTC') AND kept.bucket < toDateTime({early_end:UInt32}, 'UTC'))
    OR (seconds = 600 AND kept.bucket >= toDateTime({late_start:UInt32}, 'UTC') AND kept.bucket < toDateTime({late_end:UInt32}, 'UTC'))

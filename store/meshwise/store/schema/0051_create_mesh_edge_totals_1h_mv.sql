-- Fills the hours and six hours of mesh_edge_totals.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_edge_totals_1h_mv TO mesh_edge_totals AS
SELECT
    stretch AS seconds,
    toDateTime(intDiv(toUnixTimestamp(hours.bucket), stretch) * stretch, 'UTC') AS bucket,
    source, destination, side, outcome,
    min(hours.bucket) AS since,
    sum(requests) AS requests,
    sum(attempts) AS attempts,
    sum(retries) AS retries,
    sum(retries_denied) AS retries_denied,
    sumMap(latency) AS latency
FROM mesh_edge_1h AS hours
ARRAY JOIN [toUInt32(3600), toUInt32(21600)] AS stretch
GROUP BY seconds, bucket, source, destination, side, outcome

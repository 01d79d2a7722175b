-- Fills the ten minutes of mesh_edge_totals.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_edge_totals_1m_mv TO mesh_edge_totals AS
SELECT
    toUInt32(600) AS seconds,
    toStartOfInterval(minutes.bucket, INTERVAL 600 SECOND, 'UTC') AS bucket,
    source, destination, side, outcome,
    min(minutes.bucket) AS since,
    sum(requests) AS requests,
    sum(attempts) AS attempts,
    sum(retries) AS retries,
    sum(retries_denied) AS retries_denied,
    sumMap(latency) AS latency
FROM mesh_edge_1m AS minutes
GROUP BY seconds, bucket, source, destination, side, outcome

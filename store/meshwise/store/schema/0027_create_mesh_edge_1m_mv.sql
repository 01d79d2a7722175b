-- Fills mesh_edge_1m.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_edge_1m_mv TO mesh_edge_1m AS
SELECT
    toStartOfMinute(bucket, 'UTC') AS bucket,
    source, destination, route, method, side, outcome,
    sum(requests) AS requests,
    sum(attempts) AS attempts,
    sum(retries) AS retries,
    sum(retries_denied) AS retries_denied,
    sumMap(latency) AS latency
FROM mesh_edge_10s
GROUP BY bucket, source, destination, route, method, side, outcome

-- Fills mesh_edge_1h.
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_edge_1h_mv TO mesh_edge_1h AS
SELECT
    toStartOfHour(bucket, 'UTC') AS bucket,
    source, destination, route, method, side, outcome,
    sum(requests) AS requests,
    sum(attempts) AS attempts,
    sum(retries) AS retries,
    sum(retries_denied) AS retries_denied,
    sumMap(latency) AS latency
FROM mesh_edge_10s
GROUP BY bucket, source, destination, route, method, side, outcome

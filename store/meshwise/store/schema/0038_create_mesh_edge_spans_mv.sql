-- Puts what was derived from spans beside what proxies counted; the instance tells them apart (contracts.rows).
CREATE MATERIALIZED VIEW IF NOT EXISTS mesh_edge_spans_mv TO mesh_edge_10s AS
SELECT
    bucket, source, destination, route, method, side,
    '(spans)' AS instance,
    toUInt64(0) AS policy_version,
    outcome, requests, attempts, retries,
    toUInt64(0) AS retries_denied,
    latency
FROM mesh_edge_spans

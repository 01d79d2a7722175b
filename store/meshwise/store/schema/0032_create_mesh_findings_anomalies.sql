-- Anomaly scores (contracts.rows.AnomalyFinding).
CREATE TABLE IF NOT EXISTS mesh_findings_anomalies
(
    computed_at DateTime64(3, 'UTC'),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    source LowCardinality(String),
    destination LowCardinality(String),
    score Float64,
    flagged Bool,
    contributions Map(String, Float64),
    reason String
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(computed_at)
ORDER BY (computed_at, source, destination)
TTL toDateTime(computed_at) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

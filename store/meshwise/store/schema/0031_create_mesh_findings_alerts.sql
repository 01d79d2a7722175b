-- Changes of state of alerts (contracts.rows.AlertFinding).
CREATE TABLE IF NOT EXISTS mesh_findings_alerts
(
    at DateTime64(3, 'UTC'),
    fingerprint String,
    service LowCardinality(String),
    objective LowCardinality(String),
    severity LowCardinality(String),
    state LowCardinality(String),
    started_at DateTime64(3, 'UTC'),
    ended_at Nullable(DateTime64(3, 'UTC')),
    burn_long Float64,
    burn_short Float64,
    summary String
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (at, fingerprint)
TTL toDateTime(at) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

-- Edges of the service map (contracts.rows.EdgeFinding).
CREATE TABLE IF NOT EXISTS mesh_findings_edges
(
    computed_at DateTime64(3, 'UTC'),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    source LowCardinality(String),
    destination LowCardinality(String),
    requests UInt64,
    attempts UInt64,
    failures UInt64,
    retries UInt64,
    retries_denied UInt64,
    request_rate Float64,
    error_share Float64,
    amplification Float64,
    client_p50 Nullable(Float64),
    client_p95 Nullable(Float64),
    client_p99 Nullable(Float64),
    server_requests UInt64,
    server_failures UInt64,
    server_p50 Nullable(Float64),
    server_p95 Nullable(Float64),
    server_p99 Nullable(Float64)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(computed_at)
ORDER BY (computed_at, source, destination)
TTL toDateTime(computed_at) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

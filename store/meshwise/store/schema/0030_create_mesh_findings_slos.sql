-- States of objectives (contracts.rows.SloFinding).
CREATE TABLE IF NOT EXISTS mesh_findings_slos
(
    computed_at DateTime64(3, 'UTC'),
    service LowCardinality(String),
    objective LowCardinality(String),
    indicator LowCardinality(String),
    target Float64,
    threshold_s Nullable(Float64),
    window_s Float64,
    good UInt64,
    total UInt64,
    attained Nullable(Float64),
    budget_remaining Float64,
    burn_rates Map(String, Float64)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(computed_at)
ORDER BY (computed_at, service, objective)
TTL toDateTime(computed_at) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

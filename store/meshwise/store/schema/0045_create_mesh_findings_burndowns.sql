-- How the budgets of objectives went in the course of their windows (contracts.rows.BurnDownFinding).
CREATE TABLE IF NOT EXISTS mesh_findings_burndowns
(
    computed_at DateTime64(3, 'UTC'),
    service LowCardinality(String),
    objective LowCardinality(String),
    start DateTime64(3, 'UTC'),
    step_s Float64,
    remaining Map(UInt32, Float64)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(computed_at)
ORDER BY (service, objective, computed_at)
TTL toDateTime(computed_at) + INTERVAL 3 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

-- Verdicts on rollouts (contracts.rows.RolloutFinding).
CREATE TABLE IF NOT EXISTS mesh_findings_rollouts
(
    at DateTime64(3, 'UTC'),
    rollout_id String,
    policy_name LowCardinality(String),
    stage UInt64,
    decision LowCardinality(String),
    reason String,
    evidence String
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (at, rollout_id)
TTL toDateTime(at) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

-- Proposed policies and refusals (contracts.rows.ProposalFinding).
CREATE TABLE IF NOT EXISTS mesh_findings_proposals
(
    id String,
    created_at DateTime64(3, 'UTC'),
    source LowCardinality(String),
    destination LowCardinality(String),
    route LowCardinality(String),
    status LowCardinality(String),
    sentence String,
    samples UInt64,
    policy String,
    current String,
    evidence String
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(created_at)
ORDER BY (created_at, id)
TTL toDateTime(created_at) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

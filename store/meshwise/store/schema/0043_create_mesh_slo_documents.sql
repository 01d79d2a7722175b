-- Changes of OpenSLO documents (contracts.rows.SloDocument): the latest of each kind and name is in force.
CREATE TABLE IF NOT EXISTS mesh_slo_documents
(
    at DateTime64(6, 'UTC'),
    actor String,
    kind LowCardinality(String),
    name String,
    removed Bool,
    document String CODEC(ZSTD(3))
)
ENGINE = MergeTree
ORDER BY (kind, name, at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

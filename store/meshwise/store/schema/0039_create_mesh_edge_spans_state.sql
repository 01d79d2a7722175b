-- Up to where the job behind mesh_edge_spans has come, per bucket: it is settled while spans and exact, the calls that
-- proxies counted nearby, are what they were when it was last worked out. Each write of the job has its generation.
CREATE TABLE IF NOT EXISTS mesh_edge_spans_state
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD(1)),
    spans UInt64 CODEC(T64, ZSTD(1)),
    exact UInt64 CODEC(T64, ZSTD(1)),
    generation UInt64 CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
PARTITION BY toMonday(bucket)
ORDER BY bucket
TTL bucket + INTERVAL 35 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1

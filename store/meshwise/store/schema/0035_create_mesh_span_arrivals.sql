-- How many call spans of applications have arrived per bucket of ten seconds, by when they ended: what tells the job
-- behind mesh_edge_spans which buckets to look at, however late a span comes.
CREATE TABLE IF NOT EXISTS mesh_span_arrivals
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD(1)),
    spans SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(bucket)
ORDER BY bucket
TTL bucket + INTERVAL 3 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1

-- What the rollups hold of calls that no proxy counted, derived from the spans of applications. Rows are differences: a
-- bucket that is worked out again adds what changed, and less than nothing is written modulo 2^64, so only sums mean
-- something. It remembers longer than mesh_edge_10s, so that a backfill knows what is already counted.
CREATE TABLE IF NOT EXISTS mesh_edge_spans
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD(1)),
    source LowCardinality(String),
    destination LowCardinality(String),
    route LowCardinality(String),
    method LowCardinality(String),
    side LowCardinality(String),
    outcome LowCardinality(String),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    attempts SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    retries SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    latency SimpleAggregateFunction(sumMap, Map(Int32, UInt64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(bucket)
ORDER BY (bucket, source, destination, route, method, side, outcome)
TTL bucket + INTERVAL 35 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1

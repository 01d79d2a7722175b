-- mesh_edge_10s over all proxies and policy versions, in buckets of an hour.
CREATE TABLE IF NOT EXISTS mesh_edge_1h
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD(1)),
    source LowCardinality(String),
    destination LowCardinality(String),
    route LowCardinality(String),
    method LowCardinality(String),
    side LowCardinality(String),
    outcome LowCardinality(String),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    attempts SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    retries SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    retries_denied SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    latency SimpleAggregateFunction(sumMap, Map(Int32, UInt64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, source, destination, route, method, side, outcome)
TTL bucket + INTERVAL 400 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1

-- What each proxy counted on each side of each edge, in buckets of ten seconds (contracts.rows.EdgeBucket).
CREATE TABLE IF NOT EXISTS mesh_edge_10s
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD(1)),
    source LowCardinality(String),
    destination LowCardinality(String),
    route LowCardinality(String),
    method LowCardinality(String),
    side LowCardinality(String),
    instance LowCardinality(String),
    policy_version UInt64 CODEC(T64, ZSTD(1)),
    outcome LowCardinality(String),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    attempts SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    retries SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    retries_denied SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    latency SimpleAggregateFunction(sumMap, Map(Int32, UInt64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(bucket)
ORDER BY (bucket, source, destination, route, method, side, instance, policy_version, outcome)
TTL bucket + INTERVAL 2 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1

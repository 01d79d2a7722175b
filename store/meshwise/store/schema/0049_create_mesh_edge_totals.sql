-- Whole edges, over all routes and methods, in stretches of ten minutes, an hour and six hours (seconds): what a map of
-- a long window is put together from. A row of seconds 0, if there is one, tells from when on stretches are whole.
CREATE TABLE IF NOT EXISTS mesh_edge_totals
(
    seconds UInt32 CODEC(ZSTD(1)),
    bucket DateTime('UTC') CODEC(Delta, ZSTD(1)),
    source LowCardinality(String),
    destination LowCardinality(String),
    side LowCardinality(String),
    outcome LowCardinality(String),
    since SimpleAggregateFunction(min, DateTime('UTC')) CODEC(ZSTD(1)),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, LZ4),
    attempts SimpleAggregateFunction(sum, UInt64) CODEC(T64, LZ4),
    retries SimpleAggregateFunction(sum, UInt64) CODEC(T64, LZ4),
    retries_denied SimpleAggregateFunction(sum, UInt64) CODEC(T64, LZ4),
    -- Read whole for every map: unpacking ZSTD took longer than adding up.
    latency SimpleAggregateFunction(sumMap, Map(Int32, UInt64)) CODEC(LZ4)
)
ENGINE = AggregatingMergeTree
PARTITION BY (seconds, toYYYYMM(bucket))
ORDER BY (seconds, bucket, source, destination, side, outcome)
TTL bucket + toIntervalDay(if(seconds = 600, 30, 400))
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1

-- The services that spans came from, and the bits by which otel_traces_trace_id_ts remembers each: three of 64. The name
-- outlives its spans by far, since a trace is looked for only in services that are named here.
CREATE TABLE IF NOT EXISTS mesh_services
(
    service LowCardinality(String) CODEC(ZSTD(1)),
    bits SimpleAggregateFunction(groupBitOr, UInt64) DEFAULT bitOr(bitOr(
        bitShiftLeft(toUInt64(1), bitAnd(cityHash64(service), 63)),
        bitShiftLeft(toUInt64(1), bitAnd(bitShiftRight(cityHash64(service), 6), 63))),
        bitShiftLeft(toUInt64(1), bitAnd(bitShiftRight(cityHash64(service), 12), 63))) CODEC(ZSTD(1)),
    seen SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT now('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY service
TTL seen + INTERVAL 30 DAY
SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1

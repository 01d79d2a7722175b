-- What each collector took, spooled and inserted (contracts.rows.CollectorStats): one row per signal every few seconds.
CREATE TABLE IF NOT EXISTS mesh_collector_stats
(
    at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    collector LowCardinality(String),
    signal LowCardinality(String),
    interval_s Float64,
    requests UInt64 CODEC(T64, ZSTD(1)),
    refused Map(LowCardinality(String), UInt64) CODEC(ZSTD(1)),
    accepted UInt64 CODEC(T64, ZSTD(1)),
    rejected UInt64 CODEC(T64, ZSTD(1)),
    inserted UInt64 CODEC(T64, ZSTD(1)),
    quarantined UInt64 CODEC(T64, ZSTD(1)),
    lost UInt64 CODEC(T64, ZSTD(1)),
    insert_failures UInt64 CODEC(T64, ZSTD(1)),
    insert_p50_s Nullable(Float64),
    insert_p99_s Nullable(Float64),
    spooled UInt64 CODEC(T64, ZSTD(1)),
    backlog_segments UInt64 CODEC(T64, ZSTD(1)),
    spool_bytes UInt64 CODEC(T64, ZSTD(1)),
    lag_s Float64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (signal, at, collector)
TTL toDateTime(at) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

-- Which processes of analytics are there, one row per cycle of each: the one that came first acts (analytics.lease).
CREATE TABLE IF NOT EXISTS mesh_leases
(
    at DateTime64(3, 'UTC'),
    holder String,
    since_ms Int64,
    gone Bool
)
ENGINE = MergeTree
ORDER BY at
TTL toDateTime(at) + INTERVAL 1 HOUR
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

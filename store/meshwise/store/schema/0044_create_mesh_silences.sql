-- Changes of silences and maintenance windows (contracts.rows.Silence): the latest of each id counts.
CREATE TABLE IF NOT EXISTS mesh_silences
(
    at DateTime64(6, 'UTC'),
    id String,
    actor String,
    removed Bool,
    starts_at DateTime64(3, 'UTC'),
    ends_at DateTime64(3, 'UTC'),
    every String,
    zone String,
    matchers Map(String, String),
    reason String
)
ENGINE = MergeTree
ORDER BY (id, at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1

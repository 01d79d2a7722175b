-- What each tenant had accepted, rejected and refused (contracts.rows.CollectorStats).
ALTER TABLE mesh_collector_stats
    ADD COLUMN IF NOT EXISTS tenant_accepted Map(LowCardinality(String), UInt64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tenant_rejected Map(LowCardinality(String), UInt64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tenant_refused Map(LowCardinality(String), UInt64) CODEC(ZSTD(1))

-- Items that a collector's sampling left out (contracts.rows.CollectorStats).
ALTER TABLE mesh_collector_stats ADD COLUMN IF NOT EXISTS sampled_out UInt64 CODEC(T64, ZSTD(1))

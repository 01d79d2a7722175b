-- What an objective counts, since when, how long its budget lasts, and what was left out (contracts.rows.SloFinding).
ALTER TABLE mesh_findings_slos
    ADD COLUMN IF NOT EXISTS document String,
    ADD COLUMN IF NOT EXISTS counted LowCardinality(String) DEFAULT 'requests',
    ADD COLUMN IF NOT EXISTS period_start Nullable(DateTime64(3, 'UTC')),
    ADD COLUMN IF NOT EXISTS period_end Nullable(DateTime64(3, 'UTC')),
    ADD COLUMN IF NOT EXISTS exhaustion_s Nullable(Float64),
    ADD COLUMN IF NOT EXISTS note String

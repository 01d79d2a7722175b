-- Which code made a finding, the same code from the same window the same finding (analytics.version).
ALTER TABLE mesh_findings_slos ADD COLUMN IF NOT EXISTS code_version LowCardinality(String)

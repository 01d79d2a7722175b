-- Which policy raised an alert, whether its receivers know, and what keeps it quiet (contracts.rows.AlertFinding).
ALTER TABLE mesh_findings_alerts
    ADD COLUMN IF NOT EXISTS policy LowCardinality(String),
    ADD COLUMN IF NOT EXISTS notified Bool,
    ADD COLUMN IF NOT EXISTS silence String

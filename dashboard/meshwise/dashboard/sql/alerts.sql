-- The newest state of each alert of the last day, newest first.
-- Parameters: limit. Columns: those of AlertFinding.
SELECT *
FROM mesh_findings_alerts
WHERE at > now() - INTERVAL 1 DAY
ORDER BY at DESC
LIMIT 1 BY fingerprint
LIMIT {limit:UInt32}

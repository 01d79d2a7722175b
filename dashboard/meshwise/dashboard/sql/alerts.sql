-- The newest state of each alert that is open, or was changed in the last day; newest first.
-- Parameters: limit. Columns: those of AlertFinding.
SELECT *
FROM (
    SELECT *
    FROM mesh_findings_alerts
    WHERE at > now() - INTERVAL 30 DAY
    ORDER BY at DESC
    LIMIT 1 BY fingerprint
)
WHERE state != 'resolved' OR at > now() - INTERVAL 1 DAY
ORDER BY at DESC
LIMIT {limit:UInt32}

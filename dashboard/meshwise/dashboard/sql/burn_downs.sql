-- The newest course of every budget not younger than {at:DateTime64(3)}.
-- Parameters: at. Columns: those of BurnDownFinding.
SELECT *
FROM mesh_findings_burndowns
WHERE computed_at <= {at:DateTime64(3)} AND computed_at > {at:DateTime64(3)} - INTERVAL 3 HOUR
ORDER BY computed_at DESC
LIMIT 1 BY service, objective
LIMIT 2000

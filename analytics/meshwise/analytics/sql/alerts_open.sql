-- The last change of every alert that has not been resolved, to go on with after a restart.
-- Parameters: since (Unix seconds): alerts without a change since then are forgotten.
-- Columns: those of contracts.rows.AlertFinding, in order.
SELECT
    max(changed.at) AS last_at,
    fingerprint,
    argMax(changed.service, changed.at),
    argMax(changed.objective, changed.at),
    argMax(changed.severity, changed.at),
    argMax(changed.state, changed.at) AS last_state,
    argMax(changed.started_at, changed.at),
    argMax(changed.burn_long, changed.at),
    argMax(changed.burn_short, changed.at),
    argMax(changed.summary, changed.at)
FROM mesh_findings_alerts AS changed
WHERE changed.at >= toDateTime({since:UInt32}, 'UTC')
GROUP BY fingerprint
HAVING last_state != 'resolved'
ORDER BY fingerprint

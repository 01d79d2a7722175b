-- The last change of every alert that has not been resolved, to go on with after a restart.
-- Parameters: since (Unix seconds): alerts without a change since then are forgotten.
-- Columns: those of contracts.rows.AlertFinding, in order.
SELECT at, fingerprint, service, objective, severity, state, started_at, ended_at, burn_long, burn_short, summary,
    policy, notified, silence
FROM (
    SELECT *
    FROM mesh_findings_alerts
    WHERE at >= toDateTime({since:UInt32}, 'UTC')
    ORDER BY at DESC
    LIMIT 1 BY fingerprint
)
WHERE state != 'resolved'
ORDER BY fingerprint

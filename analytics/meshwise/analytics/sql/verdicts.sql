-- Verdicts on rollouts, in order of time.
-- Parameters: since (Unix seconds), rollout ('' for any).
-- Columns: those of contracts.rows.RolloutFinding, in order.
SELECT at, rollout_id, policy_name, stage, decision, reason, evidence
FROM mesh_findings_rollouts
WHERE at >= toDateTime({since:UInt32}, 'UTC') AND ({rollout:String} = '' OR rollout_id = {rollout:String})
ORDER BY at, rollout_id
LIMIT 10000

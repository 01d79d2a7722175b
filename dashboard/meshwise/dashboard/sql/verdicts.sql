-- Verdicts on one rollout, oldest first.
-- Parameters: rollout_id. Columns: those of RolloutFinding.
SELECT *
FROM mesh_findings_rollouts
WHERE rollout_id = {rollout_id:String}
ORDER BY at
LIMIT 1000

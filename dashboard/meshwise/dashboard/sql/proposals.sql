-- The newest state of each proposal of the last day, newest first.
-- Parameters: limit. Columns: those of ProposalFinding.
SELECT *
FROM mesh_findings_proposals
WHERE created_at > now() - INTERVAL 1 DAY
ORDER BY created_at DESC
LIMIT 1 BY id
LIMIT {limit:UInt32}

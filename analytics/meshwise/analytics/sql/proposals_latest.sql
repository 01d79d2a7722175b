-- The last proposal, or refusal, of every route.
-- Parameters: since (Unix seconds).
-- Columns: those of contracts.rows.ProposalFinding, in order.
SELECT id, created_at, source, destination, route, status, sentence, samples, policy, current, evidence
FROM mesh_findings_proposals
WHERE created_at >= toDateTime({since:UInt32}, 'UTC')
ORDER BY created_at DESC, id
LIMIT 1 BY source, destination, route
LIMIT 10000

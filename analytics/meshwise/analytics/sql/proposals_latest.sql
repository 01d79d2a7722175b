-- The last proposal, or refusal, of every route; with statuses given, the last that had one of them.
-- Parameters: since (Unix seconds), statuses.
-- Columns: those of contracts.rows.ProposalFinding, in order.
SELECT id, created_at, source, destination, route, status, sentence, samples, policy, current, evidence
FROM mesh_findings_proposals
WHERE created_at >= toDateTime({since:UInt32}, 'UTC')
    AND (empty({statuses:Array(String)}) OR has({statuses:Array(String)}, status))
ORDER BY created_at DESC, id
LIMIT 1 BY source, destination, route
LIMIT 10000

-- The SLO documents in force. No parameters. Columns: those of contracts.rows.SloDocument, in order.
SELECT max(changed.at) AS last_at, argMax(changed.actor, changed.at), kind, name, argMax(changed.removed, changed.at) AS gone,
    argMax(changed.document, changed.at)
FROM mesh_slo_documents AS changed
GROUP BY kind, name
HAVING gone = 0
ORDER BY kind, name

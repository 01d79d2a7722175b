-- Which SLO documents are in force, and since when. No parameters. Columns: kind, name, at.
SELECT kind, name, max(at) AS last_at
FROM mesh_slo_documents
GROUP BY kind, name
HAVING argMax(removed, at) = 0
ORDER BY kind, name

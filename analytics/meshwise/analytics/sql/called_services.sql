-- Every service that was called since a moment.
-- Parameters: since (Unix seconds). Columns: destination.
SELECT DISTINCT destination
FROM mesh_edge_1h
WHERE bucket >= toDateTime({since:UInt32}, 'UTC') AND destination != ''
ORDER BY destination

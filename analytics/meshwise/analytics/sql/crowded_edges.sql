-- Edges with more routes than a mesh has. It is put behind rollups. Parameters besides: most_routes.
-- Columns: source, destination, how many routes there are.
SELECT source, destination, uniqExact(route) AS routes
FROM rollups
GROUP BY source, destination
HAVING routes > {most_routes:UInt32}
ORDER BY routes DESC, source, destination
LIMIT 1000

-- Some routes of some edges, by chance but the same ones again. It is put behind rollups. Parameters besides: edges, most.
SELECT route
FROM rollups
WHERE has({edges:Array(Tuple(String, String))}, (source, destination))
GROUP BY route
ORDER BY cityHash64(route)
LIMIT {most:UInt32}

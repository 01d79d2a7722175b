-- Rollup rows: the minutes of a list (Unix seconds), of some sides, by_route or not; crowded and templates as there. It is put before the same queries as rollups.
WITH rollups AS
(
    SELECT bucket, source, destination, multiIf(NOT {by_route:Bool}, '', empty({crowded:Array(Tuple(String, String))}) OR NOT has({crowded:Array(Tuple(String, String))}, (source, destination)), route, arrayFirst(one -> length(splitByChar('/', one)) = length(splitByChar('/', route)) AND arrayAll((wanted, got) -> wanted = '{id}' OR wanted = got, splitByChar('/', one), arrayResize(splitByChar('/', route), length(splitByChar('/', one)))), {templates:Array(String)})) AS route, if({by_route:Bool}, method, '') AS method, side, outcome, requests, attempts, retries, retries_denied, latency
    FROM mesh_edge_1m
    WHERE side IN {sides:Array(String)} AND bucket IN (SELECT toDateTime(arrayJoin({minutes:Array(UInt32)}), 'UTC'))
)

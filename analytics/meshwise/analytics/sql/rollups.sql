-- Rollup rows: a window read from up to three rollups, each where it is the coarsest that fits between the others.
-- It is put before world_series, world_counts and world_cells. Parameters, Unix seconds, ends excluded:
-- [fine_start, minute_start) and [minute_end, fine_end) of 10 s, [minute_start, hour_start) and [hour_end, minute_end)
-- of a minute, [hour_start, hour_end) of an hour; sides, whose counts are wanted; by_route, or all routes of an edge are one; crowded
-- edges, of whose routes only those that fit one of templates are told apart. A column that the outer query does not use is not read.
WITH rollups AS
(
    SELECT bucket, source, destination, multiIf(NOT {by_route:Bool}, '', empty({crowded:Array(Tuple(String, String))}) OR NOT has({crowded:Array(Tuple(String, String))}, (source, destination)), route, arrayFirst(one -> length(splitByChar('/', one)) = length(splitByChar('/', route)) AND arrayAll((wanted, got) -> wanted = '{id}' OR wanted = got, splitByChar('/', one), arrayResize(splitByChar('/', route), length(splitByChar('/', one)))), {templates:Array(String)})) AS route, if({by_route:Bool}, method, '') AS method, side, outcome, requests, attempts, retries, retries_denied, latency
    FROM mesh_edge_1h
    WHERE side IN {sides:Array(String)} AND bucket >= toDateTime({hour_start:UInt32}, 'UTC') AND bucket < toDateTime({hour_end:UInt32}, 'UTC')
    UNION ALL
    SELECT bucket, source, destination, multiIf(NOT {by_route:Bool}, '', empty({crowded:Array(Tuple(String, String))}) OR NOT has({crowded:Array(Tuple(String, String))}, (source, destination)), route, arrayFirst(one -> length(splitByChar('/', one)) = length(splitByChar('/', route)) AND arrayAll((wanted, got) -> wanted = '{id}' OR wanted = got, splitByChar('/', one), arrayResize(splitByChar('/', route), length(splitByChar('/', one)))), {templates:Array(String)})) AS route, if({by_route:Bool}, method, '') AS method, side, outcome, requests, attempts, retries, retries_denied, latency
    FROM mesh_edge_1m
    WHERE side IN {sides:Array(String)} AND (
        (bucket >= toDateTime({minute_start:UInt32}, 'UTC') AND bucket < toDateTime({hour_start:UInt32}, 'UTC'))
        OR (bucket >= toDateTime({hour_end:UInt32}, 'UTC') AND bucket < toDateTime({minute_end:UInt32}, 'UTC')))
    UNION ALL
    SELECT bucket, source, destination, multiIf(NOT {by_route:Bool}, '', empty({crowded:Array(Tuple(String, String))}) OR NOT has({crowded:Array(Tuple(String, String))}, (source, destination)), route, arrayFirst(one -> length(splitByChar('/', one)) = length(splitByChar('/', route)) AND arrayAll((wanted, got) -> wanted = '{id}' OR wanted = got, splitByChar('/', one), arrayResize(splitByChar('/', route), length(splitByChar('/', one)))), {templates:Array(String)})) AS route, if({by_route:Bool}, method, '') AS method, side, outcome, requests, attempts, retries, retries_denied, latency
    FROM mesh_edge_10s
    WHERE side IN {sides:Array(String)} AND (
        (bucket >= toDateTime({fine_start:UInt32}, 'UTC') AND bucket < toDateTime({minute_start:UInt32}, 'UTC'))
        OR (bucket >= toDateTime({minute_end:UInt32}, 'UTC') AND bucket < toDateTime({fine_end:UInt32}, 'UTC')))
)

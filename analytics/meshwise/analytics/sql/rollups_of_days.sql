-- Rollup rows: the minutes of a list (Unix seconds), of some sides, by_route or not. It is put before the same queries as rollups.
WITH rollups AS
(
    SELECT bucket, source, destination, if({by_route:Bool}, route, '') AS route, if({by_route:Bool}, method, '') AS method, side, outcome, requests, attempts, retries, retries_denied, latency
    FROM mesh_edge_1m
    WHERE side IN {sides:Array(String)} AND bucket IN (SELECT toDateTime(arrayJoin({minutes:Array(UInt32)}), 'UTC'))
)

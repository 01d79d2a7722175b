-- Judged requests of every edge in several windows that end together, for one rollup table.
-- Parameters: table (a rollup of contracts.rows), starts (Unix seconds, one per window), first (the least of starts),
-- end (Unix seconds, excluded). Requests whose outcome is 'cancelled' are neither good nor bad and left out.
-- Columns: window_start (Unix seconds), source, destination, side, is_ok, requests and their latency histogram.
SELECT
    arrayJoin(arrayFilter(s -> s <= toUnixTimestamp(bucket), {starts:Array(UInt32)})) AS window_start,
    source,
    destination,
    side,
    outcome = 'ok' AS is_ok,
    sum(requests) AS all_requests,
    sumMap(latency) AS all_latency
FROM {table:Identifier}
WHERE bucket >= toDateTime({first:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
  AND destination != '' AND outcome != 'cancelled'
GROUP BY window_start, source, destination, side, is_ok
ORDER BY window_start, source, destination, side, is_ok

-- Rollup rows of a window, added up over instances and policy versions, in buckets of bucket_s seconds.
-- Parameters: table (a rollup of contracts.rows), start and end (Unix seconds, end excluded), bucket_s.
-- Columns: bucket_start (Unix seconds), then those of contracts.rows.EdgeBucket without instance and policy_version.
SELECT
    intDiv(toUnixTimestamp(bucket), {bucket_s:UInt32}) * {bucket_s:UInt32} AS bucket_start,
    source,
    destination,
    route,
    method,
    side,
    outcome,
    sum(requests) AS all_requests,
    sum(attempts) AS all_attempts,
    sum(retries) AS all_retries,
    sum(retries_denied) AS all_denied,
    sumMap(latency) AS all_latency
FROM {table:Identifier}
WHERE bucket >= toDateTime({start:UInt32}, 'UTC') AND bucket < toDateTime({end:UInt32}, 'UTC')
GROUP BY bucket_start, source, destination, route, method, side, outcome
-- What was derived from spans may have been taken back.
HAVING all_requests > 0 OR all_attempts > 0 OR all_retries > 0 OR all_denied > 0
ORDER BY bucket_start, source, destination, route, method, side, outcome

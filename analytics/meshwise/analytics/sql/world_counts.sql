-- Counts of a window (analytics.tally.COUNTS) in buckets of bucket_s seconds from fine_start, over all instances.
SELECT
    cityHash64(source, destination, route, method) AS series,
    toUInt32(intDiv(toUnixTimestamp(bucket) - {fine_start:UInt32}, {bucket_s:UInt32})) AS position,
    toUInt8(side != 'client') AS at_server,
    toUInt8(if(indexOf({outcomes:Array(String)}, outcome) = 0, 2, indexOf({outcomes:Array(String)}, outcome)) - 1) AS code,
    sum(requests) AS all_requests,
    sum(attempts) AS all_attempts,
    sum(retries) AS all_retries,
    sum(retries_denied) AS all_denied
FROM rollups
GROUP BY series, position, at_server, code
-- What was derived from spans may have been taken back.
HAVING all_requests > 0 OR all_attempts > 0 OR all_retries > 0 OR all_denied > 0

-- Latency of a window (analytics.tally.CELLS): requests per histogram bucket, cancelled ones left out.
SELECT series, position, at_server, ok, index, count
FROM
(
    SELECT
        cityHash64(source, destination, route, method) AS series,
        toUInt32(intDiv(toUnixTimestamp(bucket) - {fine_start:UInt32}, {bucket_s:UInt32})) AS position,
        toUInt8(side != 'client') AS at_server,
        toUInt8(outcome = 'ok') AS ok,
        sumMap(latency) AS cells
    FROM rollups
    WHERE outcome != 'cancelled'
    GROUP BY series, position, at_server, ok
)
ARRAY JOIN mapKeys(cells) AS index, mapValues(cells) AS count
WHERE count > 0
-- Far more rows than a person would read: one per histogram bucket of every series, all of a fixed width.
SETTINGS max_result_rows = 10000000

-- Latency of a window, of all buckets of time at once (analytics.totals.CELLS): requests per edge, side and histogram
-- bucket, cancelled ones left out. Edge and side are one number as in totals_counts, without an outcome.
SELECT told, index, count
FROM
(
    SELECT
        bitOr(bitShiftLeft(cityHash64(source, destination), 4), toUInt8((side != 'client') * 8)) AS told,
        sumMap(latency) AS cells
    FROM totals
    WHERE outcome != 'cancelled'
    GROUP BY told
)
ARRAY JOIN mapKeys(cells) AS index, mapValues(cells) AS count
WHERE count > 0
-- Far more rows than a person would read, all of a fixed width.
SETTINGS max_result_rows = 10000000
